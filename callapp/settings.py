"""Every setting, once: environment name, type, default, help, secret or not.

The environment name is the field's name in capitals. ``load_settings()`` reads the environment and then
``.env``; a variable that is there but empty counts as unset. The README's table and ``.env.example`` are
held against ``SETTINGS`` by tests.

To add a setting: a field here, a line in ``.env.example`` and in the README's table.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Final

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from callapp.errors import ConfigError
from callapp.values import (
    BaseUrl,
    Callee,
    DatabaseUrl,
    Folder,
    LogFormat,
    LogLevel,
    Modules,
    Origin,
    OwnNumber,
    Prefixes,
    RateLimit,
    RealtimeUrl,
    RedisUrl,
    Secret,
    WebhookSecret,
    WebhookUrl,
)

SHOWN_CHARACTERS = 80
"""A fault shows what was read up to this length."""

TWILIO_LONGEST_CALL_S = 86_400
"""Twilio ends every call after 24 hours."""

LONGEST_MODEL_SESSION_S = 3_300
"""OpenAI ends a session after 60 minutes; five of them are left to find a quiet moment in."""


def _setting(default: Any, *, help: str, expected: str, secret: bool = False, **rules: Any) -> Any:  # noqa: A002
    """One setting. ``expected`` completes the sentence of a fault: "PORT: read '0', expected …".

    A whole phone number in it would be masked there, as any is.
    """
    return Field(
        default,
        description=help,
        json_schema_extra={"expected": expected, "secret": secret},
        repr=not secret,
        **rules,
    )


class Settings(BaseModel):
    """What an operator can choose. Built by ``load_settings()``, or from keywords in tests."""

    # hide_input_in_errors: a ValidationError in a traceback must not show a secret.
    model_config = ConfigDict(
        frozen=True, extra="forbid", str_strip_whitespace=True, hide_input_in_errors=True
    )

    # Credentials and numbers
    twilio_account_sid: str | None = _setting(
        None,
        help="Account SID, from the Twilio console.",
        expected="an Account SID, AC…",
        pattern=r"^AC[0-9A-Za-z]+$",
    )
    twilio_auth_token: Secret | None = _setting(
        None,
        help="Auth token of that account. It also proves that a webhook comes from Twilio.",
        expected="printable ASCII characters without spaces",
        secret=True,
    )
    openai_api_key: Secret | None = _setting(
        None,
        help="OpenAI API key with access to the Realtime API.",
        expected="printable ASCII characters without spaces",
        secret=True,
    )
    from_phone_number: OwnNumber | None = _setting(
        None,
        help="Our Twilio number, which calls are placed from.",
        expected="a number in E.164, e.g. +1415…",
    )
    to_phone_number: Callee | None = _setting(
        None,
        help="Who is called when a request to /outgoing-call names nobody.",
        expected="an existing number in E.164, e.g. +8190…",
    )

    # The way in
    public_url: Origin | None = _setting(
        None,
        help="Origin at which Twilio reaches this server. Unset: taken from each request.",
        expected="an origin without a path, e.g. https://example.ngrok-free.app",
    )
    port: int = _setting(
        3000,
        help="Port that gunicorn listens on.",
        expected="a whole number from 1 to 65535",
        ge=1,
        le=65_535,
    )
    trusted_proxies: int = _setting(
        0,
        help="Proxies in front whose X-Forwarded-* headers are believed. Heroku, Cloud Run, ngrok: 1.",
        expected="a whole number from 0 to 10",
        ge=0,
        le=10,
    )
    callapp_api_key: Secret | None = _setting(
        None,
        help="Bearer token of the HTTP API. Unset: only direct requests of this machine are served.",
        expected="printable ASCII characters without spaces",
        secret=True,
    )
    twilio_validate_signatures: bool = _setting(
        True,
        help="Set to false only for local experiments: anybody can then pretend to be Twilio.",
        expected="true or false",
    )
    rate_limit_per_key: RateLimit = _setting(
        "60/minute",
        help="Limit of requests to /outgoing-call by one API key; every authenticated one counts.",
        expected="a rate such as 60/minute, or several separated by ;",
    )
    rate_limit_per_callee: RateLimit = _setting(
        "5/minute",
        help="Limit of requests to /outgoing-call for one callee.",
        expected="a rate such as 5/minute, or several separated by ;",
    )
    allowed_destinations: Prefixes = _setting(
        (),
        help="E.164 prefixes that may be dialled, separated by commas. Unset: any.",
        expected="prefixes of + and digits separated by commas, e.g. +81,+1415",
    )

    # The services we use
    openai_realtime_url: RealtimeUrl = _setting(
        "wss://api.openai.com/v1/realtime",
        help="Endpoint of the Realtime API, or of anything compatible with it.",
        expected="a wss:// URL without a query, or a ws:// one of this machine",
    )
    openai_realtime_model: str = _setting(
        "gpt-realtime-2.1-mini",
        help="Model of agents that name none.",
        expected="the name of a model",
        pattern=r"^\S+$",
    )
    openai_base_url: BaseUrl | None = _setting(
        None,
        help="Endpoint of OpenAI's REST API, which is asked what a call was about. Unset: the one that "
        "belongs to OPENAI_REALTIME_URL.",
        expected="an https:// URL, or an http:// one of this machine",
    )
    analysis_model: str = _setting(
        "gpt-5.6-luna",
        help="Text model that is asked, once a call is over, for a summary, a verdict, tags, and what the "
        "agent extracts; off for none.",
        expected="the name of a model, or off",
        pattern=r"^\S+$",
    )
    twilio_api_url: Origin = _setting(
        "https://api.twilio.com",
        help="Where every request to Twilio's REST API goes; another one for a simulator.",
        expected="an origin without a path, e.g. https://api.twilio.com",
    )
    database_url: DatabaseUrl | None = _setting(
        None,
        help="Database. Unset: SQLite in the instance folder, which is enough for one machine.",
        expected="postgresql://user:password@host/name, or sqlite:///file",
        secret=True,
    )

    redis_url: RedisUrl | None = _setting(
        None,
        help="Redis by which the two calls of an interpreter find each other across processes and machines. "
        "Unset: PostgreSQL, if that is the database.",
        expected="redis://user:password@host:6379 or rediss://…",
        secret=True,
    )
    recordings_url: str | None = _setting(
        None,
        help="Where recordings are kept. Unset: in the instance folder. s3:// and gs:// want s3fs or gcsfs.",
        expected="a folder, or the URL of one, e.g. s3://bucket/recordings",
    )

    # What we tell others
    webhook_url: WebhookUrl | None = _setting(
        None,
        help="Where to tell that a call started, ended, or was analysed. Unset: nowhere.",
        expected="an https:// or http:// URL without credentials",
    )
    webhook_secret: WebhookSecret | None = _setting(
        None,
        help="Signs those webhooks, by the Standard Webhooks scheme; needed with WEBHOOK_URL.",
        expected="whsec_ and the base64 of 24 to 64 bytes",
        secret=True,
    )

    # Agents and tools
    agents_dir: Folder | None = _setting(
        None,
        help="Folder of agent files added to the built-in ones; the same name replaces.",
        expected="a folder that can be read",
    )
    tools_dir: Folder | None = _setting(
        None, help="Folder of Python files with tools of your own.", expected="a folder that can be read"
    )
    tools_modules: Modules = _setting(
        (),
        help="Installed modules with tools of your own, separated by commas.",
        expected="names of modules separated by commas, e.g. shop.phone_tools",
    )
    default_agent: str = _setting(
        "operator", help="Agent of calls that name none.", expected="the name of an agent", pattern=r"^\S+$"
    )

    # Capacity and time
    max_concurrent_calls: int = _setting(
        100, help="Calls that one process takes.", expected="a whole number from 1 to 5000", ge=1, le=5000
    )
    max_call_seconds: int = _setting(
        1800,
        help="Longest call; at the limit a goodbye is spoken.",
        expected="a whole number from 1 to 86400",
        ge=1,
        le=TWILIO_LONGEST_CALL_S,
    )
    model_session_seconds: int = _setting(
        3300,
        help="Age at which a call's session at OpenAI is renewed, unheard. OpenAI ends one after 60 minutes.",
        expected="a whole number from 1 to 3300",
        ge=1,
        le=LONGEST_MODEL_SESSION_S,
    )
    max_call_cost_usd: float | None = _setting(
        None,
        help="What a call may cost at OpenAI, in US dollars; at the limit a goodbye is spoken.",
        expected="an amount above 0, e.g. 0.50",
        gt=0,
        allow_inf_nan=False,
    )
    web_concurrency: int = _setting(
        1,
        help="gunicorn's worker processes, each with MAX_CONCURRENT_CALLS calls.",
        expected="a whole number from 1 to 256",
        ge=1,
        le=256,
    )
    drain_seconds: int = _setting(
        25,
        help="How long live calls may go on after SIGTERM. Heroku: at most 25. Cloud Run: 8. "
        "Your own machine: up to MAX_CALL_SECONDS.",
        expected="a whole number from 0 to 86400",
        ge=0,
        le=TWILIO_LONGEST_CALL_S,
    )

    # Logs
    log_level: LogLevel = _setting(
        "info", help="How much is logged.", expected="debug, info, warning or error"
    )
    log_format: LogFormat = _setting(
        "text", help="Lines for people (text), or one JSON object a line (json).", expected="text or json"
    )

    @property
    def openai_rest_url(self) -> str:
        """Where OpenAI's REST API is: a key must not go to another company than the one it is of."""
        if self.openai_base_url is not None:
            return self.openai_base_url
        return "http" + self.openai_realtime_url.removeprefix("ws").removesuffix("/realtime")

    def may_dial(self, number: str) -> bool:
        """Whether ALLOWED_DESTINATIONS permits a number, in E.164."""
        return not self.allowed_destinations or number.startswith(self.allowed_destinations)


@dataclass(frozen=True)
class Description:
    """What the documentation says of a setting."""

    name: str
    default: Any
    help: str
    expected: str
    secret: bool


def _describe() -> tuple[Description, ...]:
    return tuple(
        Description(
            name.upper(),
            field.default,
            field.description or "",
            str(extra["expected"]),
            bool(extra["secret"]),
        )
        for name, field in Settings.model_fields.items()
        if isinstance(extra := field.json_schema_extra, dict)
    )


SETTINGS: Final[tuple[Description, ...]] = _describe()
"""All settings, in the order in which the documentation lists them."""


def load_settings(environ: Mapping[str, str] | None = None, dotenv: str | Path = ".env") -> Settings:
    """Read the settings from the environment, then from ``dotenv`` in the current folder.

    Raises:
        ConfigError: with every fault there is, one line each.
    """
    given = _given(os.environ if environ is None else environ, dotenv)
    try:
        return Settings(**{name.lower(): value for name, value in given.items()})
    except ValidationError as error:
        raise ConfigError(_faults(error, given)) from None


def json_wanted(environ: Mapping[str, str] | None = None, dotenv: str | Path = ".env") -> bool:
    """Tell whether LOG_FORMAT asks for JSON; needed to report that other settings are wrong."""
    environ = os.environ if environ is None else environ
    with suppress(ConfigError):  # the file cannot be read: what the environment says has to do
        environ = _given(environ, dotenv)
    return environ.get("LOG_FORMAT", "").lower() == "json"


def read_variable(name: str, dotenv: str | Path = ".env") -> str | None:
    """Read a variable that is none of the settings, e.g. a token that an agent file names."""
    return os.environ.get(name) or _read(dotenv).get(name) or None


def _given(environ: Mapping[str, str], dotenv: str | Path) -> dict[str, str]:
    """Return what is set of our variables. An empty one in the environment hides the one in ``dotenv``."""
    found = {**_read(dotenv), **environ}
    given = {setting.name: (found.get(setting.name) or "").strip() for setting in SETTINGS}
    return {name: value for name, value in given.items() if value}


def _read(dotenv: str | Path) -> Mapping[str, str | None]:
    try:
        text = Path(dotenv).read_text("utf-8")
    except (FileNotFoundError, IsADirectoryError):
        return {}
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{dotenv}:{line}: is not UTF-8; expected a UTF-8 text file"]) from None
    except OSError as error:
        raise ConfigError([f"{dotenv}: cannot be read: {error.strerror}"]) from None
    # dotenv would go on without such a line, and without what it limits or protects. It may hold a secret.
    wrong = [binding.original.line for binding in parse_stream(StringIO(text)) if binding.error]
    if wrong:
        raise ConfigError(
            [f"{dotenv}:{line}: cannot be read; expected NAME=value, quotes closed" for line in wrong]
        )
    return dotenv_values(stream=StringIO(text))


def _faults(error: ValidationError, given: Mapping[str, str]) -> list[str]:
    wrong = {str(fault["loc"][0]).upper() for fault in error.errors(include_input=False)}
    return [
        f"{setting.name}: read {_shown(given[setting.name], setting.secret)}, expected {setting.expected}"
        for setting in SETTINGS
        if setting.name in wrong
    ]


def _shown(value: str, secret: bool) -> str:
    if secret:
        return f"a value of {len(value)} characters, not shown"
    # A URL can carry a password or a key, also where none belongs.
    value = re.sub(r"//.*@", "//…@", value)
    value = re.sub(r"\?.*", "?…", value)
    return repr(value if len(value) <= SHOWN_CHARACTERS else value[:SHOWN_CHARACTERS] + "…")
