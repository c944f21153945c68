"""Twilio's signatures, made here by Twilio's own code."""

from __future__ import annotations

import pytest
from twilio.request_validator import RequestValidator
from werkzeug.datastructures import MultiDict

from callapp.telephony.signature import valid_upgrade, valid_webhook

TOKEN = "0123456789abcdef0123456789abcdef"
URL = "https://voice.example.com/incoming-call?agent=operator"
FIELDS = {"CallSid": "CA1", "From": "+14158675310", "CallerName": "", "FromCity": " 渋谷 "}


def sign(url: str, fields: object = None, token: str = TOKEN) -> str:
    return str(RequestValidator(token).compute_signature(url, fields or {}))


def test_the_vector_in_twilios_documentation() -> None:
    url = "https://example.com/myapp.php?foo=1&bar=2"
    fields = {
        "Digits": "1234",
        "To": "+18005551212",
        "From": "+14158675310",
        "Caller": "+14158675310",
        "CallSid": "CA1234567890ABCDE",
    }
    assert valid_webhook("12345", url, fields, "L/OH5YylLD5NRKLltdqwSvS0BnU=")


def test_a_signed_webhook_is_valid() -> None:
    assert valid_webhook(TOKEN, URL, FIELDS, sign(URL, FIELDS))


def test_each_value_of_a_repeated_field_counts() -> None:
    fields = MultiDict([("A", "2"), ("A", "1"), ("B", "")])
    assert valid_webhook(TOKEN, URL, fields, sign(URL, fields))
    assert not valid_webhook(TOKEN, URL, MultiDict([("A", "2"), ("B", "")]), sign(URL, fields))


@pytest.mark.parametrize("signature", [None, "", "nonsense", "日本", "=" * 28])
def test_no_signature_is_not_valid(signature: str | None) -> None:
    assert not valid_webhook(TOKEN, URL, FIELDS, signature)


def test_another_token_url_or_field_is_not_valid() -> None:
    signature = sign(URL, FIELDS)
    assert not valid_webhook("f" * 32, URL, FIELDS, signature)
    assert not valid_webhook(TOKEN, URL.replace("operator", "other"), FIELDS, signature)
    assert not valid_webhook(TOKEN, URL, {**FIELDS, "From": "+1"}, signature)
    assert not valid_webhook(TOKEN, URL, {**FIELDS, "Extra": ""}, signature)
    assert not valid_webhook(TOKEN, URL, {}, signature)


def test_a_host_that_is_none_is_not_valid() -> None:
    assert not valid_webhook(TOKEN, "https://host:port/x", FIELDS, "x" * 28)


@pytest.mark.parametrize(
    "signed",
    [
        "wss://voice.example.com/ws",
        "wss://voice.example.com/ws/",
        "wss://voice.example.com:443/ws",
        "wss://voice.example.com:443/ws/",
    ],
)
@pytest.mark.parametrize("ours", ["wss://voice.example.com/ws", "wss://voice.example.com/ws/"])
def test_an_upgrade_is_valid_with_or_without_slash_and_port(signed: str, ours: str) -> None:
    assert valid_upgrade(TOKEN, ours, sign(signed))


def test_an_upgrade_of_a_simulator_on_a_port_is_valid() -> None:
    assert valid_upgrade(TOKEN, "ws://127.0.0.1:3000/ws", sign("ws://127.0.0.1:3000/ws"))


@pytest.mark.parametrize(
    "signed",
    ["wss://voice.example.com/other", "wss://evil.example.com/ws", "ws://voice.example.com/ws", URL],
)
def test_an_upgrade_signed_for_another_url_is_not_valid(signed: str) -> None:
    assert not valid_upgrade(TOKEN, "wss://voice.example.com/ws", sign(signed))


def test_an_upgrade_without_signature_is_not_valid() -> None:
    assert not valid_upgrade(TOKEN, "wss://voice.example.com/ws", None)
