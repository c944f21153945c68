"""What Twilio says of the account, our number and its webhook."""

from __future__ import annotations

from functools import reduce
from urllib.parse import parse_qs, urlsplit

from callapp.agents import Agents
from callapp.doctor.finding import Finding, fault, ok, warning
from callapp.errors import CarrierError, CarrierRefused, ConfigError
from callapp.sentences import N_, Quoted, Sentence, words_of
from callapp.settings import Settings
from callapp.telephony.rest import Carrier, OwnNumber

WEBHOOK_PATH = "/incoming-call"
# Twilio's codes for credentials that it does not take; it says them with HTTP 401 and 403.
_NOT_LET_IN = frozenset({401, 403})


def check_account(carrier: Carrier) -> tuple[Finding, bool]:
    """Whether the account can have a call of this kind; and whether Twilio answers our questions at all."""
    try:
        account = carrier.account()
    except ConfigError as error:
        names = reduce(_both, (line.partition(" ")[0] for line in error.faults))
        return fault(N_("not set: %(names)s", names=names), N_("copy from the Twilio console")), False
    except CarrierRefused as error:
        if error.status in _NOT_LET_IN or error.code == 20404:
            return fault(
                N_("Twilio does not take the credentials: %(message)s", message=Quoted(error.message)),
                N_(
                    "copy TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN from the Twilio console, "
                    "both of one account"
                ),
            ), False
        return _trouble(error), False
    except CarrierError as error:
        return _trouble(error), False
    if account.status != "active":
        return fault(
            N_("the Twilio account is %(status)s", status=Quoted(account.status)),
            N_("see the Twilio console for why"),
        ), True
    if account.trial:
        return fault(
            N_(
                "the Twilio account is a trial one, where <Stream> does not work: callees hear that it is "
                "not available"
            ),
            N_("upgrade the account in the Twilio console"),
        ), True
    return ok(N_("Twilio takes the credentials; the account is active and no trial")), True


def find_number(settings: Settings, carrier: Carrier) -> tuple[Finding, OwnNumber | None]:
    """Whether FROM_PHONE_NUMBER is ours and can have calls."""
    number = settings.from_phone_number
    if number is None:
        return fault(
            N_("FROM_PHONE_NUMBER is not set"), N_("set it to your Twilio number, e.g. +14155550100")
        ), None
    try:
        own = carrier.own_number(number)
    except (CarrierError, ConfigError) as error:
        return _trouble(error), None
    if own is None:
        return fault(
            N_("FROM_PHONE_NUMBER, %(number)s, is not a number of this Twilio account", number=number),
            N_("set it to one of those under Phone Numbers in the Twilio console"),
        ), None
    if not own.voice:
        return fault(
            N_("%(number)s cannot have calls, only messages", number=number), N_("buy a number with voice")
        ), own
    return ok(N_("%(number)s is the account's, with voice", number=number)), own


def check_webhook(settings: Settings, own: OwnNumber, agents: Agents | None) -> Finding:
    """Whether a call to our number comes to us."""
    if own.handled_by is not None:
        what = N_("a SIP trunk") if own.handled_by.startswith("TK") else N_("a TwiML app")
        return warning(
            N_(
                "calls to the number are handled by %(what)s, %(sid)s, not by its webhook",
                what=what,
                sid=own.handled_by,
            ),
            N_("choose Webhook for the number in the Twilio console, or point that app here"),
        )
    webhook = own.voice_url or N_("not set")
    wanted = webhook_url(settings)
    if wanted is None:
        return warning(
            N_("the number's webhook is %(url)s; only PUBLIC_URL can tell if that is here", url=webhook),
            N_("set PUBLIC_URL"),
        )
    if not same_page(own.voice_url, wanted):
        return fault(
            N_("the number's webhook is %(url)s, so calls to it do not come here", url=webhook),
            N_("set it to %(url)s: flask doctor --fix-webhook", url=wanted),
            fixable=True,
        )
    name = parse_qs(urlsplit(own.voice_url).query).get("agent", [None])[-1]
    if name is not None and agents is not None and name not in agents:
        return fault(
            N_("the number's webhook asks for the agent %(agent)s, which there is not", agent=name),
            N_("set it to %(url)s, or add the agent", url=wanted),
            fixable=True,
        )
    return ok(N_("the number's webhook is %(url)s", url=own.voice_url))


def set_webhook(settings: Settings, own: OwnNumber, carrier: Carrier) -> Finding:
    """Let calls to our number come to us."""
    wanted = webhook_url(settings)
    assert wanted is not None, "offered with PUBLIC_URL only"
    try:
        carrier.set_webhook(own.sid, wanted)
    except CarrierError as error:
        return _trouble(error)
    return ok(N_("the number's webhook is %(url)s now", url=wanted))


def webhook_url(settings: Settings) -> str | None:
    """Where Twilio has to ask; None while nobody knows where that is."""
    return None if settings.public_url is None else settings.public_url + WEBHOOK_PATH


def same_page(url: str, wanted: str) -> bool:
    """Whether two URLs mean the same page, whatever is asked of it."""
    try:
        given, ours = urlsplit(url), urlsplit(wanted)
        return (given.scheme, given.netloc.lower(), given.path) == (ours.scheme, ours.netloc, ours.path)
    except ValueError:
        return False


def _both(one: str, other: str) -> Sentence:
    return N_("%(one)s and %(other)s", one=one, other=other)


def _trouble(error: CarrierError | ConfigError) -> Finding:
    return fault(
        N_("asking Twilio failed: %(error)s", error=words_of(error)),
        N_("check the network, and TWILIO_API_URL if it is set"),
    )
