"""What one speaker says, piece by piece, as a script of frames and of what the service answers."""

from __future__ import annotations

from callapp.conversation.dictation import (
    BEFORE_MS,
    BYTES_PER_MS,
    LONGEST_PIECE_MS,
    MOST_KEPT_MS,
    PAUSE_MS,
    QUIET_MS,
    SHORTEST_PIECE_MS,
    TELL_EVERY_MS,
    TEXT_WITHIN_MS,
    Command,
    Dictation,
    EndPiece,
    PieceTaken,
    SendSpeech,
    Tell,
    TextDone,
    TextFailed,
    TextGrew,
)
from callapp.conversation.facts import AudioDropped, Used, Uttered

LOUD, SILENT = -20.0, -90.0
VOICE, PAUSE = b"\x10" * 160, b"\xff" * 160


class Line:
    """A dictation whose line is heard in real time."""

    def __init__(self, *, ready: bool = True) -> None:
        self.dictation = Dictation("other")
        self.now_ms = 0.0
        if ready:
            assert self.dictation.session_ready(0) == []

    def hear(self, ms: int, level: float) -> list[Command]:
        commands: list[Command] = []
        for _ in range(ms // 20):
            frame = VOICE if level == LOUD else PAUSE
            commands += self.dictation.hear(frame, level, self.now_ms, self.now_ms)
            self.now_ms += 20
        return commands

    def say(self, ms: int = 1000) -> list[Command]:
        return self.hear(ms, LOUD) + self.hear(PAUSE_MS, SILENT)


def sent(commands: list[Command]) -> bytes:
    return b"".join(one.ulaw for one in commands if isinstance(one, SendSpeech))


def uttered(commands: list[Command]) -> list[tuple[str, str | None, bool]]:
    facts = [one.fact for one in commands if isinstance(one, Tell)]
    return [(one.item_id, one.text, one.growing) for one in facts if isinstance(one, Uttered)]


def ends(commands: list[Command]) -> int:
    return sum(isinstance(one, EndPiece) for one in commands)


def test_a_piece_is_sent_from_before_its_first_sound_to_the_end_of_a_pause_and_silence_is_not() -> None:
    """Silence would cost as much as speech, and words begin softly."""
    line = Line()
    assert line.hear(5000, SILENT) == []
    commands = line.say(1000)
    audio = sent(commands)
    assert len(audio) == (BEFORE_MS - 60 + 1000 + PAUSE_MS) * BYTES_PER_MS
    assert audio.count(VOICE[0]) == 1000 * BYTES_PER_MS
    assert commands[-1] == EndPiece()
    assert ends(commands) == 1
    assert line.hear(5000, SILENT) == []


def test_words_are_sent_while_they_are_said() -> None:
    line = Line()
    line.hear(1000, SILENT)
    commands = line.hear(1000, LOUD)
    assert len(sent(commands)) >= 1000 * BYTES_PER_MS
    assert ends(commands) == 0


def test_who_never_pauses_is_written_down_in_pieces_and_nothing_is_lost_between_them() -> None:
    line = Line()
    commands = line.hear(2 * LONGEST_PIECE_MS + 1000, LOUD)
    assert ends(commands) == 2
    assert len(sent(commands)) > 2 * LONGEST_PIECE_MS * BYTES_PER_MS


def test_text_is_told_as_it_grows_not_too_often_and_whole_at_the_end() -> None:
    line = Line()
    line.hear(1000, SILENT)
    line.hear(1000, LOUD)
    assert line.dictation.receive(TextGrew("item-1", "Good"), line.now_ms) == []
    first = line.dictation.time_passed(line.now_ms)
    assert uttered(first) == [("other-1", "Good", True)]
    line.dictation.receive(TextGrew("item-1", " morning"), line.now_ms)
    assert line.dictation.time_passed(line.now_ms + TELL_EVERY_MS - 1) == []
    assert uttered(line.dictation.time_passed(line.now_ms + TELL_EVERY_MS)) == [
        ("other-1", "Good morning", True)
    ]
    assert line.dictation.time_passed(line.now_ms + 3 * TELL_EVERY_MS) == []
    line.hear(PAUSE_MS, SILENT)
    assert line.dictation.receive(PieceTaken("item-1"), line.now_ms) == []
    told, used = line.dictation.receive(TextDone("item-1", "Good morning.", 1.9), line.now_ms)
    assert told == Tell(Uttered(line.now_ms, "other", "other-1", "Good morning.", start_ms=1000, end_ms=2000))
    assert used.fact.usage.transcribed_s == 1.9  # type: ignore[union-attr]
    assert not line.dictation.pending


def test_texts_that_come_in_another_order_belong_to_their_pieces() -> None:
    """Pieces become items in the order in which they were sent; their texts do not."""
    line = Line()
    line.say()
    line.say()
    for item_id in ("a", "b"):
        line.dictation.receive(PieceTaken(item_id), line.now_ms)
    second = line.dictation.receive(TextDone("b", "Second."), line.now_ms)
    first = line.dictation.receive(TextDone("a", "First."), line.now_ms)
    assert uttered(second) == [("other-2", "Second.", False)]
    assert uttered(first) == [("other-1", "First.", False)]
    (fact,) = [one.fact for one in first if isinstance(one, Tell) and isinstance(one.fact, Uttered)]
    assert fact.start_ms == 0
    line.say()
    third = line.dictation.receive(TextDone("c", "Third."), line.now_ms)
    assert uttered(third) == [("other-3", "Third.", False)]
    assert not line.dictation.out_of_step


def test_what_is_billed_by_tokens_is_counted_by_its_length() -> None:
    line = Line()
    audio = sent(line.say())
    commands = line.dictation.receive(TextDone("a", "Yes."), line.now_ms)
    (used,) = [one.fact for one in commands if isinstance(one, Tell) and isinstance(one.fact, Used)]
    assert used.usage.transcribed_s == len(audio) / 8000


def test_a_session_that_is_lost_costs_no_words() -> None:
    """The next one is sent all that was pending, the piece that was being said too, from its beginning."""
    line = Line()
    line.hear(1000, SILENT)
    first = sent(line.say())
    line.dictation.receive(TextGrew("old", "Half"), line.now_ms)
    line.dictation.session_lost()
    assert line.hear(1000, LOUD) == []
    again = line.dictation.session_ready(line.now_ms)
    assert sent(again).startswith(first)
    assert ends(again) == 1
    assert len(sent(again)) > len(first) + 900 * BYTES_PER_MS
    line.dictation.receive(TextGrew("new", "Whole"), line.now_ms)
    assert uttered(line.dictation.time_passed(line.now_ms + TELL_EVERY_MS)) == [("other-1", "Whole", True)]


def test_what_is_said_before_a_session_listens_is_kept_for_it() -> None:
    line = Line(ready=False)
    assert line.say() == []
    assert ends(line.dictation.session_ready(line.now_ms)) == 1


def test_while_nobody_listens_the_oldest_pieces_are_given_up_for_newer_ones() -> None:
    line = Line(ready=False)
    commands = line.hear(MOST_KEPT_MS + LONGEST_PIECE_MS, LOUD)
    assert uttered(commands) == [("other-1", None, False)]
    facts = [one.fact for one in commands if isinstance(one, Tell)]
    assert [one.dropped_ms for one in facts if isinstance(one, AudioDropped)] == [LONGEST_PIECE_MS]


def test_a_piece_that_grows_long_takes_the_place_of_older_ones_too() -> None:
    """All that is kept goes out at once when a session listens: more than so much would break its socket."""
    line = Line(ready=False)
    for _ in range(MOST_KEPT_MS // (9000 + PAUSE_MS)):
        line.say(9000)
    line.hear(20_000, LOUD)
    assert len(sent(line.dictation.session_ready(line.now_ms))) <= MOST_KEPT_MS * BYTES_PER_MS


def test_a_text_that_never_comes_is_not_waited_for_and_its_item_is_no_other_pieces() -> None:
    line = Line()
    line.say()
    line.dictation.receive(PieceTaken("slow"), line.now_ms)
    assert uttered(line.dictation.time_passed(line.now_ms + TEXT_WITHIN_MS)) == [("other-1", None, False)]
    line.now_ms += TEXT_WITHIN_MS
    line.say()
    assert line.dictation.receive(TextDone("slow", "Too late."), line.now_ms) == []
    assert uttered(line.dictation.receive(TextDone("next", "In time."), line.now_ms)) == [
        ("other-2", "In time.", False)
    ]


def test_an_item_that_shows_only_after_its_piece_was_given_up_is_no_other_pieces() -> None:
    line = Line()
    line.say()
    line.dictation.time_passed(line.now_ms + TEXT_WITHIN_MS)
    line.say()
    assert line.dictation.out_of_step
    assert line.dictation.receive(PieceTaken("first"), line.now_ms) == []
    assert line.dictation.receive(TextDone("first", "Too late."), line.now_ms) == []
    assert uttered(line.dictation.receive(TextDone("second", "Mine."), line.now_ms)) == [
        ("other-2", "Mine.", False)
    ]


def test_a_failed_transcription_leaves_words_that_are_not_known() -> None:
    line = Line()
    line.say()
    assert uttered(line.dictation.receive(TextFailed("a"), line.now_ms)) == [("other-1", None, False)]


def test_a_line_that_brings_nothing_more_ends_its_piece() -> None:
    """A muted phone sends no silence either."""
    line = Line()
    line.hear(1000, LOUD)
    assert ends(line.dictation.time_passed(line.now_ms + QUIET_MS)) == 1


def test_a_piece_that_is_too_short_for_the_service_is_filled_up_with_silence() -> None:
    """It would be refused, and all that is said afterwards written down as what was said before it."""
    line = Line()
    commands = line.hear(80, LOUD) + line.dictation.time_passed(line.now_ms + QUIET_MS)
    assert ends(commands) == 1
    assert sent(commands) == VOICE * 4 + PAUSE * (SHORTEST_PIECE_MS // 20 - 4)


def test_the_end_of_the_call_ends_a_piece_and_what_has_no_text_by_then_is_told_without() -> None:
    line = Line()
    line.hear(1000, LOUD)
    assert ends(line.dictation.finish(line.now_ms)) == 1
    line.dictation.receive(TextGrew("a", "Good by"), line.now_ms)
    assert uttered(line.dictation.give_up(line.now_ms)) == [("other-1", "Good by", False)]
    assert not line.dictation.pending
