"""What happened on a call, as its page tells it."""

from __future__ import annotations

import re
from datetime import date
from io import BytesIO
from typing import Any

import pytest

from callapp.call_log.documents import CallEvent, ToolRun, Utterance, WholeCall
from callapp.recording.reel import wav_header
from callapp.simulators.ulaw import silence, tone
from callapp.web.desk.plots import Line, columns, lines, turn_bars
from callapp.web.desk.story import tell
from callapp.web.desk.waveform import COLUMNS, draw, peaks


def said(item_id: str, text: str, start_ms: int, **more: Any) -> Utterance:
    known = {"role": "agent", "end_ms": start_ms + 500, "interrupted": False}
    return Utterance(item_id=item_id, text=text, start_ms=start_ms, **known | more)


def whole(**lists: Any) -> WholeCall:
    empty: dict[str, Any] = {"utterances": [], "turns": [], "tool_runs": [], "events": []}
    return WholeCall.model_construct(**empty | lists)


def test_words_tools_and_events_come_in_the_order_in_which_they_happened() -> None:
    story = tell(
        whole(
            utterances=[said("a", "Hello.", 100), said("b", "It comes tomorrow.", 3000)],
            tool_runs=[
                ToolRun(
                    name="look_up",
                    arguments={"order": "七"},
                    output="x",
                    outcome="ok",
                    start_ms=2000,
                    duration_ms=3,
                )
            ],
            events=[CallEvent(at_ms=50, type="connected", detail={})],
        )
    )
    assert [moment.key for moment in story] == ["event-0", "said-a", "tool-0", "said-b"]
    assert story[2].arguments == '{"order": "七"}'


def test_what_was_meant_and_not_heard_is_struck() -> None:
    """What was heard can end within a word, or be another spelling of it."""
    for heard, meant, unsaid in [
        ("Your order", "Your order comes tomorrow.", " comes tomorrow."),
        ("明日の午後にお", "明日の午後にお届けします。", "届けします。"),
        ("", "Hello.", "Hello."),
        ("Hello.", "Hello.", ""),
        ("Your ordr", "Your order comes.", "er comes."),
    ]:
        cut = CallEvent(at_ms=500, type="cut", detail={"itemId": "a", "meant": meant})
        [moment] = tell(whole(utterances=[said("a", heard, 0, interrupted=True)], events=[cut]))
        assert moment.unsaid == unsaid


def test_a_slow_answer_stands_out() -> None:
    svg = str(turn_bars([(300.0, False), (1400.0, True)]))
    assert svg.count("<rect") == 2
    assert 'class="slow"' in svg
    assert "<title>2: 1400 ms ⤳</title>" in svg
    assert str(turn_bars([])).count("<rect") == 0


def test_the_bars_of_a_long_call_are_in_rows() -> None:
    """In one, a bar of 300 were less than a pixel wide."""
    svg = str(turn_bars([(500.0, False)] * 300))
    found = re.search(r'viewBox="0 0 (\d+) (\d+)"', svg)
    assert found
    width, height = int(found[1]), int(found[2])
    assert width <= 900
    places = re.findall(r'x="(\d+)" y="([\d.]+)" width="10" height="([\d.]+)"', svg)
    assert len(set(places)) == 300
    assert max(int(x) + 10 for x, _, _ in places) <= width
    assert max(float(y) + float(high) for _, y, high in places) == height


def test_a_plot_has_a_mark_for_each_day_that_has_a_value_and_a_scale_that_holds_them() -> None:
    days = [date(2026, 11, day) for day in range(1, 5)]
    svg = str(columns("Calls", days, [3.0, 0.0, 12.0, 7.0], "{:g}"))
    assert svg.count("<rect") == 3
    assert ">20</text>" in svg  # the first round number that is not exceeded
    waits = str(lines("Waits", days, [Line("p50", "main", [500.0, None, 700.0, 650.0])], "{:.0f} ms"))
    assert waits.count("<circle") == 3
    assert re.search(r'd="M[^ML]+M[^ML]+L[^ML]+"', waits)  # no line across the day without one
    assert str(columns("None", days, [0.0] * 4, "{:g}")).count("<rect") == 0


@pytest.mark.parametrize(
    ("calls", "scale"), [(0, ["0"]), (1, ["0", "1", "2"]), (5, ["0", "3", "6"]), (50, ["0", "25", "50"])]
)
def test_a_scale_has_whole_calls_and_none_where_there_were_none(calls: int, scale: list[str]) -> None:
    """Half a call was written at it, and “0 ms” twice."""
    svg = str(columns("Calls", [date(2026, 11, 28)], [float(calls)], "{:g}"))
    assert re.findall('text-anchor="end">([0-9.]+)<', svg) == scale


def test_the_wave_form_shows_each_side_where_it_spoke() -> None:
    seconds = 3
    caller = silence(1000) + tone(440, 1000) + silence(1000)
    agent = tone(440, 1000) + silence(2000)
    frames = bytes(byte for pair in zip(caller, agent, strict=True) for byte in pair)
    wav = wav_header(len(caller)) + frames
    left, right = peaks(BytesIO(wav), len(wav))
    assert len(left) == len(right) == COLUMNS
    third = COLUMNS // seconds
    for levels, loud in ((left, 1), (right, 0)):
        for part in range(seconds):
            middle = levels[part * third + 10 : (part + 1) * third - 10]
            assert (min(middle) > 20) is (part == loud)
            assert (max(middle) < 3) is (part != loud)
    assert str(draw(left, right)).count("<path") == 2
    assert peaks(BytesIO(b""), 0) == ([], [])
