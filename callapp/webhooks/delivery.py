"""Sends webhooks: one request an attempt, to the configured URL and nowhere else.

At least once always: a message leaves the table of jobs when the receiver has answered 2xx, and an answer
that was lost on its way lets it be sent again, under the same ``webhook-id``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import requests

from callapp.call_log.follow_ups import ANALYZED, ENDED, STARTED
from callapp.call_log.jobs import Job, JobQueue
from callapp.call_log.store import Store
from callapp.errors import ConfigError
from callapp.jobs.http import new_session, pause_s
from callapp.jobs.runner import GiveUp, Runner, TryLater
from callapp.settings import Settings
from callapp.webhooks.messages import message_data
from callapp.webhooks.signing import read_secret, signed_headers

KINDS = (STARTED, ENDED, ANALYZED)
CONNECT_S = 5.0
ANSWER_S = 10.0

Describe = Callable[[str, str], Mapping[str, Any] | None]
"""``(kind, call_sid)``: what to tell of a call; ``None`` when it is no longer in the log."""


class Webhooks:
    """Where webhooks go, and who may believe them.

    Args:
        url: the only address that is ever asked.
        key: the shared secret's bytes.
        describe: makes the ``data`` of a message; called once for each, before its first attempt.
        on_outcome: as the runner's.
    """

    def __init__(
        self,
        url: str,
        key: bytes,
        queue: JobQueue,
        describe: Describe,
        on_outcome: Callable[[str, str], None],
    ) -> None:
        self._url = url
        self._key = key
        self._queue = queue
        self._describe = describe
        self._session = new_session(url)
        self.runner = Runner("webhooks", queue, KINDS, self.deliver, on_outcome)

    def close(self, within_s: float) -> None:
        """Stop sending; what has not been sent is sent by another process, or after the next start."""
        self.runner.close(within_s)
        self._session.close()

    def deliver(self, job: Job) -> None:
        """Make one attempt.

        Raises:
            TryLater: the receiver could not be reached, or did not answer 2xx.
            GiveUp: the receiver wants no more of it (410), or the call was deleted.
        """
        body = (job.body or self._compose(job)).encode()
        headers = {
            "content-type": "application/json",
            **signed_headers(self._key, f"msg_{job.id}", int(time.time()), body),
        }
        try:
            with self._session.post(
                self._url,
                data=body,
                headers=headers,
                timeout=(CONNECT_S, ANSWER_S),
                allow_redirects=False,  # the signature and the call's data are for this receiver alone
                stream=True,  # the status is all that matters, however long the answer is
            ) as answer:
                status, after_s = answer.status_code, pause_s(answer.headers)
        except requests.RequestException as error:
            raise TryLater(f"WEBHOOK_URL could not be reached: {type(error).__name__}") from error
        if status == requests.codes.gone:
            raise GiveUp("WEBHOOK_URL answered 410")
        if not 200 <= status < 300:
            raise TryLater(f"WEBHOOK_URL answered {status}", after_s)

    def _compose(self, job: Job) -> str:
        data = self._describe(job.kind, job.call_sid)
        if data is None:
            raise GiveUp("the call is no longer in the log")
        message = {"type": job.kind, "timestamp": _rfc3339(job), "data": data}
        body = json.dumps(message, ensure_ascii=False)
        self._queue.keep_body(job, body)
        return body


def open_webhooks(
    settings: Settings, store: Store, on_outcome: Callable[[str, str], None]
) -> Webhooks | None:
    """What sends webhooks, if they are to be sent.

    Raises:
        ConfigError: there is nothing to sign them with.
    """
    if settings.webhook_url is None:
        return None
    describe = partial(message_data, store)
    return Webhooks(settings.webhook_url, webhook_key(settings), JobQueue(store), describe, on_outcome)


def webhook_key(settings: Settings) -> bytes:
    """The key to sign with.

    Raises:
        ConfigError: there is none: an unsigned webhook could be anybody's.
    """
    if settings.webhook_secret is None:
        raise ConfigError(
            ["WEBHOOK_SECRET: not set, but WEBHOOK_URL is; expected whsec_ and the base64 of 24 to 64 bytes"]
        )
    return read_secret(settings.webhook_secret.get_secret_value())


def _rfc3339(job: Job) -> str:
    return job.created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
