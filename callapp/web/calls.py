"""The HTTP API of the record: calls, their transcripts, and the end of one."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from callapp.call_log.documents import CallPage, Document, Utterance, WholeCall
from callapp.call_log.erasure import delete_calls, going_on
from callapp.call_log.listing import BadCursor, Wanted, list_calls
from callapp.call_log.records import Direction
from callapp.errors import CarrierTimeout
from callapp.recording.deletion import delete_recordings
from callapp.services import services
from callapp.web import hanging_up
from callapp.web.by_sid import SID_IN_PATH, whole_call
from callapp.web.carrier_problems import carrier_problems
from callapp.web.guard import require_api_key
from callapp.web.openapi import Answer, Operation, read_body, read_query
from callapp.web.problems import Problem
from callapp.web.putting_through import put_through
from callapp.web.recordings import WAV, send_recording
from callapp.web.transcripts import as_text, as_vtt

blueprint = Blueprint("calls", __name__)
blueprint.before_request(require_api_key)

MOST_CALLS = 200
TRANSCRIPT_TYPES = ("application/json", "text/plain", "text/vtt")
FLUSH_S = 5.0

_NO_SUCH_CALL = {404: "there is no such call"}
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _moment(value: Any) -> Any:
    if isinstance(value, str) and not _RFC_3339.fullmatch(value):
        raise ValueError("expected a time with its zone, e.g. 2026-11-25T09:00:00Z")
    return value


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("this moment is too far away") from None


Text = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern="^[^\\x00]*$")]
# A plus that nobody has escaped arrives as a space, with which no number begins.
Number = Annotated[Text, BeforeValidator(lambda given: re.sub("^ ", "+", given))]
Moment = Annotated[datetime, BeforeValidator(_moment), AfterValidator(_in_utc)]


class CallQuery(BaseModel):
    """Which calls are asked for."""

    model_config = ConfigDict(extra="forbid")

    status: Text | None = None
    direction: Direction | None = None
    agent: Text | None = None
    from_number: Number | None = Field(default=None, alias="from")
    to_number: Number | None = Field(default=None, alias="to")
    since: Moment | None = None
    until: Moment | None = None
    limit: int = Field(default=50, ge=1, le=MOST_CALLS)
    cursor: Text | None = None


class Transcript(Document):
    """What was said, in the order in which it was spoken."""

    call_sid: str
    utterances: list[Utterance]


class Accepted(Document):
    """The phone company was asked for it."""

    call_sid: str


class TransferOrder(BaseModel):
    """Who is to have the caller: one of the names in the agent's ``transfer_to``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    destination: Text


@blueprint.get("/calls")
@Operation(
    "Calls, newest first",
    query=CallQuery,
    answers={200: Answer("a page of calls, without what was said and done in them", CallPage)},
    errors={400: "a parameter is wrong, or there is no such parameter"},
)
def calls() -> ResponseReturnValue:
    query = read_query(CallQuery)
    wanted = Wanted(**query.model_dump(exclude={"limit", "cursor"}))
    try:
        return list_calls(services().store, wanted, query.limit, query.cursor).as_json()
    except BadCursor:
        raise Problem(400, "This cursor is none of ours: take the nextCursor of the page before.") from None


@blueprint.get("/calls/<call_sid>")
@Operation(
    "A call, whole",
    path=SID_IN_PATH,
    answers={200: Answer("all that is known of it", WholeCall)},
    errors=_NO_SUCH_CALL,
)
def call(call_sid: str) -> ResponseReturnValue:
    return whole_call(call_sid).as_json()


@blueprint.get("/calls/<call_sid>/transcript")
@Operation(
    "What was said",
    path=SID_IN_PATH,
    answers={
        200: Answer(
            "as JSON, as text, or as WebVTT for a player of the recording",
            Transcript,
            TRANSCRIPT_TYPES[1:],
        )
    },
    errors={**_NO_SUCH_CALL, 406: "none of these types will do"},
)
def transcript(call_sid: str) -> ResponseReturnValue:
    found = whole_call(call_sid)
    wanted = request.accept_mimetypes
    chosen = TRANSCRIPT_TYPES[0] if not wanted else wanted.best_match(TRANSCRIPT_TYPES)
    match chosen:
        case "application/json":
            return Transcript(call_sid=call_sid, utterances=found.utterances).as_json()
        case "text/plain":
            return Response(as_text(found.utterances), content_type="text/plain; charset=utf-8")
        case "text/vtt":
            return Response(as_vtt(found.utterances), content_type="text/vtt; charset=utf-8")
    raise Problem(406, f"A transcript comes as {', '.join(TRANSCRIPT_TYPES)}.")


@blueprint.get("/calls/<call_sid>/recording")
@Operation(
    "The call to listen to: stereo, the caller left, the agent right",
    path=SID_IN_PATH,
    answers={
        200: Answer("the whole of it", content_types=(WAV,)),
        206: Answer("the range that was asked for", content_types=(WAV,)),
    },
    errors={
        404: "there is no such call, or it was not recorded",
        416: "there is no such range",
        502: "Twilio has the recording, and refused or was not there",
        504: "Twilio has the recording, and did not answer",
    },
)
def recording(call_sid: str) -> ResponseReturnValue:
    whole_call(call_sid)
    return send_recording(call_sid)


@blueprint.post("/calls/<call_sid>/hangup")
@Operation(
    "End a call, wherever it is carried",
    path=SID_IN_PATH,
    answers={202: Answer("the call is ending, or has ended already", Accepted)},
    errors={
        **_NO_SUCH_CALL,
        409: "it is a browser's, and no process carries it any more",
        502: "Twilio refused, or was not there",
        504: "Twilio did not answer",
    },
)
def hang_up(call_sid: str) -> ResponseReturnValue:
    hanging_up.hang_up(whole_call(call_sid), services())
    return Accepted(call_sid=call_sid).as_json(), 202


@blueprint.post("/calls/<call_sid>/transfer")
@Operation(
    "Put a caller through to a person",
    path=SID_IN_PATH,
    body=TransferOrder,
    answers={
        202: Answer(
            "it is being done; whoever does not answer gives the caller back to the agent, or, where a "
            "colleague's phone rang, say, and the agent did not have them, ends the call",
            Accepted,
        )
    },
    errors={
        **_NO_SUCH_CALL,
        400: "not JSON, or the agent's file names no such destination",
        409: "the call is over, or is none that can be put through",
        413: "the body is too long",
        415: "the body is no JSON",
        502: "Twilio refused, or was not there",
        504: "Twilio did not answer",
    },
)
def transfer(call_sid: str) -> ResponseReturnValue:
    order = read_body(TransferOrder)
    put_through(call_sid, order.destination, services())
    return Accepted(call_sid=call_sid).as_json(), 202


@blueprint.delete("/calls/<call_sid>")
@Operation(
    "Delete a call, with everything of it; messages and reservations that were made in it stay",
    path=SID_IN_PATH,
    answers={204: Answer("it is gone")},
    errors={
        **_NO_SUCH_CALL,
        409: "it is still going on",
        502: "Twilio has the recording, and refused or was not there",
        504: "Twilio has the recording, and did not answer",
    },
)
def delete(call_sid: str) -> ResponseReturnValue:
    app = services()
    app.record.flush(FLUSH_S)  # its end may still wait, and would be written after it was deleted
    whole_call(call_sid)
    if going_on(app.store, [call_sid], app.settings.max_call_seconds):
        raise Problem(409, "The call is still going on: hang up first.")
    try:
        with carrier_problems("delete recording"):
            delete_recordings(call_sid, app.store, app.shelf, app.bench, app.carrier)
    except CarrierTimeout as error:
        raise Problem(504, f"{error}; the recording may be left at Twilio.") from error
    delete_calls(app.store, [call_sid])
    return "", 204
