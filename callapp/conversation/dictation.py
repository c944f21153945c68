"""What one speaker says, written down piece by piece by a service that cannot tell where a piece ends. Pure.

A piece is what is said between two pauses. Only pieces are sent, and a little before and after each:
silence would cost as much as speech. A piece is kept until its text is whole, so that a session that is
lost costs a delay and no words: the next one is sent all of it again.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from callapp.conversation.events import Usage
from callapp.conversation.facts import AudioDropped, Fact, Role, Used, Uttered
from callapp.conversation.flow import BYTES_PER_MS
from callapp.conversation.speaking import FRAME_MS, SHORTEST_FRAMES, Speaking

# A pause of so long ends a piece, and so does its length: until then a model may tell nothing.
PAUSE_MS = 600
LONGEST_PIECE_MS = 30_000
# So much before the first loud sound belongs to it: words begin softly.
BEFORE_MS = 300
# So much is sent at once; less is only more messages.
SEND_MS = 100
# How much is kept for a service that is away or slow; older pieces are given up for newer ones.
MOST_KEPT_MS = 60_000
# How often a text that grows is told.
TELL_EVERY_MS = 300.0
# A text that is not whole so long after its piece was sent will not be.
TEXT_WITHIN_MS = 20_000.0
# A line that brings nothing at all for so long is silent, though no silence was heard.
QUIET_MS = 1_000.0
# The service takes no piece below 100 ms, and its next item would be taken for that one's.
SHORTEST_PIECE_MS = 120
_SILENCE = b"\xff"  # in mu-law

# -- what the service says ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PieceTaken:
    """A piece that was sent is an item of the service's now."""

    item_id: str


@dataclass(frozen=True, slots=True)
class TextGrew:
    """More of an item's text."""

    item_id: str
    text: str


@dataclass(frozen=True, slots=True)
class TextDone:
    """All of an item's text; ``billed_s`` is what it is billed by, where the service says."""

    item_id: str
    text: str
    billed_s: float | None = None


@dataclass(frozen=True, slots=True)
class TextFailed:
    """An item will have no text."""

    item_id: str


Said = PieceTaken | TextGrew | TextDone | TextFailed

# -- what is to be done -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SendSpeech:
    """Let the service hear this: mu-law."""

    ulaw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class EndPiece:
    """What was sent since the last one is a piece."""


@dataclass(frozen=True, slots=True)
class Tell:
    """A fact for the journal."""

    fact: Fact


Command = SendSpeech | EndPiece | Tell


@dataclass
class _Piece:
    number: int
    start_ms: float
    end_ms: float
    ulaw: bytearray
    ended: bool = False
    text: str = ""
    told_ms: float = -math.inf  # when its text was told last
    untold: bool = False  # it has grown since
    # In the present session:
    item_id: str | None = None
    sent_bytes: int = 0
    sent_ms: float = math.inf  # when all of it had been sent


class Dictation:
    """The pieces of one speaker. Not safe for several threads.

    Args:
        role: whose words they are.
    """

    def __init__(self, role: Role) -> None:
        self._role = role
        self._speaking = Speaking()
        self._before: deque[bytes] = deque(maxlen=BEFORE_MS // FRAME_MS)
        self._pieces: deque[_Piece] = deque()  # whose text is not whole; only the last one can still grow
        self._numbers = 0
        self._ready = False
        self._heard_ms = 0.0  # when the line was heard last
        self._past_items: set[str] = set()  # of the present session, of pieces that are no longer here
        self._lost_items = 0  # pieces that are gone, and whose items have yet to show
        self.mute = False  # the present session has let a piece pass without a word of text

    @property
    def pending(self) -> bool:
        """Whether there is a piece whose text is not whole."""
        return bool(self._pieces)

    @property
    def out_of_step(self) -> bool:
        """Whether the item of a piece that is gone is due: if it never comes, another is taken for it."""
        return self._lost_items > 0

    # -- the speaker ----------------------------------------------------------------------------

    def hear(self, frame: bytes, level_dbfs: float, at_ms: float, now_ms: float) -> list[Command]:
        """Take the next `FRAME_MS` of the line: mu-law, its level, and where in the call it begins."""
        self._heard_ms = now_ms
        speaks = self._speaking.hear(level_dbfs)
        piece = self._open
        if piece is None:
            self._before.append(frame)
            return self._begin(at_ms, now_ms) if speaks else []
        piece.ulaw += frame
        until_ms = at_ms + FRAME_MS
        if speaks:
            piece.end_ms = until_ms
        long = len(piece.ulaw) >= LONGEST_PIECE_MS * BYTES_PER_MS
        piece.ended = long or until_ms - piece.end_ms >= PAUSE_MS
        return self._make_room(now_ms) + self._send(piece, now_ms)

    def time_passed(self, now_ms: float) -> list[Command]:
        """Tell what has grown, and see to what is overdue."""
        commands: list[Command] = []
        if now_ms - self._heard_ms >= QUIET_MS:
            commands += self.finish(now_ms)
        for piece in list(self._pieces):
            if now_ms - piece.sent_ms >= TEXT_WITHIN_MS:
                self.mute = self.mute or not piece.text
                commands.append(self._close(piece, now_ms))
            elif piece.untold and now_ms - piece.told_ms >= TELL_EVERY_MS:
                commands.append(self._tell(piece, piece.text.strip(), now_ms, growing=True))
        return commands

    def finish(self, now_ms: float) -> list[Command]:
        """Nothing more will be heard for now."""
        piece = self._open
        if piece is None:
            return []
        piece.ended = True
        return self._send(piece, now_ms)

    def give_up(self, now_ms: float) -> list[Command]:
        """No more text will come: tell what there is."""
        return [self._close(piece, now_ms) for piece in list(self._pieces)]

    # -- the service ----------------------------------------------------------------------------

    def session_ready(self, now_ms: float) -> list[Command]:
        """A session listens; it is told all that is pending, from its beginning."""
        self._ready = True
        self._past_items.clear()
        self._lost_items = 0
        self.mute = False
        commands: list[Command] = []
        for piece in self._pieces:
            piece.item_id, piece.sent_bytes, piece.sent_ms, piece.text = None, 0, math.inf, ""
            commands += self._send(piece, now_ms)
        return commands

    def session_lost(self) -> None:
        """Nobody listens. What was being written down waits for the next session."""
        self._ready = False
        for piece in self._pieces:
            piece.sent_ms = math.inf

    def receive(self, said: Said, now_ms: float) -> list[Command]:
        """Take what the session says of a piece."""
        piece = self._piece_of(said.item_id)
        if piece is None:
            return []
        match said:
            case TextGrew(text=text):
                piece.text += text
                piece.untold = True
            case TextDone(text=text, billed_s=billed_s):
                used_s = len(piece.ulaw) / BYTES_PER_MS / 1000 if billed_s is None else billed_s
                used = Used(now_ms, Usage(transcribed_s=used_s))
                return [self._close(piece, now_ms, text.strip()), Tell(used)]
            case TextFailed():
                return [self._close(piece, now_ms)]
        return []

    # -- pieces ---------------------------------------------------------------------------------

    @property
    def _open(self) -> _Piece | None:
        """The piece that is being said."""
        return self._pieces[-1] if self._pieces and not self._pieces[-1].ended else None

    def _begin(self, at_ms: float, now_ms: float) -> list[Command]:
        self._numbers += 1
        start_ms = max(0.0, at_ms - (SHORTEST_FRAMES - 1) * FRAME_MS)
        piece = _Piece(self._numbers, start_ms, at_ms + FRAME_MS, bytearray().join(self._before))
        self._before.clear()
        self._pieces.append(piece)
        return self._make_room(now_ms) + self._send(piece, now_ms)

    def _send(self, piece: _Piece, now_ms: float) -> list[Command]:
        """Send what has not been sent of a piece, once it is enough or all."""
        if piece.ended:
            piece.ulaw += _SILENCE * (SHORTEST_PIECE_MS * BYTES_PER_MS - len(piece.ulaw))
        unsent = len(piece.ulaw) - piece.sent_bytes
        if not self._ready or not (piece.ended or unsent >= SEND_MS * BYTES_PER_MS):
            return []
        commands: list[Command] = [SendSpeech(bytes(piece.ulaw[piece.sent_bytes :]))] if unsent else []
        piece.sent_bytes = len(piece.ulaw)
        if piece.ended:
            piece.sent_ms = now_ms
            commands.append(EndPiece())
        return commands

    def _make_room(self, now_ms: float) -> list[Command]:
        commands: list[Command] = []
        while sum(len(one.ulaw) for one in self._pieces) > MOST_KEPT_MS * BYTES_PER_MS:
            oldest = self._pieces[0]
            dropped = AudioDropped(now_ms, len(oldest.ulaw) / BYTES_PER_MS)
            commands += [self._close(oldest, now_ms), Tell(dropped)]
        return commands

    def _piece_of(self, item_id: str) -> _Piece | None:
        """The piece that is an item. Items come into being in the order in which pieces are sent."""
        known = next((piece for piece in self._pieces if piece.item_id == item_id), None)
        if known is not None or item_id in self._past_items:
            return known
        if self._lost_items:
            self._lost_items -= 1
            self._past_items.add(item_id)
            return None
        for piece in self._pieces:
            if piece.item_id is None and piece.sent_bytes:
                piece.item_id = item_id
                return piece
        return None

    def _close(self, piece: _Piece, now_ms: float, whole: str | None = None) -> Tell:
        """Let go of a piece, and tell its text for the last time: the whole of it, or what there is."""
        self._pieces.remove(piece)
        if piece.item_id is not None:
            self._past_items.add(piece.item_id)
        elif piece.sent_bytes:
            self._lost_items += 1
        return self._tell(piece, piece.text.strip() or None if whole is None else whole, now_ms)

    def _tell(self, piece: _Piece, text: str | None, now_ms: float, *, growing: bool = False) -> Tell:
        piece.told_ms, piece.untold = now_ms, False
        item_id = f"{self._role}-{piece.number}"
        return Tell(Uttered(now_ms, self._role, item_id, text, piece.start_ms, piece.end_ms, growing=growing))
