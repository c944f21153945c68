"""The HTTP API of the record, on both databases."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from callapp.call.bridge import Bridge
from callapp.call.journal import Particulars
from callapp.call.liaison import Answer
from callapp.call_log import Admission, PlacedCall, StoreUnavailable
from callapp.call_log.models import CallRow
from callapp.call_log.records import AwayCall
from callapp.call_log.settling import Settler
from callapp.conversation.facts import Began, Closed, Ended, Fact, Recorded, Uttered
from callapp.errors import CarrierRefused, CarrierTimeout, CarrierUnreachable
from callapp.recording.reel import wav_header
from callapp.services import Services
from callapp.telephony.rest import CallState
from tests.databases import database  # noqa: F401 - of both kinds, in place of our conftest's
from tests.web.conftest import API_KEY, CALL_SID, MakeWorld, World

OTHER_SID = "CA" + "2" * 32
COLLEAGUE_SID = "CA" + "6" * 32
BEGAN = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)
CALL = Particulars(
    call_sid=CALL_SID,
    direction="incoming",
    from_number="+819012345678",
    to_number="+14155550100",
    agent="operator",
    parameters={},
    model="gpt-realtime-2.1-mini",
    transcription_model="gpt-transcribe",
    began_at=BEGAN,
)
TALK: list[Fact] = [
    Began(),
    Uttered(1_800, "agent", "item_1", "Hello <there>.\nHow are you?", 480, 1_730),
    Uttered(3_000, "caller", "item_2", None, 62_000, 62_900),
    Uttered(5_000, "agent", "item_3", "Your order", 3_723_520, 3_725_000, True, "Your order comes."),
]
OVER: list[Fact] = [Ended(3_800_000, "caller.hung_up"), Closed(3_800_010)]


def tell(parts: Services, facts: Sequence[Fact], call: Particulars = CALL) -> None:
    for fact in facts:
        parts.record(call, fact, fact.at_ms)
    assert parts.record.flush(20)


def record_of(world: World, sid: str = CALL_SID) -> Any:
    return world.client.get(f"/calls/{sid}").json


@pytest.fixture
def talked(world: World) -> Iterator[World]:
    """A world with a call that is over, and one that has just begun."""
    tell(world.services, TALK + OVER)
    tell(world.services, [Began()], replace(CALL, call_sid=OTHER_SID, began_at=datetime.now(UTC)))
    yield world
    world.services.record.close()


def test_a_call_is_found_by_its_sid(talked: World) -> None:
    answer = talked.client.get(f"/calls/{CALL_SID}")
    assert answer.status_code == 200
    assert answer.json is not None
    assert answer.json["endReason"] == "caller.hung_up"
    assert [one["itemId"] for one in answer.json["utterances"]] == ["item_1", "item_2", "item_3"]


@pytest.mark.parametrize("sid", ["CA" + "3" * 32, "x", "CA%00", "%F0%9F%98%80", CALL_SID.upper() + "%0A"])
@pytest.mark.parametrize("path", ["", "/transcript"])
def test_a_call_that_is_not_there_is_not_found(talked: World, sid: str, path: str) -> None:
    answer = talked.client.get(f"/calls/{sid}{path}")
    assert (answer.status_code, answer.content_type) == (404, "application/problem+json")


def test_calls_come_in_pages_without_their_lists(talked: World) -> None:
    first = talked.client.get("/calls?limit=1").json
    assert first is not None
    assert [one["callSid"] for one in first["calls"]] == [OTHER_SID]
    assert "utterances" not in first["calls"][0]
    second = talked.client.get("/calls", query_string={"limit": 1, "cursor": first["nextCursor"]}).json
    assert second is not None
    assert [one["callSid"] for one in second["calls"]] == [CALL_SID]
    assert second["nextCursor"] is None


def test_calls_are_filtered_by_what_the_query_names(talked: World) -> None:
    def sids(**query: str) -> list[str]:
        answer = talked.client.get("/calls", query_string=query)
        assert answer.status_code == 200, answer.text
        assert answer.json is not None
        return [one["callSid"] for one in answer.json["calls"]]

    assert sids(status="completed") == [CALL_SID]
    assert sids(until="2026-11-25T18:00:01+09:00") == [CALL_SID]
    assert sids(since="2026-11-25T09:00:01.5Z") == [OTHER_SID]
    assert sids(**{"from": "+819012345678"}) == [OTHER_SID, CALL_SID]
    assert sids(agent="nobody") == []
    # As it arrives from who wrote ?from=+81... and escaped nothing.
    assert sids(**{"from": " 819012345678"}) == [OTHER_SID, CALL_SID]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("since=2026-11-25T09:00:00", "with its zone"),
        ("since=0", "with its zone"),
        ("until=0001-01-01T00:00:00%2B10:00", "too far"),
        ("direction=up", "direction"),
        ("agent=%00", "agent"),
        ("agent=a&agent=b", "twice"),
        ("colour=red", "There is no parameter 'colour': the parameters are status, direction, agent, from"),
        ("cursor=x", "none of ours"),
    ],
)
def test_a_wrong_query_is_told_what_is_wrong(talked: World, query: str, says: str) -> None:
    answer = talked.client.get(f"/calls?{query}")
    assert answer.status_code == 400
    assert answer.json is not None
    assert says in answer.json["detail"]


# -- transcripts ----------------------------------------------------------------------------------


def transcript(world: World, accept: str | None) -> Any:
    headers = {} if accept is None else {"Accept": accept}
    return world.client.get(f"/calls/{CALL_SID}/transcript", headers=headers)


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "text/html, application/*;q=0.1"])
def test_a_transcript_is_json_unless_asked_otherwise(talked: World, accept: str | None) -> None:
    answer = transcript(talked, accept)
    assert answer.content_type == "application/json"
    assert answer.json["utterances"][2]["interrupted"]


def test_a_transcript_as_text_reads_as_a_talk(talked: World) -> None:
    answer = transcript(talked, "text/plain")
    assert answer.content_type == "text/plain; charset=utf-8"
    assert answer.text == (
        "[0:00.4] agent  Hello <there>. How are you?\n"
        "[1:02.0] caller (not transcribed)\n"
        "[62:03.5] agent  Your order—\n"
    )


def test_a_transcript_as_webvtt_can_be_played_with_the_recording(talked: World) -> None:
    answer = transcript(talked, "text/vtt")
    assert answer.content_type == "text/vtt; charset=utf-8"
    assert answer.text == (
        "WEBVTT\n"
        "\n"
        "00:00:00.480 --> 00:00:01.730\n"
        "<v agent>Hello &lt;there&gt;. How are you?\n"
        "\n"
        "00:01:02.000 --> 00:01:02.900\n"
        "<v caller>(not transcribed)\n"
        "\n"
        "01:02:03.520 --> 01:02:05.000\n"
        "<v agent>Your order—\n"
    )


def test_a_transcript_of_another_kind_cannot_be_had(talked: World) -> None:
    assert transcript(talked, "image/png").status_code == 406


# -- recordings -----------------------------------------------------------------------------------

WAV = bytes(range(256)) * 4


@pytest.fixture
def recorded(talked: World) -> World:
    shelf = talked.services.shelf
    path = shelf.path_of(CALL_SID)
    shelf.write(path, io.BytesIO(WAV))
    tell(talked.services, [Recorded(3_800_010, path, 41.2)])
    return talked


def test_a_recording_is_heard_as_wav(recorded: World) -> None:
    answer = recorded.client.get(f"/calls/{CALL_SID}/recording")
    assert (answer.status_code, answer.content_type, answer.data) == (200, "audio/wav", WAV)
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert record_of(recorded)["recording"] == {"url": f"/calls/{CALL_SID}/recording", "seconds": 41.2}


def part(sound: bytes, seconds: int) -> io.BytesIO:
    return io.BytesIO(wav_header(8000 * seconds) + sound * 16_000 * seconds)


@pytest.mark.parametrize("order", [[0, 1], [1, 0]], ids=["in order", "the other way round"])
def test_what_two_processes_have_recorded_is_heard_as_one(talked: World, order: list[int]) -> None:
    """The call left its stream in one, and came back to the other; each writes when it is done."""
    shelf = talked.services.shelf
    for number in order:
        path = shelf.path_of(CALL_SID, "3000" if number else "")
        shelf.write(path, part(b"\x02" if number else b"\x01", 2))
        tell(talked.services, [Recorded(5_000, path, 2, 3_000 if number else 0)])
    with talked.client.get(f"/calls/{CALL_SID}/recording") as answer:
        heard = answer.data
    assert heard == wav_header(5 * 8000) + b"".join(
        sound * 16_000 * seconds for sound, seconds in ((b"\x01", 2), (b"\xff", 1), (b"\x02", 2))
    )
    assert record_of(talked)["recording"]["seconds"] == 5
    assert talked.client.delete(f"/calls/{CALL_SID}").status_code == 204
    assert not list(Path(shelf.path_of("x")).parent.glob("*.wav"))


@pytest.mark.parametrize(
    ("wanted", "status", "data"),
    [
        ("bytes=10-19", 206, WAV[10:20]),
        ("bytes=1000-", 206, WAV[1000:]),
        ("bytes=-24", 206, WAV[-24:]),
        ("bytes=2000-", 416, None),
        ("lines=1-2", 416, None),
    ],
)
def test_a_player_may_ask_for_a_range(recorded: World, wanted: str, status: int, data: bytes | None) -> None:
    answer = recorded.client.get(f"/calls/{CALL_SID}/recording", headers={"Range": wanted})
    assert answer.status_code == status
    if data is not None:
        assert answer.data == data
        assert answer.headers["Content-Range"].endswith("/1024")


def test_a_call_that_was_not_recorded_has_no_recording(talked: World) -> None:
    assert talked.client.get(f"/calls/{CALL_SID}/recording").status_code == 404


def test_a_recording_that_somebody_took_away_is_not_found(recorded: World) -> None:
    recorded.services.shelf.delete(CALL_SID)
    assert recorded.client.get(f"/calls/{CALL_SID}/recording").status_code == 404


def test_a_deleted_call_takes_its_recording_with_it(recorded: World) -> None:
    assert recorded.client.delete(f"/calls/{CALL_SID}").status_code == 204
    with pytest.raises(FileNotFoundError):
        recorded.services.shelf.open(recorded.services.shelf.path_of(CALL_SID))


def test_a_deleted_call_takes_along_what_no_shelf_would_take(recorded: World) -> None:
    """It would lie there until the next start; what is being recorded is deleted when it is finished."""
    bench = recorded.services.bench
    left, another, going_on = (bench.begin(sid, 0) for sid in (CALL_SID, OTHER_SID, CALL_SID))
    left.leave()
    another.leave()
    assert recorded.client.delete(f"/calls/{CALL_SID}").status_code == 204
    going_on.leave()
    found = list(bench.left_behind())
    assert sorted(work.call_sid for work in found) == sorted([CALL_SID, OTHER_SID])
    for work in found:
        work.remove()


RECORDING_SID = "RE" + "7" * 32


@pytest.fixture
def recorded_by_twilio(talked: World) -> World:
    """Twilio has told that it has the recording."""
    tell_of_recording(talked)
    return talked


def tell_of_recording(world: World) -> None:
    world.carrier.recordings[RECORDING_SID] = WAV
    answer = world.webhook(
        "/recording-status",
        {
            "CallSid": CALL_SID,
            "RecordingSid": RECORDING_SID,
            "RecordingStatus": "completed",
            "RecordingDuration": "41",
        },
    )
    assert answer.status_code == 204


def test_a_recording_of_twilios_is_handed_on(recorded_by_twilio: World) -> None:
    answer = recorded_by_twilio.client.get(f"/calls/{CALL_SID}/recording", headers={"Range": "bytes=0-9"})
    assert (answer.status_code, answer.content_type, answer.data) == (206, "audio/wav", WAV[:10])
    assert record_of(recorded_by_twilio)["recording"]["seconds"] == 41


def test_a_deleted_call_is_deleted_at_twilio_too(recorded_by_twilio: World) -> None:
    assert recorded_by_twilio.client.delete(f"/calls/{CALL_SID}").status_code == 204
    assert recorded_by_twilio.carrier.recordings == {}


@pytest.mark.parametrize("deleted", [False, True])
def test_twilio_tells_of_a_recording_while_the_database_is_away(
    talked: World, monkeypatch: pytest.MonkeyPatch, deleted: bool
) -> None:
    """It does so once: a recording that we do not know of is neither heard nor ever deleted."""
    away, store = threading.Event(), talked.services.store
    note_recording = store.note_recording

    def down(*args: Any) -> bool:
        if away.is_set():
            raise StoreUnavailable("connection refused")
        return note_recording(*args)

    monkeypatch.setattr(store, "note_recording", down)
    away.set()
    tell_of_recording(talked)
    assert talked.services.later.queued == 1
    if deleted:
        assert talked.client.delete(f"/calls/{CALL_SID}").status_code == 204
    away.clear()
    assert talked.services.later.flush(20)
    talked.services.later.close()
    assert talked.client.get(f"/calls/{CALL_SID}/recording").status_code == (404 if deleted else 200)
    assert bool(talked.carrier.recordings) is not deleted


def test_what_twilio_has_recorded_of_a_call_that_was_deleted_meanwhile_is_deleted(talked: World) -> None:
    """It tells of a recording some time after the end of the call."""
    assert talked.client.delete(f"/calls/{CALL_SID}").status_code == 204
    tell_of_recording(talked)
    assert talked.carrier.recordings == {}


def test_a_recording_that_cannot_be_deleted_any_more_is_named_in_the_log(
    talked: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_recording_sid: str) -> None:
        raise CarrierUnreachable("gone")

    assert talked.client.delete(f"/calls/{CALL_SID}").status_code == 204
    monkeypatch.setattr(talked.services.carrier, "delete_recording", refuse)
    tell_of_recording(talked)
    assert f"its recording {RECORDING_SID} at Twilio was not: delete it by hand. gone" in caplog.text


def test_a_recording_that_twilio_has_not_any_more_is_in_no_ones_way(recorded_by_twilio: World) -> None:
    recorded_by_twilio.carrier.recordings.clear()
    assert recorded_by_twilio.client.get(f"/calls/{CALL_SID}/recording").status_code == 404
    assert recorded_by_twilio.client.delete(f"/calls/{CALL_SID}").status_code == 204


@pytest.mark.parametrize("fields", [{"RecordingStatus": "absent"}, {"RecordingSid": "../x"}])
def test_what_is_no_recording_is_not_noted(talked: World, fields: dict[str, str]) -> None:
    told = {"CallSid": CALL_SID, "RecordingSid": RECORDING_SID, "RecordingStatus": "completed", **fields}
    assert talked.webhook("/recording-status", told).status_code == 204
    assert talked.client.get(f"/calls/{CALL_SID}/recording").status_code == 404


# -- the end of a call ----------------------------------------------------------------------------


def test_a_call_is_hung_up_through_twilio_and_the_record_says_whose_doing_it_was(talked: World) -> None:
    answer = talked.client.post(f"/calls/{OTHER_SID}/hangup")
    assert (answer.status_code, answer.json) == (202, {"callSid": OTHER_SID})
    assert talked.carrier.completed == [OTHER_SID]
    tell(talked.services, OVER, replace(CALL, call_sid=OTHER_SID))
    assert record_of(talked, OTHER_SID)["endReason"] == "server.hung_up"


def test_a_call_that_is_hung_up_before_it_rings_keeps_no_line(talked: World) -> None:
    """Twilio tells nothing of the end of a call that it still has queued."""
    talked.services.registry.take_slot(OTHER_SID)
    assert talked.client.post(f"/calls/{OTHER_SID}/hangup").status_code == 202
    assert talked.slots == 0


def test_a_call_that_is_hung_up_before_it_rings_is_soon_over_in_the_record(
    talked: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so for the process that dialled it, which may be another one. It was in ten minutes."""
    store, sid = talked.services.store, "CA" + "3" * 32
    store.place_call(PlacedCall("p3", "operator", {}, "+14155550100", "+819012345678", sid))
    monkeypatch.setattr("callapp.call_log.store.ASK_SOON_AFTER", timedelta(0))
    assert talked.client.post(f"/calls/{sid}/hangup").status_code == 202
    Settler(store, lambda _sid: CallState("canceled", None)).settle_due()
    assert store.no_longer_awaited(["p3"]) == ["p3"]
    assert talked.client.delete(f"/calls/{sid}").status_code == 204


def test_a_call_whose_process_was_killed_is_soon_over_once_it_is_hung_up(
    talked: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stood on the desk as if it went on, whoever hung up."""
    store = talked.services.store
    monkeypatch.setattr("callapp.call_log.store.ASK_SOON_AFTER", timedelta(0))
    assert talked.client.post(f"/calls/{OTHER_SID}/hangup").status_code == 202
    Settler(store, lambda _sid: CallState("completed", 9)).settle_due()
    found = record_of(talked, OTHER_SID)
    assert (found["status"], found["endReason"]) == ("completed", "server.hung_up")
    assert talked.client.delete(f"/calls/{OTHER_SID}").status_code == 204


def test_a_call_that_is_hung_up_where_it_is_carried_is_asked_about_when_it_has_a_price(
    talked: World,
) -> None:
    """A minute later: its process tells of its end."""
    assert talked.client.post(f"/calls/{OTHER_SID}/hangup").status_code == 202
    call = replace(CALL, call_sid=OTHER_SID, began_at=datetime.now(UTC))
    tell(talked.services, [Ended(3_000, "caller.hung_up"), Closed(3_010)], call)
    with talked.services.store.transaction() as session:
        due = session.scalars(select(CallRow.settle_at).where(CallRow.call_sid == OTHER_SID)).one()
    assert due is not None
    assert due > datetime.now(UTC) + timedelta(seconds=30)


def test_a_call_that_is_over_is_not_hung_up_again(talked: World) -> None:
    assert talked.client.post(f"/calls/{CALL_SID}/hangup").status_code == 202
    assert talked.carrier.completed == []


@pytest.mark.parametrize(
    ("error", "status"),
    [(CarrierRefused(400, 21220, "no", None), 502), (CarrierTimeout("Twilio did not answer"), 504)],
)
def test_what_twilio_does_wrong_is_told(talked: World, error: Exception, status: int) -> None:
    talked.carrier.error = error
    assert talked.client.post(f"/calls/{OTHER_SID}/hangup").status_code == status


@pytest.mark.parametrize(
    ("error", "reason"),
    [(CarrierUnreachable("gone"), "caller.hung_up"), (CarrierTimeout("no answer"), "server.hung_up")],
)
def test_a_call_that_could_not_be_hung_up_ends_for_a_reason_of_its_own(
    talked: World, error: Exception, reason: str
) -> None:
    talked.carrier.error = error
    assert talked.client.post(f"/calls/{OTHER_SID}/hangup").status_code in (502, 504)
    tell(talked.services, OVER, replace(CALL, call_sid=OTHER_SID))
    assert record_of(talked, OTHER_SID)["endReason"] == reason


def transfer(world: World, sid: str, destination: Any = "sales") -> Any:
    return world.client.post(f"/calls/{sid}/transfer", json={"destination": destination})


def going_on(world: World, agent: str = "staffed") -> str:
    """A call of an agent that has colleagues, carried by another process."""
    sid = "CA" + "5" * 32
    tell(world.services, [Began()], replace(CALL, call_sid=sid, agent=agent, began_at=datetime.now(UTC)))
    return sid


@pytest.fixture
def nobody_carries_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process was killed, say; which shows by that nobody takes an order."""
    monkeypatch.setattr("callapp.call.liaison.TAKEN_WITHIN_S", 0.2)


@pytest.mark.usefixtures("nobody_carries_it")
def test_a_call_whose_process_is_gone_is_put_through_by_twilio(talked: World) -> None:
    sid = going_on(talked)
    assert transfer(talked, sid).status_code == 202
    ((redirected, document),) = talked.carrier.redirected
    assert redirected == sid
    assert "<Number>+819011112222</Number>" in document


@pytest.mark.usefixtures("nobody_carries_it")
@pytest.mark.parametrize("refused", [False, True])
def test_the_end_of_a_stream_whose_caller_is_put_through_is_told_as_that(
    talked: World, monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    """The process that carries the call hears of its end before Twilio has answered the other one."""
    sid = going_on(talked)

    def redirect(_sid: str, _document: str) -> None:
        if refused:
            raise CarrierUnreachable("gone")
        tell(talked.services, OVER, replace(CALL, call_sid=sid))

    monkeypatch.setattr(talked.carrier, "redirect", redirect)
    assert transfer(talked, sid).status_code == (502 if refused else 202)
    tell(talked.services, OVER, replace(CALL, call_sid=sid))
    assert record_of(talked, sid)["endReason"] == ("caller.hung_up" if refused else "agent.transferred")


def waiting(world: World) -> str:
    """A call of another process whose caller waits while a colleague's phone rings."""
    sid = going_on(world)
    admission = Admission(sid, sid, "staffed", {}, "incoming", "+819012345678", "+14155550100")
    trip = {"destination": "sales", "warm": True, "summary": ""}
    away = AwayCall(admission, trip, [], room="room-1", colleague_sid=COLLEAGUE_SID)
    world.services.switchboard.away.add(away, 900)
    return sid


class CarriedHere(Bridge):
    """A call of this process."""

    def __init__(self, *, can_be_put_through: bool = True) -> None:
        self.told: list[str] = []
        self._can_be_put_through = can_be_put_through

    def is_coming_back(self) -> bool:
        return False

    def transfer(self, destination: str) -> bool:
        self.told.append(destination)
        return self._can_be_put_through


@pytest.mark.parametrize("is_away", [False, True])
def test_a_caller_who_is_away_is_put_through_by_twilio_in_the_process_that_carries_them_too(
    talked: World, is_away: bool
) -> None:
    """The agent, who is to tell them, does not have them: the order was taken (202) and dropped."""
    sid = (waiting if is_away else going_on)(talked)
    call = CarriedHere()
    talked.services.registry.enter(sid, sid, call)
    assert transfer(talked, sid).status_code == 202
    assert call.told == ([] if is_away else ["sales"])
    assert [one for one, _ in talked.carrier.redirected] == ([sid] if is_away else [])


def test_who_is_put_through_already_is_not_said_to_be_put_through_to_another(talked: World) -> None:
    """The agent is about to say so, or goodbye: it was answered that it is being done (202)."""
    sid = going_on(talked)
    talked.services.registry.enter(sid, sid, CarriedHere(can_be_put_through=False))
    answer = transfer(talked, sid)
    assert (answer.status_code, "already" in answer.json["detail"]) == (409, True)
    assert talked.carrier.redirected == []


def test_the_phone_of_a_colleague_who_is_not_needed_any_more_rings_no_longer(talked: World) -> None:
    assert transfer(talked, waiting(talked)).status_code == 202
    assert talked.carrier.completed == [COLLEAGUE_SID]


def test_a_colleague_whose_phone_cannot_be_stopped_keeps_nobody_from_being_put_through(
    talked: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def complete_call(_sid: str) -> None:
        raise CarrierUnreachable("gone")

    monkeypatch.setattr(talked.carrier, "complete_call", complete_call)
    assert transfer(talked, waiting(talked)).status_code == 202
    assert "! the colleague's phone may still ring: gone" in caplog.text


def test_a_colleague_who_has_the_caller_is_not_hung_up_on(talked: World) -> None:
    sid = waiting(talked)
    talked.services.switchboard.away.decide(sid, "agent.transferred")
    talked.services.switchboard.taken_elsewhere(sid)
    assert talked.carrier.completed == []


def test_who_has_the_caller_by_now_keeps_them(talked: World) -> None:
    """The record hears of it a moment later, from the process that carried the call."""
    sid = waiting(talked)
    talked.services.switchboard.away.decide(sid, "agent.transferred")
    assert transfer(talked, sid).status_code == 409
    assert talked.carrier.redirected == []


def test_who_has_got_the_caller_before_the_order_was_taken_keeps_them(
    talked: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for twice at once, at two processes: the colleague was torn from the caller, and rung again."""
    sid = going_on(talked)

    def order(*_order: str) -> Answer:
        tell(talked.services, OVER, replace(CALL, call_sid=sid))
        return Answer.NOBODY

    monkeypatch.setattr(talked.services.liaison, "order", order)
    answer = transfer(talked, sid)
    assert (answer.status_code, answer.json["detail"]) == (409, "The call is over.")
    assert talked.carrier.redirected == []


def test_who_is_put_through_while_they_wait_for_a_colleague_is_not_brought_back(talked: World) -> None:
    """The colleague declines, in the middle of the talk with whoever took the caller."""
    sid = waiting(talked)
    assert transfer(talked, sid).status_code == 202
    assert talked.webhook(f"/transfer/colleague-status?call={sid}", {"CallStatus": "busy"}).status_code == 204
    assert len(talked.carrier.redirected) == 1


def test_who_is_put_through_on_the_way_back_is_not_waited_for(talked: World) -> None:
    """The slot and the model's session were kept for them, up to two minutes."""
    sid = waiting(talked)
    away = talked.services.switchboard.away
    away.send_back(sid, "the line was busy")
    assert transfer(talked, sid).status_code == 202
    call = away.find(sid)
    assert call is not None
    assert call.outcome == "agent.transferred"


def test_a_call_is_not_put_through_to_nobody(talked: World) -> None:
    sid = going_on(talked)
    assert transfer(talked, sid, "moon").status_code == 400
    assert transfer(talked, sid, 7).status_code == 400
    assert transfer(talked, OTHER_SID).status_code == 400  # its agent names no destination
    assert talked.client.post(f"/calls/{sid}/transfer", data="x").status_code == 415
    tell(talked.services, OVER, replace(CALL, call_sid=sid))
    assert transfer(talked, sid).status_code == 409
    assert talked.carrier.redirected == []


@pytest.mark.usefixtures("nobody_carries_it")
def test_an_interpreter_s_call_is_put_through_by_no_process(make_world: MakeWorld, tmp_path: Path) -> None:
    """The one that carries it takes the order, and cannot do it: the answer was that it is being done."""
    (tmp_path / "agents").mkdir()
    pair = '---\nkind: interpreter\nlanguages: [ja, en]\ntransfer_to: {sales: "+819011112222"}\n---\nTwo.\n'
    (tmp_path / "agents" / "pair.md").write_text(pair)
    world = make_world()
    answer = transfer(world, going_on(world, "pair"))
    world.services.record.close()
    assert answer.status_code == 409
    assert world.carrier.redirected == []


def test_a_deleted_call_is_gone_with_everything_of_it(talked: World) -> None:
    assert talked.client.delete(f"/calls/{CALL_SID}").status_code == 204
    assert talked.client.get(f"/calls/{CALL_SID}").status_code == 404
    tell(talked.services, [Began()])
    assert record_of(talked)["utterances"] == []


def test_a_call_that_goes_on_is_not_deleted(talked: World) -> None:
    assert talked.client.delete(f"/calls/{OTHER_SID}").status_code == 409


def test_a_call_whose_process_was_killed_can_be_deleted(talked: World) -> None:
    lost = replace(CALL, call_sid="CA" + "4" * 32, began_at=datetime.now(UTC) - timedelta(hours=2))
    tell(talked.services, [Began()], lost)
    assert talked.client.delete(f"/calls/{lost.call_sid}").status_code == 204


def test_the_api_wants_its_key(make_world: MakeWorld) -> None:
    world = make_world(callapp_api_key=API_KEY)
    assert world.client.get("/calls").status_code == 401
    key = {"Authorization": f"Bearer {API_KEY}"}
    assert world.client.get("/calls", headers=key).status_code == 200
