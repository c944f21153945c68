"""Log lines: for people or as JSON, with the call they belong to; whole phone numbers and secrets never.

Every line the process writes goes through ``formatter_for(settings)``: ours, gunicorn's (see
``gunicorn.conf.py``), Python's warnings, and exceptions that nobody caught. Lines about a call begin with a
mark to scan by: ``<`` received, ``>`` sent, ``=`` state, ``x`` closed, ``!`` error.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import time
from collections.abc import Collection, MutableMapping
from types import TracebackType
from typing import Any, TextIO

from pydantic import SecretStr

from callapp.errors import ConfigError
from callapp.settings import Settings, json_wanted

QUIET_LOGGERS = ("twilio.http_client", "urllib3", "alembic", "httpx2", "openai")
"""Loggers that tell every request or step; their warnings are still of interest."""

REFUSED_TO_START = 4
"""Exit status. gunicorn's master stops for good when a worker ends with it, instead of starting the next."""

SHORTEST_SECRET = 8
"""One that is shorter stands by chance in all kinds of words."""

# A number with its plus (also URL-encoded), as typed with single separators; one as it is dialled in Japan,
# 090-1234-5678; or ten digits and more on their own, which is how a number looks when the plus got lost. In
# full-width characters, too. Identifiers with letters in them are left alone.
_NUMBER = re.compile(
    r"(?:[+\uff0b]|%2[Bb])\d(?:[ .()\u2010-\u2015\u2212\u30fc\uff0d-]{0,2}\d){6,14}(?!\d)"
    r"|(?<![\dA-Za-z.+\uff0b-])0\d(?:[ \u2010-\u2015\u2212\u30fc\uff0d-]?\d){8,9}(?![\dA-Za-z])"
    r"|(?<![\dA-Za-z.+\uff0b])\d{10,15}(?![\dA-Za-z])"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_QUERY = re.compile(r"\?\S*(?= HTTP/)")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # Flask's development server paints its lines

CallLogger = logging.LoggerAdapter[logging.Logger]
Log = logging.Logger | CallLogger


def mask_number(number: str) -> str:
    """Hide a phone number but for its first three and last two characters: ``+81********78``."""
    if len(number) < 7:
        return "*" * len(number)
    return number[:3] + "*" * (len(number) - 5) + number[-2:]


def mask_numbers(text: str) -> str:
    """Hide all phone numbers inside a text."""
    return _NUMBER.sub(lambda found: mask_number(found.group()), text)


class _CallLogger(CallLogger):
    """Puts the call into every record; unlike the adapter it extends, it leaves other extras in place."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        return msg, {**kwargs, "extra": {**(self.extra or {}), **(kwargs.get("extra") or {})}}


def call_logger(call_sid: str, name: str = "callapp.call") -> CallLogger:
    """Return a logger whose lines carry the call."""
    return _CallLogger(logging.getLogger(name), {"call_sid": call_sid})


class _Formatter(logging.Formatter):
    """What all lines have in common.

    Args:
        secrets: never written: what others tell us and we log, an error of a service, say, may repeat one.
    """

    def __init__(self, secrets: Collection[str] = ()) -> None:
        super().__init__()
        self._secrets = [secret for secret in secrets if len(secret) >= SHORTEST_SECRET]

    def _message(self, record: logging.LogRecord) -> str:
        return _COLOUR.sub("", self._masked(record.getMessage()))

    def _details(self, record: logging.LogRecord) -> str:
        """The traceback and stack, if there are any."""
        parts = []
        if record.exc_info:
            parts.append(self.formatException(record.exc_info))
        elif record.exc_text:
            parts.append(record.exc_text)
        if record.stack_info:
            parts.append(self.formatStack(record.stack_info))
        return self._masked("\n".join(parts))

    def _masked(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return mask_numbers(text)


class TextFormatter(_Formatter):
    """``2026-11-23 18:34:00.123 INFO callapp.call CA…: = live``, local time."""

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        call_sid = getattr(record, "call_sid", None)
        source = f"{record.name} {call_sid}" if call_sid else record.name
        # A path or a header may hold a line break, which would forge a line.
        message = _CONTROL.sub(lambda found: repr(found.group())[1:-1], self._message(record))
        line = f"{clock}.{int(record.msecs):03} {record.levelname} {source}: {message}"
        details = self._details(record)
        return f"{line}\n{details}" if details else line


class JsonFormatter(_Formatter):
    """One object a line: ``time`` (RFC 3339, UTC), ``level``, ``logger``, ``message``; where there is one,
    ``call_sid`` and ``exception``.
    """

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{clock}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._message(record),
        }
        if call_sid := getattr(record, "call_sid", None):
            line["call_sid"] = str(call_sid)
        if details := self._details(record):
            line["exception"] = details
        return json.dumps(line, ensure_ascii=False)


def formatter_for(settings: Settings) -> logging.Formatter:
    """Return the formatter that LOG_FORMAT asks for."""
    secrets = [value.get_secret_value() for _, value in settings if isinstance(value, SecretStr)]
    return JsonFormatter(secrets) if settings.log_format == "json" else TextFormatter(secrets)


def _without_query(record: logging.LogRecord) -> bool:
    """Take the query out of a line of Flask's development server, as gunicorn's lines have none.

    What the desk is searched for stands there: people, their numbers as one types them, what they said.
    """
    if isinstance(record.args, tuple):
        record.args = tuple(_QUERY.sub("", arg) if isinstance(arg, str) else arg for arg in record.args)
    return True


class _OurHandler(logging.StreamHandler[TextIO]):
    """Our handler of the root logger, told from those of others (a test runner's, a debugger's)."""

    def emit(self, record: logging.LogRecord) -> None:
        # Looked up each time: test runners exchange standard error and close the old one.
        self.stream = sys.stderr
        super().emit(record)


def configure_logging(settings: Settings) -> None:
    """Send all records, Python's warnings and uncaught exceptions to standard error.

    May be called again: the last settings hold. Handlers and hooks that others have set are left alone.
    """
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _OurHandler)]:
        root.removeHandler(handler)
    handler = _OurHandler()
    handler.setFormatter(formatter_for(settings))
    root.addHandler(handler)
    root.setLevel(settings.log_level.upper())
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("werkzeug").addFilter(_without_query)  # once, however often this is called

    logging.captureWarnings(True)
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _log_uncaught
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _log_uncaught_in_thread
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _log_unraisable


def refuse_to_start(error: ConfigError) -> int:
    """Write each fault as a line to standard error; return the status to exit with."""
    formatter = JsonFormatter() if json_wanted() else logging.Formatter()
    for fault in error.faults:
        record = logging.makeLogRecord(
            {"name": "callapp", "levelno": logging.ERROR, "levelname": "ERROR", "msg": mask_numbers(fault)}
        )
        print(formatter.format(record), file=sys.stderr, flush=True)
    return REFUSED_TO_START


def _log_uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    logging.getLogger("callapp").critical("! uncaught exception", exc_info=(kind, error, traceback))


def _log_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is None or isinstance(args.exc_value, SystemExit):
        return
    name = args.thread.name if args.thread else "?"
    logging.getLogger("callapp").critical(
        "! uncaught exception in thread %s",
        name,
        exc_info=(args.exc_type, args.exc_value, args.exc_traceback),
    )


def _log_unraisable(args: sys.UnraisableHookArgs) -> None:
    """What goes wrong where nothing can be raised, such as in a ``__del__``."""
    error = args.exc_value if args.exc_value is not None else args.exc_type()
    logging.getLogger("callapp").error(
        "! %s %r",
        args.err_msg or "exception ignored in",
        args.object,
        exc_info=(args.exc_type, error, args.exc_traceback),
    )
