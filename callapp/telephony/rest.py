"""Twilio's REST API, the part that places and ends calls. Safe from any thread.

Importing the client costs a tenth of a second, so that waits for the first request.
https://www.twilio.com/docs/voice/api/call-resource
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from twilio.base.exceptions import TwilioException

from callapp.errors import CarrierRefused, CarrierUnreachable, ConfigError
from callapp.sentences import N_, Quoted
from callapp.settings import Settings
from callapp.telephony import twiml
from callapp.telephony.answering import Detection
from callapp.values import is_loopback

if TYPE_CHECKING:
    from twilio.rest import Client

# To connect, and again between any two pieces of the answer.
TIMEOUT_S = 10.0
# For what is done to a live call: somebody is on the line, and closing the stream is the way out.
LIVE_TIMEOUT_S = 2.5
# 21220: not in a state that can be changed. 20404: no such call. On hang-up both mean: it has ended.
ALREADY_ENDED = frozenset({21220, 20404})
STATUS_EVENTS = ["initiated", "ringing", "answered", "completed"]


@dataclass(frozen=True)
class Placed:
    """Twilio took the dial."""

    sid: str
    status: str


@dataclass(frozen=True)
class CallState:
    """How a call stands. ``duration_s`` is known once it has ended.

    ``price_usd`` is known some minutes later, unless the account is billed in another currency.
    """

    status: str
    duration_s: int | None
    price_usd: float | None = None


@dataclass(frozen=True)
class AccountState:
    """What Twilio says of the account. ``trial`` accounts are not allowed to use ``<Stream>``."""

    status: str
    trial: bool


@dataclass(frozen=True)
class OwnNumber:
    """A phone number of the account's.

    Args:
        voice: whether it can have calls.
        voice_url: the webhook of a call that comes in, empty if there is none.
        handled_by: what takes its calls instead of that webhook: a trunk or a TwiML app, or ``None``.
    """

    sid: str
    voice: bool
    voice_url: str
    handled_by: str | None


class Carrier:
    """The Twilio account in the settings. Credentials are demanded when one is used, not before."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._clients: dict[float, Client] = {}  # by their timeout

    def place_call(
        self,
        *,
        to: str,
        from_: str,
        url: str,
        status_callback: str,
        detection: Detection | None = None,
        ring_s: int | None = None,
    ) -> Placed:
        """Dial. Twilio asks ``url`` for TwiML once somebody, or with ``detection`` something, answers.

        Args:
            ring_s: how long it may ring; as long as Twilio lets it if left out.

        Raises:
            ConfigError: the credentials are not set.
            CarrierRefused: Twilio said no.
            CarrierUnreachable: Twilio was not there, or answered nonsense.
            CarrierTimeout: no answer in time; the phone may ring all the same.
        """
        call = self._request(
            lambda client: client.calls.create(
                to=to,
                from_=from_,
                url=url,
                method="POST",
                status_callback=status_callback,
                status_callback_method="POST",
                status_callback_event=STATUS_EVENTS,
                **(detection.parameters if detection is not None else {}),
                **({} if ring_s is None else {"timeout": ring_s}),
            )
        )
        if not (call.sid and isinstance(call.sid, str) and isinstance(call.status, str)):
            raise CarrierUnreachable(N_("Twilio's answer names no call"))
        return Placed(sid=call.sid, status=call.status)

    def call_state(self, call_sid: str) -> CallState:
        """Ask how a call stands. Raises as ``place_call`` does."""
        call = self._request(lambda client: client.calls(call_sid).fetch())
        if not (call.status and isinstance(call.status, str)):
            raise CarrierUnreachable(N_("Twilio's answer has no status"))
        duration = str(call.duration)  # digits in a string, or null
        return CallState(
            call.status,
            int(duration) if re.fullmatch("[0-9]{1,9}", duration) else None,
            _usd(call.price, call.price_unit),
        )

    def complete_call(self, call_sid: str) -> None:
        """Hang up. That the call has ended already is fine. Raises as ``place_call`` does."""
        self._update(call_sid, status="completed")

    def cancel_call(self, call_sid: str) -> None:
        """Stop a phone from ringing; one that was picked up is left alone. Raises as ``place_call`` does."""
        self._update(call_sid, status="canceled")

    def apologise(self, call_sid: str, language: str, fallback: twiml.Fallback | None = None) -> None:
        """Cut whatever goes on in the call, say sorry, and hang up, or let a person at a number take it.

        Raises as ``place_call`` does.
        """
        self._update(call_sid, twiml=twiml.apology(language, fallback))

    def redirect(self, call_sid: str, document: str) -> None:
        """Cut whatever goes on in a live call, our stream too, and go on with other TwiML.

        Args:
            document: up to 4000 characters, with absolute URLs only.

        Raises as ``place_call`` does; a call that is not live any more is a refusal.
        """
        self._request(lambda client: client.calls(call_sid).update(twiml=document), live=True)

    def start_recording(self, call_sid: str, callback: str) -> None:
        """Have a live call recorded, each side on a channel. Raises as ``place_call`` does.

        Args:
            callback: is told when the recording is there.
        """
        self._request(
            lambda client: client.calls(call_sid).recordings.create(
                recording_channels="dual",
                recording_track="both",
                recording_status_callback=callback,
                recording_status_callback_method="POST",
                recording_status_callback_event=["completed", "absent"],
            )
        )

    def fetch_recording(self, recording_sid: str) -> bytes | None:
        """A recording of Twilio's, as WAV; ``None`` if it is not there. Raises as ``place_call`` does."""
        from callapp.telephony.rest_http import fetch

        client = self._open(TIMEOUT_S)
        address = f"/2010-04-01/Accounts/{client.account_sid}/Recordings/{recording_sid}.wav"
        return fetch(
            client.http_client.session,
            f"{self._settings.twilio_api_url}{address}?RequestedChannels=2",
            (client.username, client.password),
            TIMEOUT_S,
        )

    def delete_recording(self, recording_sid: str) -> None:
        """Delete a recording of Twilio's. Raises as ``place_call`` does."""
        self._request(lambda client: client.recordings(recording_sid).delete())

    def account(self) -> AccountState:
        """Ask how the account stands. Raises as ``place_call`` does."""
        sid = self._settings.twilio_account_sid
        account = self._request(lambda client: client.api.v2010.accounts(sid).fetch())
        return AccountState(str(account.status), str(account.type).lower() == "trial")

    def own_number(self, number: str) -> OwnNumber | None:
        """Look up one of the account's phone numbers. Raises as ``place_call`` does."""
        found = self._request(
            lambda client: client.incoming_phone_numbers.list(phone_number=number, limit=20)
        )
        for own in found:
            if own.phone_number == number:  # what is looked for may be a part of a longer one
                return OwnNumber(
                    str(own.sid),
                    bool((own.capabilities or {}).get("voice")),
                    str(own.voice_url or ""),
                    own.trunk_sid or own.voice_application_sid or None,
                )
        return None

    def set_webhook(self, number_sid: str, url: str) -> None:
        """Let Twilio ask this URL what to do with a call that comes in. Raises as ``place_call`` does."""
        self._request(
            lambda client: client.incoming_phone_numbers(number_sid).update(
                voice_url=url, voice_method="POST"
            )
        )

    def close(self) -> None:
        """Close idle connections."""
        with self._lock:
            clients, self._clients = self._clients, {}
        for client in clients.values():
            client.http_client.session.close()

    def _update(self, call_sid: str, **changes: str) -> None:
        try:
            self._request(lambda client: client.calls(call_sid).update(**changes), live=True)
        except CarrierRefused as error:
            if error.code not in ALREADY_ENDED:
                raise

    def _request(self, send: Any, *, live: bool = False) -> Any:
        client = self._open(LIVE_TIMEOUT_S if live else TIMEOUT_S)
        try:
            return send(client)
        except (ValueError, TypeError, AttributeError, KeyError, TwilioException) as error:
            # Twilio's client takes whatever JSON comes apart without looking, but for lists.
            raise CarrierUnreachable(
                N_("Twilio's answer makes no sense: %(error)s", error=Quoted(error))
            ) from error

    def _open(self, timeout_s: float) -> Client:
        with self._lock:
            if timeout_s not in self._clients:
                self._clients[timeout_s] = _make_client(self._settings, timeout_s)
            return self._clients[timeout_s]


def _usd(price: Any, unit: Any) -> float | None:
    """A price as Twilio tells it: what is charged is negative, in a string, and null for a while."""
    if str(unit).upper() != "USD" or not re.fullmatch(r"-?[0-9]{1,9}(\.[0-9]{1,9})?", str(price)):
        return None
    return -float(price) or 0.0


def _make_client(settings: Settings, timeout_s: float) -> Client:
    sid, token = settings.twilio_account_sid, settings.twilio_auth_token
    if sid is None or token is None:
        credentials = {"TWILIO_ACCOUNT_SID": sid, "TWILIO_AUTH_TOKEN": token}
        raise ConfigError(
            [
                f"{name} is not set: copy it from the Twilio console"
                for name, value in credentials.items()
                if value is None
            ]
        )

    from twilio.rest import Client

    from callapp.telephony.rest_http import TwilioHttp

    simulator = is_loopback(urlsplit(settings.twilio_api_url).hostname or "")
    http = TwilioHttp(timeout_s, use_proxies=not simulator)
    client = Client(sid, token.get_secret_value(), http_client=http)
    # From TWILIO_EDGE and TWILIO_REGION, which would rewrite the host of TWILIO_API_URL.
    client.edge = client.region = None
    client.api.base_url = settings.twilio_api_url
    return client
