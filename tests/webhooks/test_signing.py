"""The Standard Webhooks scheme, judged by its authors' own library."""

from __future__ import annotations

import base64
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from callapp.webhooks.signing import read_secret, signed_headers


@given(
    st.binary(min_size=24, max_size=64),
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.integers()),
)
def test_the_reference_library_takes_what_we_sign(key: bytes, data: dict[str, int]) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    body = json.dumps(data, ensure_ascii=False).encode()
    headers = signed_headers(read_secret(secret), "msg_1", int(time.time()), body)
    assert Webhook(secret).verify(body, headers) == data


def test_another_body_or_another_key_is_not_taken() -> None:
    key = b"k" * 32
    headers = signed_headers(key, "msg_1", int(time.time()), b'{"a": 1}')
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + base64.b64encode(key).decode()).verify(b'{"a": 2}', headers)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + base64.b64encode(b"x" * 32).decode()).verify(b'{"a": 1}', headers)


@pytest.mark.parametrize(
    "secret",
    [
        base64.b64encode(b"k" * 32).decode(),
        "whsec_" + base64.b64encode(b"k" * 23).decode(),
        "whsec_" + base64.b64encode(b"k" * 65).decode(),
        "whsec_ " + base64.b64encode(b"k" * 32).decode(),
        "whsec_säcret",
        "whsec_",
    ],
)
def test_what_is_no_secret_is_refused(secret: str) -> None:
    with pytest.raises(ValueError):
        read_secret(secret)
