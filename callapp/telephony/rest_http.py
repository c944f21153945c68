"""The HTTP below Twilio's client, with our errors in place of its own.

Twilio's exceptions drop ``more_info`` and transport failures come up as those of ``requests``, so both
are told apart here, where the answer is still whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from twilio.http.http_client import TwilioHttpClient
from twilio.http.response import Response

from callapp.errors import CarrierRefused, CarrierTimeout, CarrierUnreachable
from callapp.sentences import N_


class TwilioHttp(TwilioHttpClient):  # type: ignore[misc]  # Twilio ships no types
    """One session for all threads; never retries, since a dial that was sent twice rings twice.

    Args:
        timeout_s: to connect, and again between any two pieces of the answer.
        use_proxies: whether HTTPS_PROXY and the like are honoured; wrong for a simulator on this machine.
    """

    def __init__(self, timeout_s: float, *, use_proxies: bool) -> None:
        super().__init__(timeout=timeout_s, max_retries=0)
        self.session.trust_env = use_proxies

    def request(self, *args: Any, **kwargs: Any) -> Response:
        with _our_errors(self.timeout):
            response = super().request(*args, **kwargs)
        if response.status_code >= 300:
            raise _refusal(response.status_code, response.text)
        return response


def fetch(session: requests.Session, url: str, auth: tuple[str, str], timeout_s: float) -> bytes | None:
    """Get a file; ``None`` if it is not there.

    Raises:
        CarrierRefused, CarrierUnreachable, CarrierTimeout: as for any request.
    """
    with _our_errors(timeout_s):
        response = session.get(url, auth=auth, timeout=timeout_s)
    if response.status_code == 404:
        return None
    if response.status_code >= 300:
        raise _refusal(response.status_code, response.text)
    return bytes(response.content)


@contextmanager
def _our_errors(timeout_s: float) -> Iterator[None]:
    """Make what `requests` raises ours."""
    try:
        yield
    except requests.ConnectTimeout as error:  # nothing has been sent
        raise CarrierUnreachable(N_("Twilio could not be reached: no connection in time")) from error
    except requests.Timeout as error:
        raise CarrierTimeout(N_("Twilio did not answer within %(seconds)g s", seconds=timeout_s)) from error
    except requests.RequestException as error:
        if "Read timed out" in str(error):  # how requests tells it when the body stalls half-way
            raise CarrierTimeout(
                N_("Twilio did not finish its answer within %(seconds)g s", seconds=timeout_s)
            ) from error
        raise CarrierUnreachable(
            N_("Twilio could not be reached: %(error)s", error=type(error).__name__)
        ) from error


def _refusal(status: int, body: str) -> CarrierRefused | CarrierUnreachable:
    """Twilio's own error, in its old form or in that of RFC 9457; anything else is nonsense."""
    try:
        said = json.loads(body)
        code = said["code"]
        message = said.get("message") or said.get("detail") or said["title"]
        more_info = said.get("more_info") or said.get("type")
    except (ValueError, KeyError, TypeError, AttributeError):
        return CarrierUnreachable(
            N_("Twilio answered HTTP %(status)s and nothing that explains it", status=status)
        )
    return CarrierRefused(
        status,
        code if isinstance(code, int) else None,
        str(message),
        more_info if isinstance(more_info, str) else None,
    )
