"""Answers over HTTP that have an end. httpx limits the time from one piece to the next, and no size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import httpx2
from openai import DefaultHttpxClient

from callapp.jobs.deadline import Deadline


class WholeAnswers(DefaultHttpxClient):
    """A client for the `openai` package whose requests fail once they take too long, or too much comes.

    Args:
        within_s: from the request to the last byte of its answer.
        most_bytes: of the answer's body.
        options: as for `httpx2.Client`.
    """

    def __init__(self, within_s: float, most_bytes: int, **options: Any) -> None:
        self._within_s = within_s
        self._most_bytes = most_bytes
        super().__init__(
            # What is counted is what comes: packed, a thousand times as much may be in it.
            headers={"Accept-Encoding": "identity"},
            # Each request has its own connection: httpx tells of those it makes, not of those it has.
            limits=httpx2.Limits(max_keepalive_connections=0),
            event_hooks={"response": [self._bound]},
            **options,
        )

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send it, and read the whole answer.

        Raises:
            httpx2.ReadTimeout: it is not there in time.
            httpx2.ReadError: it is too large.
        """
        try:
            with Deadline(self._within_s) as deadline:
                request.extensions["trace"] = partial(_watch, deadline)
                return super().send(request, **options)
        except TimeoutError as error:
            raise httpx2.ReadTimeout(str(error), request=request) from error

    def _bound(self, answer: httpx2.Response) -> None:
        assert isinstance(answer.stream, httpx2.SyncByteStream)
        answer.stream = _Bounded(answer.stream, self._most_bytes)


def _watch(deadline: Deadline, event: str, told: Mapping[str, Any]) -> None:
    if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
        deadline.watch(told["return_value"].get_extra_info("socket"))


class _Bounded(httpx2.SyncByteStream):
    """A body that fails once it is too large."""

    def __init__(self, body: httpx2.SyncByteStream, most_bytes: int) -> None:
        self._body = body
        self._most_bytes = most_bytes

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for piece in self._body:
            size += len(piece)
            if size > self._most_bytes:
                raise httpx2.ReadError(f"the answer is longer than {self._most_bytes} bytes")
            yield piece

    def close(self) -> None:
        self._body.close()
