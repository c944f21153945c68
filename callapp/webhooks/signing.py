"""How a message proves that it is ours: the Standard Webhooks scheme, with a shared secret. Pure.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

SECRET_PREFIX = "whsec_"  # noqa: S105 - it marks secrets and is none
LEAST_KEY_BYTES = 24
MOST_KEY_BYTES = 64


def read_secret(secret: str) -> bytes:
    """The key in a secret: ``whsec_`` and the base64 of 24 to 64 random bytes.

    Raises:
        ValueError: it is anything else.
    """
    if not secret.startswith(SECRET_PREFIX):
        raise ValueError("it does not begin with whsec_")
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("what follows whsec_ is not base64") from error
    if not LEAST_KEY_BYTES <= len(key) <= MOST_KEY_BYTES:
        raise ValueError("the key has not 24 to 64 bytes")
    return key


def signed_headers(key: bytes, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers by which a receiver checks a message.

    Args:
        message_id: the same at every attempt, so that a receiver can tell a repeated message.
        timestamp: of this attempt, in seconds; a receiver refuses one that is minutes old.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }
