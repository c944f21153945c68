"""The calls that go on, in all processes and on all machines: what the database knows of them.

A page is told by server-sent events what has changed, and how loud the calls are; where those do not come
through it asks every few seconds. Both are answered from one look at the database a second, however many
desks are watching.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

import orjson
from flask import Response, render_template, request
from flask.typing import ResponseReturnValue

from callapp.call_log.reading import LiveCall, list_live
from callapp.phone_numbers import as_read
from callapp.services import Services, services
from callapp.web.desk.sign_in import blueprint
from callapp.web.event_streams import EventStream, event

MOST_CALLS = 500
FRESH_S = 1.0
POLL_MS = 2000
# Each call makes an answer longer: a page with many of them asks less often.
POLL_MS_PER_CALL = 10
MOST_WORDS = 120
# The levels of both sides, a digit each: the caller's, the agent's.
SILENT = "00"
# Ringing and queueing come on top of the longest call.
SPARE = timedelta(minutes=10)


@blueprint.get("/live")
def live() -> ResponseReturnValue:
    return render_template("desk/live.html")


@blueprint.get("/live/calls")
def live_calls() -> ResponseReturnValue:
    """All of them, and when to ask again; 304 if nothing has changed."""
    shown = [_row(call) for call in _snapshot.of(services())]
    body = {"calls": shown, "pollMs": POLL_MS + POLL_MS_PER_CALL * len(shown)}
    return unless_known(Response(orjson.dumps(body), content_type="application/json"))


@blueprint.get("/live/events")
def live_events() -> ResponseReturnValue:
    """The same, told as it happens."""
    app = services()
    return EventStream(app.event_streams, "live", lambda: LiveCalls(app))


def unless_known(answer: Response) -> ResponseReturnValue:
    """The answer, or a 304 if the browser has it already."""
    answer.headers["Cache-Control"] = "private, no-cache"
    answer.add_etag()
    return answer.make_conditional(request)


class _Snapshot:
    """The last look at the database. Safe from any thread; one looks, the others wait for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._app: Services | None = None
        self._calls: list[LiveCall] = []
        self._at_s = 0.0

    def of(self, app: Services) -> list[LiveCall]:
        with self._lock:
            if self._app is not app or monotonic() - self._at_s > FRESH_S:
                longest = timedelta(seconds=app.settings.max_call_seconds) + SPARE
                self._calls = list_live(app.store, datetime.now(UTC) - longest, MOST_CALLS)
                self._app, self._at_s = app, monotonic()
            return self._calls


_snapshot = _Snapshot()


class LiveCalls:
    """What is told of all calls: rows that are new or have changed, and those that are gone."""

    def __init__(self, app: Services) -> None:
        self._app = app
        self._looked_s = float("-inf")
        self._rows: dict[str, dict[str, Any]] = {}
        self._levels: dict[str, str] = {}

    def whole(self) -> bytes:
        """See `Channel`."""
        rows = {"whole": True, "calls": list(self._rows.values()), "gone": []}
        return event("calls", rows) + event("levels", self._levels)

    def news(self) -> bytes:
        """See `Channel`."""
        return self._new_rows() + self._new_levels()

    def _new_rows(self) -> bytes:
        if monotonic() - self._looked_s < FRESH_S:
            return b""
        self._looked_s = monotonic()
        before, self._rows = self._rows, {row["key"]: row for row in map(_row, _snapshot.of(self._app))}
        changed = [row for key, row in self._rows.items() if before.get(key) != row]
        gone = [key for key in before if key not in self._rows]
        return event("calls", {"whole": False, "calls": changed, "gone": gone}) if changed or gone else b""

    def _new_levels(self) -> bytes:
        levels = self._app.liaison.levels()
        # One that nobody measures any more is silent: it has left its stream, or its process is gone.
        before, self._levels = (
            self._levels,
            {key: "{}{}".format(*levels[key]) if key in levels else SILENT for key in self._rows},
        )
        changed = {key: both for key, both in self._levels.items() if before.get(key, SILENT) != both}
        return event("levels", changed) if changed else b""


def _row(live_call: LiveCall) -> dict[str, Any]:
    call, latest = live_call.call, live_call.latest
    return {
        "key": call.call_sid or call.created_at.isoformat(),
        "sid": call.call_sid,
        "who": as_read(call.from_number if call.direction == "incoming" else call.to_number),
        "direction": call.direction,
        "agent": call.agent,
        "status": call.status,
        "since": (call.answered_at or call.created_at).isoformat(),
        "usd": call.cost.total_usd,
        "role": None if latest is None else latest.role,
        "words": None if latest is None else (latest.text or "")[:MOST_WORDS],
    }
