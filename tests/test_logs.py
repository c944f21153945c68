"""Log lines: both formats, the call they belong to, and no whole phone number."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from werkzeug.serving import make_server
from werkzeug.wrappers import Response

from callapp.agents.model import Agent
from callapp.errors import ConfigError
from callapp.logs import (
    QUIET_LOGGERS,
    JsonFormatter,
    TextFormatter,
    call_logger,
    configure_logging,
    formatter_for,
    mask_number,
    mask_numbers,
    refuse_to_start,
)
from callapp.settings import SETTINGS, Settings

CALL_SID = "CA0123456789abcdef0123456789012345"
NUMBER = "+819012345678"


def record(
    message: str, *args: object, exception: BaseException | None = None, **extra: object
) -> logging.LogRecord:
    fields = {
        "name": "callapp.call",
        "levelno": logging.INFO,
        "levelname": "INFO",
        "msg": message,
        "args": args,
    }
    if exception is not None:
        fields["exc_info"] = (type(exception), exception, exception.__traceback__)
    return logging.makeLogRecord(fields | {"created": 1_763_922_840.5, "msecs": 500.0} | extra)


def raised(message: str) -> BaseException:
    try:
        raise ValueError(message)
    except ValueError as error:
        return error


@pytest.fixture
def logging_left_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    quiet = {name: logging.getLogger(name).level for name in QUIET_LOGGERS}
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, was in quiet.items():
        logging.getLogger(name).setLevel(was)
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    logging.captureWarnings(False)


def test_a_masked_number_keeps_its_first_three_and_last_two_characters() -> None:
    assert mask_number(NUMBER) == "+81********78"
    assert mask_number("12345") == "*****"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (f"> dial {NUMBER} from +14155550100", "> dial +81********78 from +14*******00"),
        ("POST /x?To=%2B819012345678&a=1", "POST /x?To=%2B**********78&a=1"),
        ("asked for 09012345678", "asked for 090******78"),
        ("+81 90-1234-5678 and +1 (415) 555-0100", "+81***********78 and +1 ************00"),
        (
            "read '\uff10\uff19\uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18'",
            "read '\uff10\uff19\uff10******\uff17\uff18'",
        ),
        (
            "\uff0b\uff18\uff11\uff0d\uff19\uff10\uff0d\uff11\uff12\uff13\uff14\uff0d\uff15\uff16\uff17\uff18",
            "\uff0b\uff18\uff11***********\uff17\uff18",
        ),
        ("no customer 090-1234-5678, 03 1234 5678", "no customer 090********78, 03 *******78"),
        (f"{CALL_SID} 480 ms", f"{CALL_SID} 480 ms"),
        ("2026-11-23 18:34:00.123", "2026-11-23 18:34:00.123"),
        ("took 0.12345678901 s", "took 0.12345678901 s"),
        ("on 2026-11-09 08:34, 01-12-2026", "on 2026-11-09 08:34, 01-12-2026"),
        ("0b9c2d1e-0123-4567-8901-01234567890a", "0b9c2d1e-0123-4567-8901-01234567890a"),
        ("+5 calls, +100", "+5 calls, +100"),
        ("160 bytes, port 65535", "160 bytes, port 65535"),
    ],
)
def test_numbers_inside_a_text_are_masked_and_nothing_else(text: str, masked: str) -> None:
    assert mask_numbers(text) == masked


def test_what_the_operator_is_to_write_is_no_number_that_is_masked() -> None:
    """Who is told that `+81********78` is expected does not know how to write a number."""
    told = [
        *(setting.expected for setting in SETTINGS),
        *(field.description or "" for field in Agent.model_fields.values()),
    ]
    assert [mask_numbers(expected) for expected in told] == told


def test_text_lines_have_time_level_source_and_call() -> None:
    line = TextFormatter().format(record("= live to %s", NUMBER, call_sid=CALL_SID))
    assert re.fullmatch(
        rf"20\d\d-\d\d-\d\d \d\d:\d\d:00\.500 INFO callapp\.call {CALL_SID}: = live to \+81\*{{8}}78", line
    )
    assert TextFormatter().format(record("started")).endswith(" INFO callapp.call: started")


def test_a_line_break_in_a_message_forges_no_line() -> None:
    line = TextFormatter().format(record("GET %s", "/a\r\n2026-11-23 INFO forged\x1b[0m\x07"))
    assert line.endswith("GET /a\\r\\n2026-11-23 INFO forged\\x07")


def test_numbers_in_tracebacks_are_masked() -> None:
    for formatter in (TextFormatter(), JsonFormatter()):
        line = formatter.format(record("! failed", exception=raised(f"no route to {NUMBER}")))
        assert "Traceback (most recent call last)" in line
        assert "no route to +81********78" in line
        assert NUMBER not in line


def test_json_lines_are_one_object_each() -> None:
    line = JsonFormatter().format(
        record("! 電話 %s\nsecond line", NUMBER, call_sid=CALL_SID, exception=raised("broken"))
    )
    assert "\n" not in line
    read = json.loads(line)
    assert read.pop("exception").endswith("ValueError: broken")
    assert read == {
        "time": "2025-11-23T18:34:00.500Z",
        "level": "info",
        "logger": "callapp.call",
        "message": "! 電話 +81********78\nsecond line",
        "call_sid": CALL_SID,
    }


def test_json_lines_without_a_call_have_no_call_sid() -> None:
    assert list(json.loads(JsonFormatter().format(record("started")))) == [
        "time",
        "level",
        "logger",
        "message",
    ]


def test_a_call_logger_puts_the_call_into_every_line(caplog: pytest.LogCaptureFixture) -> None:
    log = call_logger(CALL_SID)
    with caplog.at_level(logging.INFO):
        log.info("= live")
        log.info("< mark", extra={"stream_sid": "MZ1"})
    assert [entry.call_sid for entry in caplog.records] == [CALL_SID, CALL_SID]  # type: ignore[attr-defined]
    assert caplog.records[1].stream_sid == "MZ1"  # type: ignore[attr-defined]
    assert caplog.records[0].name == "callapp.call"


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_secrets_are_not_logged_whoever_repeats_them(log_format: str) -> None:
    """A service may quote the key that it refuses, and a library the header that it could not send."""
    key, token = "sk-0123456789abcdefghij", "0123456789abcdef0123456789abcdef"
    settings = Settings(
        log_format=log_format, openai_api_key=key, twilio_auth_token=token, callapp_api_key="key"
    )
    line = formatter_for(settings).format(
        record("! a wrong key: %s", key, exception=raised(f"could not send {token}"))
    )
    assert "! a wrong key: ***" in line
    assert "could not send ***" in line


@pytest.mark.usefixtures("logging_left_as_it_was")
def test_configured_twice_every_record_is_written_once_in_the_last_format(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging(Settings(log_level="warning"))
    configure_logging(Settings(log_format="json", log_level="info"))
    logging.getLogger("callapp.web").debug("not wanted")
    logging.getLogger("callapp.web").info("wanted")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["message"] == "wanted"


@pytest.mark.usefixtures("logging_left_as_it_was")
def test_talkative_libraries_are_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log_level="debug"))
    for name in QUIET_LOGGERS:
        logging.getLogger(name).info("a request")
        logging.getLogger(f"{name}.deeper").warning("a problem")
    assert len(capsys.readouterr().err.splitlines()) == len(QUIET_LOGGERS)


@pytest.mark.usefixtures("logging_left_as_it_was")
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_the_development_server_does_not_tell_what_is_searched_for(
    log_format: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """People write numbers with spaces, which no mask knows once a browser has encoded them."""
    configure_logging(Settings(log_format=log_format))
    server = make_server("127.0.0.1", 0, Response("nothing", status=404))
    thread = threading.Thread(target=server.handle_request)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/desk/history?words=%2B81+90+1234+5678&agent="
    assert requests.get(url, timeout=5).status_code == 404
    thread.join(5)
    server.server_close()
    line = capsys.readouterr().err
    assert "GET /desk/history HTTP/1.1" in line
    assert "1234" not in line
    assert "[33m" not in line  # its colour


@pytest.mark.usefixtures("logging_left_as_it_was")
def test_handlers_of_others_stay() -> None:
    theirs = logging.NullHandler()
    logging.getLogger().addHandler(theirs)
    configure_logging(Settings())
    assert theirs in logging.getLogger().handlers


@pytest.mark.usefixtures("logging_left_as_it_was")
def test_warnings_and_uncaught_exceptions_are_log_lines(capsys: pytest.CaptureFixture[str]) -> None:
    sys.excepthook = sys.__excepthook__
    threading.excepthook = threading.__excepthook__
    sys.unraisablehook = sys.__unraisablehook__
    configure_logging(Settings(log_format="json"))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    error = raised(f"who is {NUMBER}")
    sys.excepthook(type(error), error, error.__traceback__)
    thread = threading.Thread(target=_raise, name="uplink")
    thread.start()
    thread.join(5)
    _Unclosable()  # gone at once
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["level"] for line in lines] == ["warning", "critical", "critical", "error"]
    assert "DeprecationWarning: old" in lines[0]["message"]
    assert lines[1]["exception"].endswith("ValueError: who is +81********78")
    assert lines[2]["message"] == "! uncaught exception in thread uplink"
    assert "_Unclosable.__del__" in lines[3]["message"]
    assert lines[3]["exception"].endswith("RuntimeError: a bug")


class _Unclosable:
    def __del__(self) -> None:
        _raise()


def _raise() -> None:
    raise RuntimeError("a bug")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_faults_are_written_one_line_each(
    log_format: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOG_FORMAT", log_format)
    status = refuse_to_start(
        ConfigError(["PORT: read 'x', expected a number", "operator.md:3: unknown field"])
    )
    lines = capsys.readouterr().err.splitlines()
    if log_format == "json":
        assert {json.loads(line)["level"] for line in lines} == {"error"}
        lines = [json.loads(line)["message"] for line in lines]
    assert lines == ["PORT: read 'x', expected a number", "operator.md:3: unknown field"]
    assert status != 0
