"""TwiML as the pretend Twilio reads it: strictly.

What Twilio would only warn of, or what is beyond this simulator, is an error here: a verb that is
silently skipped is a test that silently passes.
(https://www.twilio.com/docs/voice/twiml, error codes: https://www.twilio.com/docs/api/errors)
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit
from xml.etree import ElementTree

_MAX_TWIML_BYTES = 64 * 1024
_MAX_PARAMETER_CHARS = 499
_CONTENT_TYPES = ("text/xml", "application/xml", "text/html")
_MAX_LOOPS = 1000

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
class ConnectStream:
    """Open a two-way Media Stream and stay there until it is over."""

    url: str
    name: str
    parameters: dict[str, str]
    status_callback: str
    status_callback_method: str
    action: str
    action_method: str


Verb = Say | Play | Pause | Hangup | Reject | Redirect | ConnectStream


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
    if element.tag != "Connect" and len(element):
        raise TwimlError(SCHEMA_WARNING, f"<{element.tag}> has elements in it")
    match element.tag:
        case "Say":
            given = _attributes(element, "language", "voice", "loop")
            text = _text(element, 13520)
            return Say(text, given.get("language", "en-US"), given.get("voice", "man"), _loop(given))
        case "Play":
            given = _attributes(element, "digits", "loop")
            url = "" if "digits" in given else urljoin(base_url, _text(element, 13420))
            return Play(url, given.get("digits", ""), _loop(given))
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
    raise TwimlError(SCHEMA_WARNING, f"<{element.tag}> is no verb of this simulator")


def _connect(element: ElementTree.Element, base_url: str) -> ConnectStream:
    given = _attributes(element, "action", "method")
    nouns = list(element)
    if [noun.tag for noun in nouns] != ["Stream"]:
        raise TwimlError(SCHEMA_WARNING, "<Connect> needs one <Stream>")
    stream = nouns[0]
    of_stream = _attributes(stream, "url", "name", "statusCallback", "statusCallbackMethod")
    url = _stream_url(of_stream.get("url", ""), base_url)
    parameters: dict[str, str] = {}
    for child in stream:
        if child.tag != "Parameter":
            raise TwimlError(SCHEMA_WARNING, f"<{child.tag}> in a <Stream>")
        parameter = _attributes(child, "name", "value")
        name, value = parameter.get("name", ""), parameter.get("value", "")
        if not name or len(name) + len(value) > _MAX_PARAMETER_CHARS:
            raise TwimlError(SCHEMA_WARNING, f"<Parameter name={name!r}>: no name, or too long")
        parameters[name] = value
    action = given.get("action", "")
    return ConnectStream(
        url=url,
        name=of_stream.get("name", ""),
        parameters=parameters,
        status_callback=of_stream.get("statusCallback", ""),
        status_callback_method=_method(of_stream, "statusCallbackMethod"),
        action=urljoin(base_url, action) if action else "",
        action_method=_method(given, "method"),
    )


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
