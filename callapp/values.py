"""How the values of settings are read, and the types that stand for it.

A reader returns the value in the form that is used from there on, or raises `ValueError`; what was
expected instead is said by the setting.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import limits
from pydantic import AfterValidator, BeforeValidator, SecretStr
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from callapp.phone_numbers import existing_e164, possible_e164
from callapp.webhooks.signing import read_secret


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address can only mean this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _check_secret(value: SecretStr) -> SecretStr:
    # All of them travel in HTTP headers, where a space or a stray quote from a text editor ends in a 401
    # that nobody understands.
    if not re.fullmatch(r"[!-~]+", value.get_secret_value()):
        raise ValueError
    return value


def _read_callee(value: str) -> str:
    return _number(existing_e164(value))


def _read_own_number(value: str) -> str:
    # Twilio gave it to us, so it exists, also when libphonenumber has not heard of its range yet.
    return _number(possible_e164(value))


def _number(read: str | None) -> str:
    if read is None:
        raise ValueError
    return read


def _read_url(value: str, schemes: tuple[str, ...]) -> str:
    """Check a URL without credentials and fragment; return it without a slash at its end."""
    url = urlsplit(value)
    url.port  # noqa: B018  (raises ValueError when it is no port)
    if (
        url.scheme not in schemes
        or not url.hostname
        or url.fragment
        or "@" in url.netloc
        or re.search(r"\s", value)
    ):
        raise ValueError
    return f"{url.scheme}://{url.netloc.lower()}{url.path.rstrip('/')}{'?' + url.query if url.query else ''}"


def _read_origin(value: str) -> str:
    value = _read_url(value, ("http", "https"))
    if urlsplit(value).path or "?" in value:
        raise ValueError
    return value


def _read_base_url(value: str) -> str:
    return _read_endpoint(value, "http", "https")


def _read_realtime_url(value: str) -> str:
    return _read_endpoint(value, "ws", "wss")


def _read_endpoint(value: str, plain: str, tls: str) -> str:
    """Check a URL that keys are sent to: by TLS, but to this machine. Paths and queries come behind it."""
    value = _read_url(value, (plain, tls))
    url = urlsplit(value)
    if url.query or (url.scheme == plain and not is_loopback(url.hostname or "")):
        raise ValueError
    return value


def _read_webhook_url(value: str) -> str:
    _read_url(value, ("http", "https"))
    return value  # as it is: a receiver may know it only with the slash at its end, and we follow no redirect


def _check_webhook_secret(value: SecretStr) -> SecretStr:
    read_secret(value.get_secret_value())
    return value


def _read_database_url(value: str) -> str:
    """Check a database URL; name the driver, which hosts that hand out URLs leave open."""
    value = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", value)
    try:
        driver = make_url(value).drivername
    except ArgumentError as error:
        raise ValueError from error
    if driver not in ("postgresql+psycopg", "sqlite"):
        raise ValueError
    return value


def _check_redis_url(value: str) -> str:
    url = urlsplit(value)
    url.port  # noqa: B018  (raises ValueError when it is no port)
    if url.scheme not in ("redis", "rediss") or not url.hostname:
        raise ValueError
    return value


def _read_rate_limit(value: str) -> str:
    for limit in limits.parse_many(value):
        if limit.amount < 1:
            raise ValueError
    return value


def _split(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _check_modules(value: tuple[str, ...]) -> tuple[str, ...]:
    if not all(part.isidentifier() for name in value for part in name.split(".")):
        raise ValueError
    return value


def _check_prefixes(value: tuple[str, ...]) -> tuple[str, ...]:
    # Commas alone, as of a script whose variables are empty, must not come to "any".
    if not value or not all(re.fullmatch(r"\+[0-9]{1,15}", prefix) for prefix in value):
        raise ValueError
    return value


def _read_folder(value: Path) -> Path:
    try:
        folder = value.expanduser()
        # Looked into: where it or a folder above it is somebody else's, `is_dir` raises or says yes.
        next(folder.iterdir(), None)
    except (OSError, RuntimeError) as error:  # RuntimeError: ~ of somebody who has no account here
        raise ValueError from error
    return folder


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


Secret = Annotated[SecretStr, AfterValidator(_check_secret)]
Origin = Annotated[str, AfterValidator(_read_origin)]
Folder = Annotated[Path, AfterValidator(_read_folder)]
RateLimit = Annotated[str, AfterValidator(_read_rate_limit)]
OwnNumber = Annotated[str, AfterValidator(_read_own_number)]
Callee = Annotated[str, AfterValidator(_read_callee)]
RealtimeUrl = Annotated[str, AfterValidator(_read_realtime_url)]
BaseUrl = Annotated[str, AfterValidator(_read_base_url)]
DatabaseUrl = Annotated[str, AfterValidator(_read_database_url)]
WebhookUrl = Annotated[str, AfterValidator(_read_webhook_url)]
WebhookSecret = Annotated[SecretStr, AfterValidator(_check_webhook_secret)]
RedisUrl = Annotated[str, AfterValidator(_check_redis_url)]
Prefixes = Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_check_prefixes)]
Modules = Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_check_modules)]
LogLevel = Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)]
LogFormat = Annotated[Literal["text", "json"], BeforeValidator(_lower)]
