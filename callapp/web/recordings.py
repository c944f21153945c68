"""A call's recording, as it goes over HTTP: to players, which ask for ranges, and to those who draw it."""

from __future__ import annotations

from typing import IO

from flask import Response, request
from werkzeug.wsgi import wrap_file

from callapp.call_log.reading import recording_path
from callapp.services import services
from callapp.web.problems import Problem

WAV = "audio/wav"


def open_recording(call_sid: str) -> tuple[IO[bytes], int]:
    """The file, to be closed, and its size in bytes.

    Raises:
        Problem: 404.
    """
    path = recording_path(services().store, call_sid)
    if path is None:
        raise Problem(404, "This call was not recorded, or its recording is not written yet.")
    try:
        return services().shelf.open(path)
    except FileNotFoundError:
        raise Problem(404, "The recording of this call is gone.") from None


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
