"""The record of a call, from the facts to what is read of it, on both databases."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, select, text

from callapp.call.journal import Particulars
from callapp.call_log import Admission, PlacedCall, Store, schema
from callapp.call_log.documents import WholeCall
from callapp.call_log.listing import BadCursor, Wanted, list_calls
from callapp.call_log.models import CallRow
from callapp.call_log.reading import find_call, list_live
from callapp.call_log.record import Record
from callapp.conversation.events import Usage
from callapp.conversation.facts import (
    BargedIn,
    Began,
    Closed,
    Ended,
    Fact,
    Fault,
    FirstAudio,
    KeysPressed,
    ModelConnected,
    ModelDisconnected,
    ToolRan,
    TurnAnswered,
    Used,
    Uttered,
)
from tests.postgres import Cluster, cluster
from tests.stage import eventually

WAIT_S = 20.0
BEGAN = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)
CALL = Particulars(
    call_sid="CA" + "1" * 32,
    direction="incoming",
    from_number="+819012345678",
    to_number="+14155550100",
    agent="operator",
    parameters={"customerId": "12345"},
    model="gpt-realtime-2.1-mini",
    transcription_model="gpt-transcribe",
    began_at=BEGAN,
)
TALK: list[Fact] = [
    Began(),
    ModelConnected(310, 310, False),
    FirstAudio(480.4),
    Uttered(1_800, "agent", "item_1", "Hello.", 480.4, 1_730.2),
    Uttered(3_000, "caller", "item_2", None, 2_000, 2_900),
    TurnAnswered(3_520, 1, 620.4, 640.1, False),
    Uttered(5_000, "agent", "item_3", "Your order", 3_520, 5_000, True, "Your order comes tomorrow."),
    BargedIn(5_000, 4_998, "item_3", 1_480, 4_000),
    Uttered(5_100, "caller", "item_2", "Where is my order?", 2_000, 2_900),
    ToolRan(6_000, "call_1", "look_up", '{"order": 7}', "tomorrow", "ok", 12.6),
    ToolRan(6_500, "call_2", "collect_digits", "not json", None, "ok", 4_000),
    KeysPressed(7_000, 4, None),
    Used(7_100, Usage(input_text=100, input_audio=200, cached_text=50, output_text=20, output_audio=400)),
    Used(7_200, Usage(transcribed_s=60)),
    ModelDisconnected(8_000, "openai.disconnected"),
    ModelConnected(8_700, 700, True),
    Fault(9_000, "invalid_value", "no such voice"),
    Ended(10_000, "agent.ended"),
    Closed(10_050),
]


@pytest.fixture
def record(store: Store) -> Iterator[Record]:
    record = Record(store)
    yield record
    record.close()


def tell(record: Record, facts: list[Fact], call: Particulars = CALL) -> None:
    for fact in facts:
        record(call, fact, fact.at_ms + 2)


def whole(store: Store, record: Record, call: Particulars = CALL) -> WholeCall:
    assert record.flush(WAIT_S)
    found = find_call(store, call.call_sid)
    assert found is not None
    return found


def test_a_call_that_has_moved_to_another_process_ends_there(store: Store, record: Record) -> None:
    tell(record, [Began(), Ended(5_000, "server.moved"), Closed(5_010)])
    call = whole(store, record).as_json()
    assert (call["status"], call["endReason"], call["endedAt"]) == ("in-progress", None, None)
    there = replace(CALL, resumed=True)
    tell(record, [Began(4_000), Ended(9_000, "agent.ended"), Closed(9_010)], there)
    call = whole(store, record).as_json()
    assert (call["status"], call["endReason"]) == ("completed", "agent.ended")
    assert call["endedAt"] == "2026-11-25T09:00:09Z"


def test_a_call_that_ended_while_it_was_away_and_came_back_goes_on(store: Store, record: Record) -> None:
    """Its session was gone; another one took it up."""
    tell(record, [Began(), Ended(5_000, "openai.refused"), Closed(5_010)])
    tell(record, [Began(6_000)], replace(CALL, resumed=True))
    call = whole(store, record).as_json()
    assert (call["status"], call["endReason"], call["endedAt"]) == ("in-progress", None, None)


def test_a_call_reads_as_the_contract_says(store: Store, record: Record) -> None:
    tell(record, TALK)
    call = whole(store, record).as_json()
    assert call == {
        "callSid": CALL.call_sid,
        "direction": "incoming",
        "from": "+819012345678",
        "to": "+14155550100",
        "agent": "operator",
        "model": "gpt-realtime-2.1-mini",
        "parameters": {"customerId": "12345"},
        "status": "completed",
        "answeredBy": None,
        "endReason": "agent.ended",
        "createdAt": "2026-11-25T09:00:00Z",
        "answeredAt": "2026-11-25T09:00:00Z",
        "endedAt": "2026-11-25T09:00:10Z",
        "durationSeconds": 10.0,
        "firstAudioMs": 480,
        "utterances": [
            _utterance("agent", "Hello.", 480, 1_730, "item_1"),
            _utterance("caller", "Where is my order?", 2_000, 2_900, "item_2"),
            _utterance("agent", "Your order", 3_520, 5_000, "item_3", interrupted=True),
        ],
        "turns": [{"index": 1, "voiceToVoiceMs": 620, "audibleMs": 640, "bargeIn": False}],
        "toolRuns": [
            _tool_run("look_up", {"order": 7}, "tomorrow", 6_000, 13),
            _tool_run("collect_digits", "not json", None, 6_500, 4_000),
        ],
        "events": [
            {"atMs": 310, "type": "connected", "detail": {"connectMs": 310}},
            {
                "atMs": 5_000,
                "type": "barge_in",
                "detail": {"clearMs": 4, "heardMs": 1_480, "sentMs": 4_000, "itemId": "item_3"},
            },
            {
                "atMs": 5_000,
                "type": "cut",
                "detail": {"itemId": "item_3", "meant": "Your order comes tomorrow."},
            },
            {"atMs": 7_000, "type": "dtmf", "detail": {"count": 4, "digits": None}},
            {"atMs": 8_000, "type": "disconnected", "detail": {"reason": "openai.disconnected"}},
            {"atMs": 8_700, "type": "reconnected", "detail": {"awayMs": 700}},
            {"atMs": 9_000, "type": "error", "detail": {"message": "invalid_value: no such voice"}},
        ],
        "usage": {
            "inputAudioTokens": 200,
            "inputTextTokens": 100,
            "cachedTokens": 50,
            "outputAudioTokens": 400,
            "outputTextTokens": 20,
            "transcriptionSeconds": 60.0,
            "analysisInputTokens": 0,
            "analysisOutputTokens": 0,
        },
        # 50 × 0.60 + 50 × 0.06 + 20 × 2.40 for the text, 200 × 10 + 400 × 20 for the audio, per million.
        "cost": {
            "totalUsd": 0.014581,
            "modelUsd": 0.010081,
            "transcriptionUsd": 0.0045,
            "analysisUsd": 0.0,
            "carrierUsd": None,
        },
        "recording": None,
        "summary": None,
        "verdict": None,
        "tags": None,
        "extracted": None,
    }


def _utterance(
    role: str, text: str, start_ms: int, end_ms: int, item_id: str, *, interrupted: bool = False
) -> dict[str, Any]:
    return {
        "role": role,
        "text": text,
        "startMs": start_ms,
        "endMs": end_ms,
        "interrupted": interrupted,
        "itemId": item_id,
    }


def _tool_run(name: str, arguments: Any, output: str | None, start_ms: int, ms: int) -> dict[str, Any]:
    return {
        "name": name,
        "arguments": arguments,
        "output": output,
        "outcome": "ok",
        "startMs": start_ms,
        "durationMs": ms,
    }


def test_a_batch_that_is_written_twice_changes_nothing(store: Store, record: Record) -> None:
    """A commit whose answer was lost is tried again."""
    tell(record, TALK)
    before = whole(store, record)
    pieces: list[Any] = []
    record.put = pieces.append  # type: ignore[method-assign]
    tell(record, TALK)
    other = replace(CALL, call_sid="CA" + "2" * 32)
    pieces = [piece._replace(call=other) for piece in pieces]
    record._write(pieces)
    once = find_call(store, other.call_sid)
    record._write(pieces)
    assert find_call(store, other.call_sid) == once
    assert find_call(store, CALL.call_sid) == before


def test_a_model_without_a_price_costs_an_unknown_amount_not_nothing(store: Store, record: Record) -> None:
    tell(record, TALK, replace(CALL, model="gpt-realtime-99"))
    cost = whole(store, record).cost
    assert (cost.total_usd, cost.model_usd, cost.transcription_usd) == (None, None, 0.0045)


def test_a_transcription_without_a_price_costs_an_unknown_amount(store: Store, record: Record) -> None:
    tell(record, TALK, replace(CALL, transcription_model="whisper-99"))
    cost = whole(store, record).cost
    assert (cost.total_usd, cost.transcription_usd) == (None, None)
    assert cost.model_usd == 0.010081


def test_an_utterance_without_words_is_none(store: Store, record: Record) -> None:
    """A cough that the transcription heard nothing in."""
    tell(record, [Began(), Uttered(900, "caller", "c1", "", 100, 800)])
    assert whole(store, record).utterances == []


def test_what_postgresql_cannot_hold_does_not_stop_the_record(store: Store, record: Record) -> None:
    tell(record, [Began(), Uttered(900, "caller", "c1", "a\0b", 100, 800), Fault(1_000, "x\0")])
    assert whole(store, record).utterances[0].text == "ab"


@pytest.mark.parametrize(
    ("arguments", "read"),
    [
        (r'{"mood": "\ud83d\ude42"}', {"mood": "\N{SLIGHTLY SMILING FACE}"}),
        (r'{"mood": "\ud83d"}', r'{"mood": "\ud83d"}'),
        ('{"order": NaN}', '{"order": NaN}'),
        ("[" * 5_000, "[" * 5_000),
    ],
)
def test_what_a_model_takes_for_json_can_always_be_handed_on(
    store: Store, record: Record, arguments: str, read: object
) -> None:
    """Webhooks and the analysis send the call as UTF-8."""
    tell(record, [Began(), ToolRan(6_000, "call_1", "look_up", arguments, "no", "error", 1)])
    call = whole(store, record).as_json()
    assert call["toolRuns"][0]["arguments"] == read
    json.dumps(call, ensure_ascii=False, allow_nan=False).encode()


def test_a_call_that_we_placed_keeps_its_row_and_its_carriers_status(store: Store, record: Record) -> None:
    placed = PlacedCall("placed-1", "operator", {}, "+14155550100", "+819012345678")
    store.place_call(placed)
    outgoing = replace(CALL, direction="outgoing", from_number=placed.from_number, to_number=placed.to_number)
    store.issue_token(_admission(outgoing, "placed-1"), 60)
    store.note_status(CALL.call_sid, "in-progress", 2, "placed-1")
    tell(record, TALK, outgoing)
    call = whole(store, record, outgoing)
    assert (call.status, call.end_reason, call.direction) == ("in-progress", "agent.ended", "outgoing")
    assert call.answered_at is not None
    store.note_status(CALL.call_sid, "completed", 3)
    assert whole(store, record, outgoing).status == "completed"
    assert len(list_calls(store, Wanted(), 10).calls) == 1


def test_a_call_that_rang_us_is_known_from_its_answer_on(store: Store) -> None:
    store.issue_token(_admission(CALL, CALL.call_sid), 60)
    store.issue_token(_admission(CALL, CALL.call_sid), 60)  # Twilio asked twice
    call = find_call(store, CALL.call_sid)
    assert call is not None
    assert (call.status, call.from_number, call.utterances) == ("in-progress", "+819012345678", [])


def _admission(call: Particulars, slot_key: str) -> Admission:
    return Admission(
        slot_key, call.call_sid, call.agent, call.parameters, call.direction, call.from_number, call.to_number
    )


# -- lists ----------------------------------------------------------------------------------------


def many(record: Record, count: int) -> list[str]:
    """Calls a second apart, but for pairs that began at the same moment; oldest first."""
    sids = [f"CA{number:032d}" for number in range(count)]
    for number, call_sid in enumerate(sids):
        began_at = BEGAN + timedelta(seconds=number // 2)
        agent = "operator" if number % 3 else "shop"
        tell(record, [Began()], replace(CALL, call_sid=call_sid, began_at=began_at, agent=agent))
    assert record.flush(WAIT_S)
    return sids


def test_pages_hold_every_call_once_newest_first(store: Store, record: Record) -> None:
    sids = many(record, 11)
    seen: list[str | None] = []
    cursor = None
    while True:
        page = list_calls(store, Wanted(), 3, cursor)
        seen += [call.call_sid for call in page.calls]
        cursor = page.next_cursor
        if cursor is None:
            break
        assert len(page.calls) == 3
    assert seen == sids[::-1]


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (Wanted(agent="shop"), [9, 6, 3, 0]),
        (Wanted(direction="outgoing"), []),
        (Wanted(from_number="+819012345678", agent="shop"), [9, 6, 3, 0]),
        (Wanted(to_number="+1"), []),
        (Wanted(status="in-progress", since=BEGAN + timedelta(seconds=4)), [9, 8]),
        (Wanted(until=BEGAN + timedelta(seconds=1)), [1, 0]),
    ],
)
def test_filters(store: Store, record: Record, wanted: Wanted, numbers: list[int]) -> None:
    sids = many(record, 10)
    assert [call.call_sid for call in list_calls(store, wanted, 50).calls] == [sids[n] for n in numbers]


@pytest.mark.parametrize("cursor", ["", "x", "%%%", "MjAyNi0xMS0yNSBh", "AAAA", "é"])
def test_a_cursor_that_is_none_of_ours_is_refused(store: Store, cursor: str) -> None:
    with pytest.raises(BadCursor):
        list_calls(store, Wanted(), 10, cursor)


# -- an outage ------------------------------------------------------------------------------------


def test_a_postgresql_that_is_stopped_during_calls_loses_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with cluster() as server:
        url = server.new_database()
        schema.upgrade(url)
        store = Store(url)
        record = Record(store)
        calls = [replace(CALL, call_sid=f"CA{number:032d}") for number in range(20)]
        third = len(TALK) // 3
        for call in calls:
            tell(record, TALK[:third], call)
        assert record.flush(WAIT_S)
        server.stop()
        for call in calls:
            tell(record, TALK[third : 2 * third], call)
        assert not record.flush(0.5)
        server.start()
        for call in calls:
            tell(record, TALK[2 * third :], call)
        found = [whole(store, record, call) for call in calls]
        record.close()
        store.close()
    assert record.dropped == 0
    assert {len(call.utterances) for call in found} == {3}
    assert {len(call.events) for call in found} == {7}
    assert {call.end_reason for call in found} == {"agent.ended"}


@pytest.mark.parametrize(
    ("break_it", "mend_it"),
    [
        ("REVOKE INSERT, UPDATE ON calls FROM callapp", "GRANT INSERT, UPDATE ON calls TO callapp"),
        ("ALTER TABLE calls RENAME TO away", "ALTER TABLE away RENAME TO calls"),
    ],
)
def test_what_a_postgresql_may_not_write_for_a_while_is_not_lost(
    postgres: Cluster, postgres_template: str, caplog: pytest.LogCaptureFixture, break_it: str, mend_it: str
) -> None:
    """A database over its size, at Heroku, keeps its rows and loses the right to more of them."""
    url = postgres.new_database(template=postgres_template)
    owner = create_engine(url, isolation_level="AUTOCOMMIT")
    with ExitStack() as at_last:
        at_last.callback(owner.dispose)
        connection = at_last.enter_context(owner.connect())
        connection.execute(text("CREATE ROLE callapp LOGIN"))
        at_last.callback(connection.execute, text("DROP OWNED BY callapp; DROP ROLE callapp"))
        connection.execute(text("GRANT ALL ON ALL TABLES IN SCHEMA public TO callapp"))
        with closing(Store(url.replace("postgres@", "callapp@"))) as store, closing(Record(store)) as record:
            connection.execute(text(break_it))
            tell(record, TALK)
            assert eventually(lambda: "it is kept and tried again" in caplog.text, WAIT_S)
            connection.execute(text(mend_it))
            assert record.flush(WAIT_S)
            assert whole(store, record).as_json()["endReason"] == "agent.ended"


def test_live_calls_are_those_that_go_on_with_what_was_said_last(store: Store, record: Record) -> None:
    """A call that a dead process left behind does not stay for ever."""
    over, fresh = replace(CALL, call_sid="CA" + "2" * 32), replace(CALL, call_sid="CA" + "3" * 32)
    old = replace(CALL, call_sid="CA" + "4" * 32, began_at=BEGAN - timedelta(hours=2))
    for call, facts in ((over, TALK), (fresh, TALK[:10]), (old, TALK[:3])):
        tell(record, facts, call)
    assert record.flush(WAIT_S)
    [live] = list_live(store, BEGAN - timedelta(hours=1), 10)
    assert live.call.call_sid == fresh.call_sid
    assert live.latest is not None
    assert live.latest.text == "Your order"


def test_a_call_of_a_browser_is_over_when_it_closes(store: Store, record: Record) -> None:
    """No phone company tells how it ended."""
    call = replace(CALL, direction="browser", from_number="browser", to_number="")
    tell(record, TALK, call)
    found = whole(store, record, call)
    assert (found.direction, found.status) == ("browser", "completed")
    with store.transaction() as session:
        assert session.scalars(select(CallRow.settle_at)).one() is None  # Twilio does not know of it


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("my order", 1),
        ("MY ORDER", 1),
        ("comes tomorrow", 0),
        ("%", 0),
        ("-", 0),
        ("9012345", 1),
        ("+81 90-1234-5678", 1),  # as the desk shows it
        ("+81 90-1234-5679", 0),
        ("090-1234-5678", 1),  # as it is dialled at home
        ("090-1234-5679", 0),
        ("0", 1),
        ("CA" + "1" * 32, 1),
    ],
)
def test_calls_are_found_by_what_was_heard_and_by_their_numbers(
    store: Store, record: Record, words: str, found: int
) -> None:
    tell(record, TALK)
    assert record.flush(WAIT_S)
    assert len(list_calls(store, Wanted(words=words), 10).calls) == found
