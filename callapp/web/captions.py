"""``GET /calls/<call_sid>/captions``: what is being said on a call, as server-sent events, while it is said.

Any process tells of any call: what is told is what the database knows, looked at a few times a second. What
grows is told three times a second, and is in the database a fifth of a second later.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint
from flask.typing import ResponseReturnValue

from callapp.call_log.reading import find_words
from callapp.call_log.store import Store
from callapp.services import services
from callapp.web.by_sid import SID_IN_PATH, is_call_sid, no_such_call
from callapp.web.event_streams import CONTENT_TYPE, EventStream, event
from callapp.web.guard import require_api_key
from callapp.web.openapi import Answer, Operation

blueprint = Blueprint("captions", __name__)
blueprint.before_request(require_api_key)


@blueprint.get("/calls/<call_sid>/captions")
@Operation(
    "What is being said, as server-sent events",
    path=SID_IN_PATH,
    answers={
        200: Answer(
            "`utterance` events, each an utterance as the call has it, told again when it has grown; "
            "`ended` with the `endReason` after the last",
            content_types=(CONTENT_TYPE,),
        ),
        204: Answer("too many listen already, or this is no server that can do it: ask for the transcript"),
    },
    errors={404: "there is no such call"},
)
def captions(call_sid: str) -> ResponseReturnValue:
    app = services()
    if not is_call_sid(call_sid) or find_words(app.store, call_sid) is None:
        raise no_such_call()
    return EventStream(app.event_streams, f"captions-{call_sid}", lambda: Captions(app.store, call_sid))


class Captions:
    """What is told of one call: utterances that are new or have grown, and its end."""

    def __init__(self, store: Store, call_sid: str) -> None:
        self._store = store
        self._call_sid = call_sid
        self._told: dict[str, dict[str, Any]] = {}
        self._end: bytes = b""

    def whole(self) -> bytes:
        """See `Channel`."""
        return b"".join(event("utterance", one) for one in self._told.values()) + self._end

    def news(self) -> bytes:
        """See `Channel`."""
        if self._end:
            return b""
        words = find_words(self._store, self._call_sid)
        if words is None:  # the call was deleted
            self._told, self._end = {}, event("ended", {"callSid": self._call_sid, "endReason": None})
            return self._end
        news = b""
        for utterance in words.utterances:
            told = utterance.as_json()
            before = self._told.get(utterance.item_id)
            # What turned out to be no words is told only to those who have read some.
            if told != before and (utterance.text != "" or before is not None):
                self._told[utterance.item_id] = told
                news += event("utterance", told)
        if words.ended:
            self._end = event("ended", {"callSid": self._call_sid, "endReason": words.end_reason})
        return news + self._end
