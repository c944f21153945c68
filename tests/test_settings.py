"""The settings: defaults, every fault at once, no secret shown, documented."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import NoReturn

import pytest
from pydantic import SecretStr, ValidationError

from callapp.errors import ConfigError
from callapp.settings import SETTINGS, Settings, json_wanted, load_settings, read_variable
from callapp.values import is_loopback

ROOT = Path(__file__).parent.parent
NO_DOTENV = Path("no-such-file")


def load(**environ: str) -> Settings:
    return load_settings(environ, NO_DOTENV)


def faults(**environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(**environ)
    return list(caught.value.faults)


def test_nothing_has_to_be_set() -> None:
    settings = load()
    assert settings == Settings()
    assert settings.port == 3000
    assert settings.public_url is None
    assert settings.openai_realtime_url == "wss://api.openai.com/v1/realtime"
    assert settings.openai_realtime_model == "gpt-realtime-2.1-mini"
    assert settings.twilio_api_url == "https://api.twilio.com"
    assert settings.twilio_validate_signatures is True
    assert settings.trusted_proxies == 0
    assert (settings.max_concurrent_calls, settings.max_call_seconds, settings.drain_seconds) == (
        100,
        1800,
        25,
    )
    assert (settings.rate_limit_per_key, settings.rate_limit_per_callee) == ("60/minute", "5/minute")
    assert settings.allowed_destinations == ()
    assert (settings.web_concurrency, settings.default_agent) == (1, "operator")
    assert (settings.log_level, settings.log_format) == ("info", "text")


def test_keywords_do_not_read_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "4000")
    assert Settings(max_concurrent_calls=2).port == 3000
    with pytest.raises(ValidationError):
        Settings(prot=4000)  # type: ignore[call-arg]


def test_the_environment_wins_over_dotenv_and_empty_is_unset(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text(
        "PORT=4000\nLOG_LEVEL=debug\nDEFAULT_AGENT=reception\nTO_PHONE_NUMBER=\nNGROK_AUTHTOKEN=not-ours\n"
    )
    settings = load_settings({"PORT": "5000", "LOG_LEVEL": "", "HOME": "/root"}, dotenv)
    assert settings.port == 5000
    assert settings.log_level == "info"
    assert settings.default_agent == "reception"
    assert settings.to_phone_number is None


def test_dotenv_of_the_current_folder_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("PORT=4000\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PORT", raising=False)
    assert load_settings().port == 4000


def test_every_fault_is_told_at_once_one_line_each() -> None:
    told = faults(
        PORT="99999",
        MAX_CONCURRENT_CALLS="many",
        DRAIN_SECONDS="-1",
        LOG_FORMAT="xml",
        TO_PHONE_NUMBER="09012345678",
    )
    assert told == [
        "TO_PHONE_NUMBER: read '09012345678', expected an existing number in E.164, e.g. +8190…",
        "PORT: read '99999', expected a whole number from 1 to 65535",
        "MAX_CONCURRENT_CALLS: read 'many', expected a whole number from 1 to 5000",
        "DRAIN_SECONDS: read '-1', expected a whole number from 0 to 86400",
        "LOG_FORMAT: read 'xml', expected text or json",
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "http"),
        ("PORT", "3000.5"),
        ("TRUSTED_PROXIES", "-1"),
        ("TRUSTED_PROXIES", "true"),
        ("MAX_CONCURRENT_CALLS", "0"),
        ("MAX_CALL_SECONDS", "0"),
        ("MODEL_SESSION_SECONDS", "3301"),
        ("MAX_CALL_COST_USD", "0"),
        ("MAX_CALL_COST_USD", "$1"),
        ("MAX_CALL_COST_USD", "nan"),
        ("MAX_CALL_COST_USD", "inf"),
        ("WEB_CONCURRENCY", "0"),
        ("DRAIN_SECONDS", "1e9"),
        ("TWILIO_VALIDATE_SIGNATURES", "perhaps"),
        ("TWILIO_ACCOUNT_SID", "SK0123456789abcdef0123456789abcdef"),
        ("FROM_PHONE_NUMBER", "14155550100"),
        ("FROM_PHONE_NUMBER", "+1"),
        ("FROM_PHONE_NUMBER", "callapp"),
        ("TO_PHONE_NUMBER", "+15550001111"),
        ("PUBLIC_URL", "example.ngrok-free.app"),
        ("PUBLIC_URL", "wss://example.ngrok-free.app"),
        ("PUBLIC_URL", "https://example.ngrok-free.app/incoming-call"),
        ("PUBLIC_URL", "https://example.ngrok-free.app?a=b"),
        ("PUBLIC_URL", "https://example.ngrok-free.app#a"),
        ("PUBLIC_URL", "https://user:password@example.ngrok-free.app"),
        ("PUBLIC_URL", "https://example.ngrok-free.app:port"),
        ("PUBLIC_URL", "https://"),
        ("PUBLIC_URL", "https://example. ngrok-free.app"),
        ("OPENAI_REALTIME_URL", "https://api.openai.com/v1/realtime"),
        ("OPENAI_REALTIME_URL", "ws://api.openai.com/v1/realtime"),
        ("OPENAI_REALTIME_URL", "ws://localhost.example.com/v1/realtime"),
        ("OPENAI_REALTIME_URL", "wss://api.openai.com/v1/realtime?model=gpt-realtime-2.1"),
        ("OPENAI_REALTIME_MODEL", "gpt realtime"),
        ("TWILIO_API_URL", "ftp://api.twilio.com"),
        ("DATABASE_URL", "mysql://user@localhost/callapp"),
        ("DATABASE_URL", "callapp.db"),
        ("REDIS_URL", "localhost:6379"),
        ("REDIS_URL", "http://localhost:6379"),
        ("REDIS_URL", "redis://"),
        ("REDIS_URL", "redis://localhost:port"),
        ("AGENTS_DIR", "/no/such/folder"),
        ("AGENTS_DIR", "~nobody-of-this-name/agents"),
        ("TOOLS_DIR", __file__),
        ("TOOLS_MODULES", "shop.tools,phone-tools"),
        ("RATE_LIMIT_PER_KEY", "often"),
        ("RATE_LIMIT_PER_KEY", "0/minute"),
        ("RATE_LIMIT_PER_CALLEE", "5"),
        ("ALLOWED_DESTINATIONS", "81"),
        ("ALLOWED_DESTINATIONS", "+81,any"),
        ("ALLOWED_DESTINATIONS", ","),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "logfmt"),
    ],
)
def test_a_wrong_value_is_a_fault_that_names_the_variable(name: str, value: str) -> None:
    (fault,) = faults(**{name: value})
    assert fault.startswith(f"{name}: read ")
    assert ", expected " in fault
    assert "\n" not in fault


@pytest.mark.parametrize("name", ["AGENTS_DIR", "TOOLS_DIR"])
def test_a_folder_that_may_not_be_looked_into_is_a_fault(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pretended: root, as whom the tests may run, may look anywhere."""

    def forbidden(path: Path) -> NoReturn:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", forbidden)
    assert faults(**{name: str(tmp_path)}) == [
        f"{name}: read '{tmp_path}', expected a folder that can be read"
    ]


@pytest.mark.parametrize("name", [setting.name for setting in SETTINGS if setting.secret])
def test_a_secret_is_never_shown(name: str) -> None:
    (fault,) = faults(**{name: "hunter 2 é"})
    assert "hunter" not in fault
    assert fault.startswith(f"{name}: read a value of 10 characters, not shown, expected ")


def test_a_password_in_a_url_is_not_shown() -> None:
    (public_url,) = faults(PUBLIC_URL="https://user:hunter2@example.com")
    (realtime_url,) = faults(OPENAI_REALTIME_URL="https://example.com/realtime?api-key=hunter2")
    (webhook_url,) = faults(WEBHOOK_URL="https://user:hunter/2@example.com/hook")
    assert "hunter" not in public_url + realtime_url + webhook_url
    assert "example.com/hook" in webhook_url


def test_secrets_are_in_no_representation() -> None:
    settings = load(
        TWILIO_AUTH_TOKEN="hunter2",
        OPENAI_API_KEY="hunter2",
        CALLAPP_API_KEY="hunter2",
        DATABASE_URL="postgresql://user:hunter2@db/callapp",
        REDIS_URL="rediss://user:hunter2@redis:6379",
    )
    assert settings.openai_api_key == SecretStr("hunter2")
    assert "hunter2" not in f"{settings!r} {settings}"
    with pytest.raises(ValidationError) as caught:
        Settings(twilio_auth_token="hunter 2")
    assert "hunter" not in str(caught.value)


def test_values_are_normalised(tmp_path: Path) -> None:
    settings = load(
        PUBLIC_URL="https://Example.ngrok-free.app/",
        FROM_PHONE_NUMBER="+1 415-555-0100",
        OPENAI_REALTIME_URL="ws://127.0.0.1:9000/v1/realtime/",
        TWILIO_API_URL="http://127.0.0.1:9001/",
        DATABASE_URL="postgres://user:p%40ss@db/callapp",
        ALLOWED_DESTINATIONS="+81, +1415,",
        AGENTS_DIR=str(tmp_path),
        LOG_LEVEL="DEBUG",
        LOG_FORMAT="JSON",
        TWILIO_VALIDATE_SIGNATURES="no",
        PORT=" 8080 ",
    )
    assert settings.public_url == "https://example.ngrok-free.app"
    assert settings.from_phone_number == "+14155550100"
    assert settings.openai_realtime_url == "ws://127.0.0.1:9000/v1/realtime"
    assert settings.twilio_api_url == "http://127.0.0.1:9001"
    assert settings.database_url == "postgresql+psycopg://user:p%40ss@db/callapp"
    assert settings.allowed_destinations == ("+81", "+1415")
    assert settings.agents_dir == tmp_path
    assert (settings.log_level, settings.log_format) == ("debug", "json")
    assert settings.twilio_validate_signatures is False
    assert settings.port == 8080


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@db/name",
        "postgresql+psycopg://u:p@db:5432/name?sslmode=require",
        "sqlite:////tmp/calls.db",
    ],
)
def test_databases_we_know(url: str) -> None:
    read = load(DATABASE_URL=url).database_url
    assert read is not None
    assert read.split("://")[1] == url.split("://")[1]


@pytest.mark.parametrize("path", ["/hooks/callapp/", "/hooks/callapp", "/hooks/?to=callapp", "/", ""])
def test_where_webhooks_go_is_left_as_it_is(path: str) -> None:
    """Many servers redirect what lacks the slash at its end, and a redirect is not followed."""
    url = f"https://example.com{path}"
    assert load(WEBHOOK_URL=url).webhook_url == url


@pytest.mark.parametrize("number", ["+819012345678", "+14155550100", "+442079460000"])
def test_numbers_that_exist(number: str) -> None:
    assert load(TO_PHONE_NUMBER=number, FROM_PHONE_NUMBER=number).to_phone_number == number


def test_the_wish_for_json_is_known_even_when_settings_are_wrong() -> None:
    assert json_wanted({"LOG_FORMAT": "Json", "PORT": "x"}, NO_DOTENV)
    assert not json_wanted({"PORT": "x"}, NO_DOTENV)


def test_a_dotenv_that_is_not_utf_8_is_a_fault_of_one_line(tmp_path: Path) -> None:
    """A comment in Shift JIS is enough."""
    dotenv = tmp_path / ".env"
    dotenv.write_bytes("LOG_FORMAT=json\n# 電話番号\n".encode("shift_jis"))
    with pytest.raises(ConfigError) as caught:
        load_settings({}, dotenv)
    assert caught.value.faults == (f"{dotenv}:2: is not UTF-8; expected a UTF-8 text file",)
    assert json_wanted({"LOG_FORMAT": "json"}, dotenv)
    assert not json_wanted({}, dotenv)


@pytest.mark.parametrize("line", ['ALLOWED_DESTINATIONS="+81', "ALLOWED_DESTINATIONS: +81"])
def test_a_line_of_dotenv_that_cannot_be_read_is_a_fault(tmp_path: Path, line: str) -> None:
    """Without it, all the world may be dialled. What stands there may be a secret."""
    dotenv = tmp_path / ".env"
    dotenv.write_text(f"PORT=4000\n{line}\nLOG_FORMAT=json\n")
    with pytest.raises(ConfigError) as caught:
        load_settings({}, dotenv)
    assert caught.value.faults == (f"{dotenv}:2: cannot be read; expected NAME=value, quotes closed",)


def test_a_dotenv_that_cannot_be_opened_is_a_fault_of_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is often root's alone, and the server somebody else's."""

    def denied(*_: object) -> str:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "read_text", denied)
    with pytest.raises(ConfigError) as caught:
        load_settings({}, tmp_path / ".env")
    assert caught.value.faults == (f"{tmp_path / '.env'}: cannot be read: Permission denied",)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("example.com", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_env_example_lists_every_setting_and_no_other() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    listed = [match[1] for line in lines if (match := re.match(r"# ([A-Z_]+)=", line))]
    assert sorted(listed) == sorted(setting.name for setting in SETTINGS)
    # Nothing is set by copying it, so no example value is taken for real.
    assert all(line.startswith("#") or not line for line in lines)


def test_env_example_shows_the_defaults() -> None:
    text = (ROOT / ".env.example").read_text()
    shown = dict(re.findall(r"^# ([A-Z_]+)=(.*)$", text, flags=re.MULTILINE))
    for setting in SETTINGS:
        if setting.default not in (None, ()):
            assert shown[setting.name].lower() == str(setting.default).lower()
        if setting.secret and setting.name not in ("DATABASE_URL", "REDIS_URL"):
            assert not shown[setting.name]


def test_the_examples_of_env_example_are_valid(tmp_path: Path) -> None:
    text = (ROOT / ".env.example").read_text()
    shown = dict(re.findall(r"^# ([A-Z_]+)=(.+)$", text, flags=re.MULTILINE))
    del shown["AGENTS_DIR"], shown["TOOLS_DIR"]  # folders that only a user has
    load(**shown)


def test_a_variable_that_is_no_setting_is_read_from_the_environment_then_from_dotenv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("CRM_TOKEN=from-the-file\n")
    assert read_variable("CRM_TOKEN", dotenv) == "from-the-file"
    monkeypatch.setenv("CRM_TOKEN", "from-the-environment")
    assert read_variable("CRM_TOKEN", dotenv) == "from-the-environment"
    assert read_variable("NO_SUCH_VARIABLE", dotenv) is None
