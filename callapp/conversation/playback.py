"""What was sent to the phone, and how much of it was heard.

The model makes audio several times faster than people listen, so the phone holds a queue of
seconds. Two things tell where in it the listener is:

- *The clock.* The phone plays 8 bytes a millisecond, without a gap while it has any. So the queue
  runs dry at a moment we can compute when we send. Network delay cancels out: audio arrives late,
  and so does the ``clear`` that cuts it.
- *The marks.* An echo says that all before its mark has been played. It comes a round trip after
  the moment computed for it. The smallest lateness seen on a call is taken for that round trip;
  an echo later than it, or one that is overdue, says how far playback has fallen behind the clock.

Positions are bytes of all audio sent on the call (8 bytes = 1 ms); times are milliseconds of the
call's clock.

Nearly all audio is more of a part that is being played already, and goes by a shortcut, see `Flow`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from callapp.conversation.commands import Command, PlayAudio, SendMark
from callapp.conversation.events import Part
from callapp.conversation.flow import BYTES_PER_MS, Flow, audio_bytes

# A second, but for a hair: whole base64 quadruples, so that a payload can be cut there undecoded.
# It is how often a mark is sent, and the most that goes into one message.
SECOND_BYTES = 7_998
# An echo that is late by more than this is not late but lost.
LOST_MARK_MS = 10_000.0
PIECE_CHARS = SECOND_BYTES // 3 * 4


class Cut(NamedTuple):
    """A part that the listener did not hear to its end; ``heard_ms`` may be 0."""

    response_id: str
    part: Part
    heard_ms: int
    sent_ms: int


class Heard(NamedTuple):
    """What became of a part in the end: heard to its end (``whole``), or cut.

    ``start_ms`` and ``end_ms`` are when it was heard; nothing of it was if ``heard_ms`` is 0.
    """

    item_id: str
    start_ms: float
    end_ms: float
    heard_ms: int
    sent_ms: int
    whole: bool


class Run(NamedTuple):
    """From this position on, audio is heard from this moment on, without a gap."""

    position: int
    at_ms: float


class CutOff(NamedTuple):
    """What was sent up to here, and not heard, never is."""

    heard: int
    sent: int


Span = Run | CutOff


@dataclass(slots=True)
class _Ledger:
    """What is known of one part."""

    response_id: str
    start_ms: float
    end_ms: float = 0.0  # of what an echo has vouched for
    sent_bytes: int = 0
    ended: bool = False


@dataclass(slots=True)
class _Stretch:
    """A run of one part's audio in the queue; ``offset`` is how much of the part came before it."""

    part: Part
    ledger: _Ledger
    start: int
    end: int
    offset: int


class _Mark(NamedTuple):
    position: int
    due_ms: float


class Playback:
    """The ledger of one call's outgoing audio, item by item.

    Attributes:
        flow: what goes on by itself. Whoever is about to decide anything on the call closes it.
        heard: what became of parts, until ``take_heard``.
        spans: where in time all that was sent was heard.
    """

    __slots__ = (
        "_began_ms",
        "_behind_ms",
        "_ledgers",
        "_marked_bytes",
        "_marks",
        "_marks_made",
        "_played_bytes",
        "_queue",
        "_round_trip_ms",
        "flow",
        "heard",
        "spans",
    )

    def __init__(self) -> None:
        self.flow = Flow()
        self.heard: list[Heard] = []
        self.spans: list[Span] = []
        self._ledgers: dict[Part, _Ledger] = {}
        self._queue: list[_Stretch] = []  # a few: an empty deque is ten times as big
        self._marks: dict[str, _Mark] = {}
        self._marks_made = 0
        self._marked_bytes = 0  # position of the newest mark
        self._played_bytes = 0  # position up to which an echo has vouched
        self._began_ms = 0.0  # when the first byte would have been heard, were there no gap before the queue
        self._behind_ms = 0.0  # how far playback lags the clock, by the newest echo
        self._round_trip_ms: float | None = None

    # -- sending --------------------------------------------------------------------------------

    def play(self, response_id: str, part: Part, payload: bytes, at_ms: float) -> list[Command]:
        """Queue a payload (base64) of a part; return what to send, marks included."""
        self.flow.close()  # what goes on is taken for more of what is last in the queue
        self._catch_up()
        commands: list[Command] = []
        if self._queue and self._queue[-1].part != part:
            # The end of an item is marked before another one's audio follows it, for its own
            # `done` may come later than that.
            self._mark(at_ms, commands)
        if len(payload) <= PIECE_CHARS:
            self._add(response_id, part, payload, at_ms, commands)
        else:
            for start in range(0, len(payload), PIECE_CHARS):
                piece = payload[start : start + PIECE_CHARS]
                self._add(response_id, part, piece, at_ms, commands)
        return commands

    def let_flow(self, part: Part) -> None:
        """Let more of a part go on by itself, if that is what is last in the queue."""
        if self._queue and self._queue[-1].part == part:
            self.flow.open(part, self._marked_bytes + SECOND_BYTES, self._began_ms + self._behind_ms)

    def end_part(self, part: Part, at_ms: float) -> list[Command]:
        """Note that a part has all its audio; return the mark at its end, if it has none yet."""
        self._catch_up()
        commands: list[Command] = []
        ledger = self._ledgers.get(part)
        if ledger is not None and not ledger.ended:
            ledger.ended = True
            if self._queue and self._queue[-1].part == part:
                self._mark(at_ms, commands)
            elif all(stretch.part != part for stretch in self._queue):
                self._close(part)  # heard to its end already
        return commands

    def end_response(self, response_id: str, at_ms: float) -> list[Command]:
        """Note that none of a response's parts gets more audio."""
        commands: list[Command] = []
        for part, ledger in list(self._ledgers.items()):
            if ledger.response_id == response_id:
                commands += self.end_part(part, at_ms)
        return commands

    def end_all(self, at_ms: float) -> list[Command]:
        """Note that nothing that was begun gets more audio."""
        return [command for part in list(self._ledgers) for command in self.end_part(part, at_ms)]

    def _add(
        self,
        response_id: str,
        part: Part,
        payload: bytes,
        at_ms: float,
        commands: list[Command],
    ) -> None:
        length = audio_bytes(payload)
        if not length:
            return
        start = self.sent_bytes
        if at_ms >= self.dry_ms:
            self._start_anew(at_ms)
            self.spans.append(Run(start, at_ms))
        stretch = self._queue[-1] if self._queue else None
        if stretch is None or stretch.part != part:
            stretch = self._begin(response_id, part)
        stretch.ledger.sent_bytes += length
        self.flow.sent_bytes = stretch.end = end = start + length
        commands.append(PlayAudio(payload))
        if end - self._marked_bytes >= SECOND_BYTES:
            self._mark(at_ms, commands)

    def _start_anew(self, at_ms: float) -> None:
        """Nothing is queued: what comes next is heard at once."""
        self._began_ms = at_ms - self.sent_bytes / BYTES_PER_MS
        self._behind_ms = 0.0

    def _catch_up(self) -> None:
        """Note what has gone on since: it was all of the newest stretch."""
        if self._queue:
            stretch = self._queue[-1]
            stretch.ledger.sent_bytes += self.sent_bytes - stretch.end
            stretch.end = self.sent_bytes

    def _begin(self, response_id: str, part: Part) -> _Stretch:
        """What comes now is of another part than what came before, or follows on nothing."""
        ledger = self._ledgers.get(part)
        if ledger is None:
            ledger = self._ledgers[part] = _Ledger(response_id, self.dry_ms)
        stretch = _Stretch(part, ledger, self.sent_bytes, self.sent_bytes, ledger.sent_bytes)
        self._queue.append(stretch)
        return stretch

    def _mark(self, at_ms: float, commands: list[Command]) -> None:
        if self._marked_bytes == self.sent_bytes:
            return
        self._marks_made += 1
        name = f"mark-{self._marks_made}"
        self._marks[name] = _Mark(self.sent_bytes, max(at_ms, self._dry_ms))
        self._marked_bytes = self.sent_bytes
        commands.append(SendMark(name))

    # -- hearing --------------------------------------------------------------------------------

    def played(self, name: str, at_ms: float) -> None:
        """Take a mark's echo. Echoes of marks that were cleared or never sent mean nothing."""
        self._catch_up()
        mark = self._marks.get(name)
        if mark is None:
            return
        while next(iter(self._marks)) != name:  # marks come back in order: these were lost
            del self._marks[next(iter(self._marks))]
        del self._marks[name]
        self._played_bytes = mark.position
        late_ms = at_ms - mark.due_ms
        if self._round_trip_ms is None or late_ms < self._round_trip_ms:
            self._round_trip_ms = late_ms
        self._behind_ms = late_ms - self._round_trip_ms
        self._forget_heard(at_ms)

    def passed(self, name: str, at_ms: float) -> bool:
        """Take a mark's echo, if nothing hangs on it but where we are: what is played goes on behind it.

        Returns:
            False, and nothing is noted, if something may hang on it.
        """
        self._catch_up()
        mark = self._marks.get(name)
        if mark is None:
            return True
        if not self._queue or self._queue[0].end <= mark.position:
            return False
        self.played(name, at_ms)
        self.flow.began_ms = self._began_ms + self._behind_ms
        return True

    def cut(self, at_ms: float) -> list[Cut]:
        """Forget all that is queued: the phone is being cleared. Return what was not heard out.

        A part that was heard as far as it was sent, but of which more was to come, is cut as well.
        """
        self._catch_up()
        heard = self._heard_bytes(at_ms)
        heard_of: dict[Part, int] = {}
        self.spans.append(CutOff(heard, self.sent_bytes))
        for stretch in self._queue:
            if stretch.end > heard:
                heard_of.setdefault(stretch.part, stretch.offset + max(0, heard - stretch.start))
        for part, ledger in self._ledgers.items():
            if not ledger.ended:
                heard_of.setdefault(part, ledger.sent_bytes)
        cuts = [
            Cut(ledger.response_id, part, heard // BYTES_PER_MS, ledger.sent_bytes // BYTES_PER_MS)
            for part, heard in heard_of.items()
            for ledger in (self._ledgers[part],)
        ]
        for part, ledger in self._ledgers.items():
            self.heard.append(self._became(part, ledger, heard_of.get(part), at_ms))
        self._ledgers.clear()
        self._queue.clear()
        self._marks.clear()  # their echoes will say "thrown away", not "played"
        self._played_bytes = self._marked_bytes = self.sent_bytes
        self._start_anew(at_ms)
        return cuts

    def take_heard(self) -> list[Heard]:
        """What has been heard, or cut, since this was asked last."""
        heard, self.heard = self.heard, []
        return heard

    def playing(self, at_ms: float) -> bool:
        """Whether the phone holds audio that was not heard yet."""
        return self._heard_bytes(at_ms) < self.sent_bytes

    def position(self, at_ms: float) -> int | None:
        """How much of all that was sent has been heard, in bytes; ``None`` while nothing is."""
        heard = self._heard_bytes(at_ms)
        return heard if heard < self.sent_bytes else None

    @property
    def sent_bytes(self) -> int:
        """The position up to which there is audio."""
        return self.flow.sent_bytes

    @property
    def items(self) -> set[str]:
        """The items of which something may still be unheard, or still come."""
        return {part.item_id for part in self._ledgers}

    def unended(self, item_id: str) -> bool:
        """Whether an item that was begun gets more audio."""
        return any(not one.ended for part, one in self._ledgers.items() if part.item_id == item_id)

    @property
    def all_heard(self) -> bool:
        """Whether the phone itself has said that it played everything."""
        return self._played_bytes == self.sent_bytes

    @property
    def _dry_ms(self) -> float:
        """When the queue runs dry, by the clock alone."""
        return self._began_ms + self.sent_bytes / BYTES_PER_MS

    @property
    def dry_ms(self) -> float:
        """When the queue should have run dry, by the clock and the newest echo."""
        return self._dry_ms + self._behind_ms

    @property
    def round_trip_ms(self) -> float:
        """How late an echo is at least; 0 while there was none."""
        return max(0.0, self._round_trip_ms or 0.0)

    def _heard_bytes(self, at_ms: float) -> int:
        ahead_ms = self._dry_ms + self._lag_ms(at_ms) - at_ms
        if ahead_ms <= 0:
            return self.sent_bytes
        # Rounded up, for what is not surely heard counts as unheard.
        unheard = int(ahead_ms * BYTES_PER_MS) + 1
        return max(self._played_bytes, self.sent_bytes - unheard)

    def _lag_ms(self, at_ms: float) -> float:
        """How far playback is behind the clock: by the newest echo, or by one that is overdue."""
        if self._round_trip_ms is None or not self._marks:
            return self._behind_ms
        oldest = next(iter(self._marks.values()))
        overdue_ms = at_ms - oldest.due_ms - self._round_trip_ms
        return max(self._behind_ms, overdue_ms) if overdue_ms < LOST_MARK_MS else self._behind_ms

    def _forget_heard(self, at_ms: float) -> None:
        while self._queue and self._queue[0].end <= self._played_bytes:
            stretch = self._queue.pop(0)
            part, ledger = stretch.part, stretch.ledger
            ledger.end_ms = min(at_ms, self._moment_of(stretch.end))
            if ledger.ended and all(s.part != part for s in self._queue):
                self._close(part)

    def _close(self, part: Part) -> None:
        """A part was heard to its end."""
        ledger = self._ledgers.pop(part)
        ms = ledger.sent_bytes // BYTES_PER_MS
        self.heard.append(Heard(part.item_id, ledger.start_ms, ledger.end_ms, ms, ms, True))

    def _became(self, part: Part, ledger: _Ledger, heard_bytes: int | None, at_ms: float) -> Heard:
        """What has become of a part when the phone is cleared; ``heard_bytes`` if it is cut by that."""
        whole = heard_bytes is None
        heard = ledger.sent_bytes if heard_bytes is None else heard_bytes
        ends = [s.start + heard - s.offset for s in self._queue if s.part == part and s.offset < heard]
        end_ms = min(at_ms, self._moment_of(ends[-1])) if ends else ledger.end_ms
        sent_ms = ledger.sent_bytes // BYTES_PER_MS
        return Heard(part.item_id, ledger.start_ms, end_ms, heard // BYTES_PER_MS, sent_ms, whole)

    def _moment_of(self, position: int) -> float:
        """When a position is heard, by the clock and the newest echo."""
        return self.dry_ms - (self.sent_bytes - position) / BYTES_PER_MS
