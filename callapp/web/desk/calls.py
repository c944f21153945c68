"""The calls there have been, and everything about one of them, while it goes on and afterwards."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, tzinfo
from hashlib import sha256
from time import monotonic
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from flask import Response, flash, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from callapp.call.levels import Levels
from callapp.call.liaison import Answer
from callapp.call_log.documents import WholeCall
from callapp.call_log.listing import BadCursor, Wanted, list_calls
from callapp.call_log.reading import find_call
from callapp.sentences import N_
from callapp.services import Services, services
from callapp.web import hanging_up
from callapp.web.by_sid import whole_call
from callapp.web.desk import plots, waveform
from callapp.web.desk.live import unless_known
from callapp.web.desk.pages import agents_to_choose
from callapp.web.desk.sign_in import blueprint
from callapp.web.desk.story import as_text, tell
from callapp.web.event_streams import EventStream, event
from callapp.web.problems import Problem
from callapp.web.putting_through import put_through
from callapp.web.recordings import open_recording, send_recording

CALLS_A_PAGE = 50
# A call that is watched is looked at so often.
LOOK_S = 0.5
MOST_CHARACTERS = 200
DIRECTIONS = ("incoming", "outgoing", "browser")
_FILTERS = ("words", "agent", "direction", "since", "until", "zone")


@blueprint.get("/history")
def history() -> ResponseReturnValue:
    asked = {name: _asked(name) for name in _FILTERS}
    wanted = Wanted(
        words=asked["words"] or None,
        agent=asked["agent"] or None,
        direction=asked["direction"] or None,
        since=_day(asked["since"], asked["zone"]),
        until=_day(asked["until"], asked["zone"], following=True),
    )
    try:
        page = list_calls(services().store, wanted, CALLS_A_PAGE, request.args.get("cursor") or None)
    except BadCursor:
        raise Problem(400, N_("This page is not there any more: begin at the first one.")) from None
    given = {name: value for name, value in asked.items() if value}
    query = urlencode({**given, "cursor": page.next_cursor})
    older = f"{url_for('desk.history')}?{query}" if page.next_cursor else None
    return render_template(
        "desk/history.html",
        calls=page.calls,
        older=older,
        asked=asked,
        agents=agents_to_choose(),
        directions=DIRECTIONS,
    )


@blueprint.get("/calls/<call_sid>")
def call(call_sid: str) -> ResponseReturnValue:
    found = whole_call(call_sid)
    return render_template(
        "desk/call.html",
        **_shown(found, plays=found.recording is not None),
        listens=_kind(found) == "assistant",
        captioned=_kind(found) == "captions",
        destinations=_destinations(found),
        raw=_raw(found),
    )


@blueprint.get("/calls/<call_sid>/now")
def call_now(call_sid: str) -> ResponseReturnValue:
    """The part of the page that changes while the call goes on; 304 if nothing has."""
    return unless_known(make_response(render_template("desk/call_now.html", **_shown(whole_call(call_sid)))))


@blueprint.get("/calls/<call_sid>/events")
def call_events(call_sid: str) -> ResponseReturnValue:
    """When there is something new to see, and how loud both sides are; told as it happens."""
    app = services()
    whole_call(call_sid)
    return EventStream(app.event_streams, call_sid, lambda: OneCall(app, call_sid))


@blueprint.get("/calls/<call_sid>/export")
def export(call_sid: str) -> ResponseReturnValue:
    """All that is known, as the API tells it."""
    headers = {"Content-Disposition": f'attachment; filename="{call_sid}.json"'}
    return Response(_raw(whole_call(call_sid)), content_type="application/json", headers=headers)


@blueprint.get("/calls/<call_sid>/recording")
def recording(call_sid: str) -> ResponseReturnValue:
    """The call to listen to; players ask for it in ranges."""
    whole_call(call_sid)
    return send_recording(call_sid)


@blueprint.get("/calls/<call_sid>/wave")
def wave(call_sid: str) -> ResponseReturnValue:
    """The wave form of the recording, a piece of the page."""
    whole_call(call_sid)
    file, size = open_recording(call_sid)
    with file:
        return Response(waveform.draw(*waveform.peaks(file, size)))


@blueprint.post("/calls/<call_sid>/hang-up")
def hang_up(call_sid: str) -> ResponseReturnValue:
    hanging_up.hang_up(whole_call(call_sid), services())
    return redirect(url_for("desk.call", call_sid=call_sid), 303)


@blueprint.post("/calls/<call_sid>/whisper")
def whisper(call_sid: str) -> ResponseReturnValue:
    """Tell the model something that the caller does not hear."""
    words = request.form.get("words", "").strip()[:MOST_CHARACTERS]
    if words:
        answer = services().liaison.order(call_sid, "whisper", words)
        if answer is Answer.NOBODY:
            raise Problem(409, N_("The call is over, or the process that carried it is gone."))
        if answer is Answer.REFUSED:
            raise Problem(409, N_("The call is about to end, or has no agent that can be told anything."))
        flash(_("The model was told."))
    return redirect(url_for("desk.call", call_sid=call_sid), 303)


@blueprint.post("/calls/<call_sid>/transfer")
def transfer(call_sid: str) -> ResponseReturnValue:
    """Let a person have the caller."""
    put_through(call_sid, request.form.get("destination", ""), services())
    flash(_("The caller is being put through."))
    return redirect(url_for("desk.call", call_sid=call_sid), 303)


class OneCall:
    """What is told of one call: that there is news, which a page then asks for, and its levels."""

    def __init__(self, app: Services, call_sid: str) -> None:
        self._app = app
        self._call_sid = call_sid
        self._looked_s = float("-inf")
        self._digest = b""
        self._levels = Levels(0, 0)

    def whole(self) -> bytes:
        """See `Channel`."""
        return event("changed") + event("levels", [*self._levels])

    def news(self) -> bytes:
        """See `Channel`."""
        news = b""
        if monotonic() - self._looked_s > LOOK_S:
            self._looked_s = monotonic()
            before, self._digest = self._digest, self._look()
            if before != self._digest:
                news = event("changed")
        levels = self._app.liaison.levels().get(self._call_sid, Levels(0, 0))
        if levels != self._levels:
            self._levels = levels
            news += event("levels", [*levels])
        return news

    def _look(self) -> bytes:
        found = find_call(self._app.store, self._call_sid)
        return b"" if found is None else sha256(found.model_dump_json().encode()).digest()


def _kind(found: WholeCall) -> str | None:
    """What its agent does. Only an assistant's model can be told something."""
    agent = services().agents.get(found.agent)
    return agent.kind if agent is not None else None


def _destinations(found: WholeCall) -> list[str]:
    """Where the caller can be put through; nowhere from a browser, which is no phone."""
    if _kind(found) != "assistant" or found.direction == "browser":
        return []
    return sorted(services().agents[found.agent].transfer_to)


def _shown(found: WholeCall, *, plays: bool = False) -> dict[str, object]:
    """What the templates are given; ``plays`` where there is a player for the times to lead into."""
    return {
        "call": found,
        "plays": plays,
        "story": tell(found),
        "extracted": {name: as_text(value) for name, value in (found.extracted or {}).items()},
        "turns": plots.turn_bars([(turn.voice_to_voice_ms, turn.barge_in) for turn in found.turns]),
    }


def _raw(found: WholeCall) -> str:
    return json.dumps(found.as_json(), ensure_ascii=False, indent=2)


def _asked(name: str) -> str:
    """What is asked for; PostgreSQL knows no text with a zero byte in it."""
    return request.args.get(name, "").replace("\0", "").strip()[:MOST_CHARACTERS]


def _day(text: str, zone: str, *, following: bool = False) -> datetime | None:
    """The begin of a day, where the reader is, or of the one after it; ``None`` if it is none."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=_zone(zone))
        return (day + timedelta(days=following)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _zone(name: str) -> tzinfo:
    """A time zone by its name; UTC, in which times are shown without a script, if there is no such zone."""
    try:
        return ZoneInfo(name)
    except (OSError, LookupError, ValueError):  # as it is for names of no file, of a folder, or of neither
        return UTC
