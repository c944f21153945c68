"""TwiML as the pretend Twilio reads it: strictly.

What Twilio would only warn of, or what is beyond this simulator, is an error here: a verb that is
silently skipped is a test that silently passes.
(https://www.twilio.com/docs/voice/twiml, error codes: https://www.twilio.com/docs/api/errors)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit
from xml.etree import ElementTree

_MAX_TWIML_BYTES = 64 * 1024
_MAX_PARAMETER_CHARS = 499
_CONTENT_TYPES = ("text/xml", "application/xml", "text/html")
_MAX_LOOPS = 1000
_KEYS = re.compile(r"[0-9*#A-DwW]+")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_TRACKS = {
    "inbound_track": ("inbound",),
    "outbound_track": ("outbound",),
    "both_tracks": ("inbound", "outbound"),
}

SCHEMA_WARNING = 12200


class TwimlError(Exception):
    """Twilio would log this in its debugger, say an apology of its own and hang up."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Say:
    """Read a text aloud."""

    text: str
    language: str
    voice: str
    loop: int


@dataclass(frozen=True)
class Play:
    """Play a file, or send tones."""

    url: str
    digits: str
    loop: int


@dataclass(frozen=True)
class Pause:
    """Be silent for so many seconds."""

    length_s: int


@dataclass(frozen=True)
class Hangup:
    """End the call."""


@dataclass(frozen=True)
class Reject:
    """Refuse an incoming call without answering it; ``reason`` is ``rejected`` or ``busy``."""

    reason: str


@dataclass(frozen=True)
class Redirect:
    """Go on with other TwiML; nothing after it runs."""

    url: str
    method: str


@dataclass(frozen=True)
class Stream:
    """A Media Stream.

    ``tracks`` are ``inbound``, what the phone says, and ``outbound``, what it is given to hear.
    """

    url: str
    name: str
    parameters: dict[str, str]
    status_callback: str
    status_callback_method: str
    tracks: tuple[str, ...]


@dataclass(frozen=True)
class ConnectStream:
    """Open a two-way Media Stream and stay there until it is over."""

    stream: Stream
    action: str
    action_method: str


@dataclass(frozen=True)
class StartStream:
    """Open a Media Stream that only listens, and go on at once."""

    stream: Stream


@dataclass(frozen=True)
class Number:
    """A phone to ring; ``status_events`` of it are told to ``status_callback``."""

    number: str
    status_callback: str
    status_callback_method: str
    status_events: frozenset[str]


@dataclass(frozen=True)
class Conference:
    """A room by name. Who waits for it to start hears music; who ends it sends everybody out."""

    name: str
    starts_on_enter: bool
    ends_on_exit: bool


@dataclass(frozen=True)
class Dial:
    """Ring a phone, or go into a room, and stay until that is over."""

    target: Number | Conference
    action: str
    action_method: str
    timeout_s: int
    caller_id: str


@dataclass(frozen=True)
class Gather:
    """Say something, and take keys."""

    prompts: tuple[Say | Play | Pause, ...]
    action: str
    action_method: str
    timeout_s: int
    num_digits: int
    finish_on_key: str


Verb = Say | Play | Pause | Hangup | Reject | Redirect | ConnectStream | StartStream | Dial | Gather


def read_twiml(text: str, *, content_type: str = "text/xml", base_url: str = "") -> list[Verb]:
    """Return the verbs of a TwiML document, in order; relative URLs are resolved.

    Raises:
        TwimlError: not XML, not TwiML, or something this simulator does not know.
    """
    if content_type.partition(";")[0].strip().lower() not in _CONTENT_TYPES:
        raise TwimlError(12300, f"Invalid Content-Type: {content_type or 'none'}")
    if len(text.encode()) > _MAX_TWIML_BYTES:
        raise TwimlError(11750, "TwiML response body too large")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - of the application under test, small
    except ElementTree.ParseError as error:
        raise TwimlError(12100, f"Document parse failure: {error}") from error
    if root.tag != "Response":
        raise TwimlError(12102, f"The root element is <{root.tag}>, not <Response>")
    _attributes(root)
    return [_verb(element, base_url) for element in root]


def _verb(element: ElementTree.Element, base_url: str) -> Verb:
    if element.tag not in ("Connect", "Start", "Dial", "Gather") and len(element):
        raise TwimlError(SCHEMA_WARNING, f"<{element.tag}> has elements in it")
    match element.tag:
        case "Say":
            given = _attributes(element, "language", "voice", "loop")
            text = _text(element, 13520)
            return Say(text, given.get("language", "en-US"), given.get("voice", "man"), _loop(given))
        case "Play":
            given = _attributes(element, "digits", "loop")
            if "digits" in given:
                if not _KEYS.fullmatch(given["digits"]):
                    raise TwimlError(SCHEMA_WARNING, f"<Play digits={given['digits']!r}>")
                return Play("", given["digits"], _loop(given))
            return Play(urljoin(base_url, _text(element, 13420)), "", _loop(given))
        case "Pause":
            return Pause(_whole_number(_attributes(element, "length"), "length", 1))
        case "Hangup":
            _attributes(element)
            return Hangup()
        case "Reject":
            reason = _attributes(element, "reason").get("reason", "rejected")
            if reason not in ("rejected", "busy"):
                raise TwimlError(SCHEMA_WARNING, f"<Reject reason={reason!r}>")
            return Reject(reason)
        case "Redirect":
            given = _attributes(element, "method")
            return Redirect(urljoin(base_url, _text(element, 11100)), _method(given, "method"))
        case "Connect":
            return _connect(element, base_url)
        case "Start":
            return _start(element, base_url)
        case "Dial":
            return _dial(element, base_url)
        case "Gather":
            return _gather(element, base_url)
    raise TwimlError(SCHEMA_WARNING, f"<{element.tag}> is no verb of this simulator")


def _connect(element: ElementTree.Element, base_url: str) -> ConnectStream:
    given = _attributes(element, "action", "method")
    return ConnectStream(_stream(element, base_url), _action(given, base_url), _method(given, "method"))


def _start(element: ElementTree.Element, base_url: str) -> StartStream:
    _attributes(element)
    return StartStream(_stream(element, base_url, "track"))


def _stream(element: ElementTree.Element, base_url: str, *more: str) -> Stream:
    """The stream in a verb; ``more`` are the attributes that it can have there."""
    nouns = list(element)
    if [noun.tag for noun in nouns] != ["Stream"]:
        raise TwimlError(SCHEMA_WARNING, f"<{element.tag}> needs one <Stream>")
    given = _attributes(nouns[0], "url", "name", "statusCallback", "statusCallbackMethod", *more)
    track = given.get("track", "inbound_track")
    if track not in _TRACKS:
        raise TwimlError(31941, f"<Stream track={track!r}>")
    return Stream(
        url=_stream_url(given.get("url", ""), base_url),
        name=given.get("name", ""),
        parameters=_parameters(nouns[0]),
        status_callback=given.get("statusCallback", ""),
        status_callback_method=_method(given, "statusCallbackMethod"),
        tracks=_TRACKS[track],
    )


def _parameters(stream: ElementTree.Element) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for child in stream:
        if child.tag != "Parameter":
            raise TwimlError(SCHEMA_WARNING, f"<{child.tag}> in a <Stream>")
        parameter = _attributes(child, "name", "value")
        name, value = parameter.get("name", ""), parameter.get("value", "")
        if not name or len(name) + len(value) > _MAX_PARAMETER_CHARS:
            raise TwimlError(SCHEMA_WARNING, f"<Parameter name={name!r}>: no name, or too long")
        parameters[name] = value
    return parameters


def _dial(element: ElementTree.Element, base_url: str) -> Dial:
    given = _attributes(element, "action", "method", "timeout", "callerId")
    timeout_s = _whole_number(given, "timeout", 30)
    if not 5 <= timeout_s <= 600:
        raise TwimlError(13212, f"<Dial timeout={timeout_s}>")
    nouns = list(element)
    if len(nouns) > 1:
        raise TwimlError(SCHEMA_WARNING, "<Dial> with several nouns is beyond this simulator")
    noun = nouns[0] if nouns else element
    if noun.tag == "Conference":
        target: Number | Conference = _conference(noun)
    elif noun.tag in ("Number", "Dial"):
        target = _number(noun, base_url)
    else:
        raise TwimlError(SCHEMA_WARNING, f"<{noun.tag}> in a <Dial>")
    return Dial(
        target, _action(given, base_url), _method(given, "method"), timeout_s, given.get("callerId", "")
    )


def _number(element: ElementTree.Element, base_url: str) -> Number:
    number = _text(element, 13223)
    if not _E164.fullmatch(number):
        raise TwimlError(13224, f"Dial: invalid phone number {number!r}")
    if element.tag == "Dial":
        return Number(number, "", "POST", frozenset())
    given = _attributes(element, "statusCallback", "statusCallbackMethod", "statusCallbackEvent")
    events = frozenset(given.get("statusCallbackEvent", "completed").split())
    if unknown := events - {"initiated", "ringing", "answered", "completed"}:
        raise TwimlError(SCHEMA_WARNING, f"statusCallbackEvent={sorted(unknown)}")
    callback = given.get("statusCallback", "")
    return Number(
        number,
        urljoin(base_url, callback) if callback else "",
        _method(given, "statusCallbackMethod"),
        events,
    )


def _conference(element: ElementTree.Element) -> Conference:
    given = _attributes(element, "startConferenceOnEnter", "endConferenceOnExit", "beep")
    if given.get("beep", "true") not in ("true", "false", "onEnter", "onExit"):
        raise TwimlError(SCHEMA_WARNING, f"beep={given['beep']!r}")
    return Conference(
        _text(element, 13230),
        _flag(given, "startConferenceOnEnter", True),
        _flag(given, "endConferenceOnExit", False),
    )


def _gather(element: ElementTree.Element, base_url: str) -> Gather:
    given = _attributes(element, "action", "method", "timeout", "numDigits", "finishOnKey")
    if not given.get("action"):
        # The default is the document's own URL: nearly always an endless loop by mistake.
        raise TwimlError(SCHEMA_WARNING, "<Gather> without an action")
    prompts = []
    for child in element:
        prompt = _verb(child, base_url)
        if not isinstance(prompt, Say | Play | Pause):
            raise TwimlError(SCHEMA_WARNING, f"<{child.tag}> in a <Gather>")
        prompts.append(prompt)
    return Gather(
        tuple(prompts),
        _action(given, base_url),
        _method(given, "method"),
        _whole_number(given, "timeout", 5),
        _whole_number(given, "numDigits", 0),
        given.get("finishOnKey", "#"),
    )


def _action(given: dict[str, str], base_url: str) -> str:
    """The action's URL, empty for none; in TwiML from the REST API it has to be absolute."""
    action = given.get("action", "")
    if not action:
        return ""
    url = urljoin(base_url, action)
    if urlsplit(url).scheme not in ("http", "https"):
        raise TwimlError(11100, f"action={action!r} is not an absolute URL")
    return url


def _flag(given: dict[str, str], name: str, default: bool) -> bool:
    value = given.get(name, str(default).lower())
    if value not in ("true", "false"):
        raise TwimlError(SCHEMA_WARNING, f"{name}={value!r} is neither true nor false")
    return value == "true"


def _stream_url(url: str, base_url: str) -> str:
    if not urlsplit(url).scheme:
        # urljoin knows nothing of ws, so it is told about http first.
        url = "ws" + urljoin(base_url, url).removeprefix("http")
    parts = urlsplit(url)
    # Plain ws is not for the real Twilio; here it is what loopback servers speak.
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise TwimlError(11100, f"<Stream url={url!r}> is not a WebSocket URL")
    if parts.query or parts.fragment:
        raise TwimlError(31920, f"<Stream url={url!r}> has a query, which Twilio does not support")
    return url


def _attributes(element: ElementTree.Element, *known: str) -> dict[str, str]:
    if unknown := set(element.attrib) - set(known):
        raise TwimlError(SCHEMA_WARNING, f"<{element.tag}> has no attribute {sorted(unknown)}")
    return dict(element.attrib)


def _text(element: ElementTree.Element, code_if_empty: int) -> str:
    text = (element.text or "").strip()
    if not text:
        raise TwimlError(code_if_empty, f"<{element.tag}> is empty")
    return text


def _method(given: dict[str, str], name: str) -> str:
    method = given.get(name, "POST")
    if method not in ("GET", "POST"):
        raise TwimlError(SCHEMA_WARNING, f"{name}={method!r} is neither GET nor POST")
    return method


def _loop(given: dict[str, str]) -> int:
    return _whole_number(given, "loop", 1) or _MAX_LOOPS


def _whole_number(given: dict[str, str], name: str, default: int) -> int:
    value = given.get(name, str(default))
    if not (value.isascii() and value.isdigit()):
        raise TwimlError(SCHEMA_WARNING, f"{name}={value!r} is not a whole number")
    return int(value)
