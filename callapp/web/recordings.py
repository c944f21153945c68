"""A call's recording, as it goes over HTTP: to players, which ask for ranges, and to those who draw it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from io import BytesIO
from tempfile import TemporaryFile
from typing import IO

from flask import Response, request
from werkzeug.wsgi import wrap_file

from callapp.call_log.recordings import recording_parts
from callapp.errors import CarrierTimeout
from callapp.recording.at_twilio import sid_of
from callapp.recording.joining import join
from callapp.sentences import N_
from callapp.services import services
from callapp.web.carrier_problems import carrier_problems
from callapp.web.problems import Problem

WAV = "audio/wav"
GONE = N_("The recording of this call is gone.")


def open_recording(call_sid: str) -> tuple[IO[bytes], int]:
    """The file, to be closed, and its size in bytes. One of Twilio's is fetched from there, whole.

    Raises:
        Problem: 404, 502 or 504.
        ShelfUnavailable: our own cannot be reached.
    """
    parts = recording_parts(services().store, call_sid)
    if not parts:
        raise Problem(404, N_("This call was not recorded, or its recording is not written yet."))
    from_ms, path = parts[0]
    recording_sid = sid_of(path)
    if recording_sid is not None:
        return _from_twilio(recording_sid)
    try:
        return services().shelf.open(path) if (len(parts), from_ms) == (1, 0) else _joined(parts)
    except FileNotFoundError:
        raise Problem(404, GONE) from None


def _joined(parts: Sequence[tuple[int, str]]) -> tuple[IO[bytes], int]:
    """What several processes have recorded, as one."""
    with ExitStack() as opened:
        found = [(from_ms, opened.enter_context(services().shelf.open(path)[0])) for from_ms, path in parts]
        whole = TemporaryFile()  # noqa: SIM115 - closed by whoever asked for it
        return whole, join(found, whole)


def _from_twilio(recording_sid: str) -> tuple[IO[bytes], int]:
    try:
        with carrier_problems("recording"):
            content = services().carrier.fetch_recording(recording_sid)
    except CarrierTimeout as error:
        raise Problem(504, f"{error}.") from error
    if content is None:
        raise Problem(404, GONE)
    return BytesIO(content), len(content)


def send_recording(call_sid: str) -> Response:
    """The whole of it, or the range that was asked for.

    Raises:
        Problem: 404.
        RequestedRangeNotSatisfiable: 416.
    """
    file, size = open_recording(call_sid)
    answer = Response(wrap_file(request.environ, file), content_type=WAV, direct_passthrough=True)
    answer.content_length = size
    answer.call_on_close(file.close)
    answer.make_conditional(request, accept_ranges=True, complete_length=size)
    return answer
