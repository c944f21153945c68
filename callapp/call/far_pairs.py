"""Where the two sides of a call between two people find each other, whichever processes they are in.

A side that waits is sought by its process among all others, again and again until it is found; from
then on the two processes write to each other only. Each stands for the other's side, as a `FarSide`:

    A's process                                    B's process
    A waits ── Seeks ──▶ everybody                 (nobody waits here yet)
                         everybody ◀── Seeks ────  B waits
    A meets far B ─────── Meets ─────────────────▶ B meets far A
    what A says ───────── Says, every 20 ms ─────▶ B's phone
                                  ◀─ Says ───────  what B says
    A is over ─────────── Leaves ────────────────▶ B is told
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from threading import Lock
from time import monotonic

from callapp.call.pair_letters import GaveUp, Leaves, Letter, Meets, Says, Seeks, decode, encode
from callapp.call.pairs import Pairs, Side
from callapp.peers.exchange import Exchange, Receiver
from callapp.peers.wire import MOST_LETTER_BYTES

EVERYBODY = "callapp_pairs"
# A side sends audio all the time, silence too. With nothing for so long, its process is gone, or the wire is.
LOST_S = 10.0
CLOSE_S = 2.0
# Base64 makes four bytes of three; some are for the words before it.
MOST_AUDIO_BYTES = (MOST_LETTER_BYTES - 200) * 3 // 4


@dataclass
class _Link:
    process: str
    here: Side
    heard_s: float


class FarSide:
    """Stands for a side in another process."""

    def __init__(self, pairs: FarPairs, process: str, pair: str) -> None:
        self._pairs = pairs
        self._process = process
        self._pair = pair

    def meet(self, partner: Side) -> None:
        """Nothing to do: its process lets it meet whoever stands for the partner there."""

    def hear(self, ulaw: bytes) -> None:
        """Send what it is to hear."""
        for start in range(0, len(ulaw), MOST_AUDIO_BYTES):
            piece = ulaw[start : start + MOST_AUDIO_BYTES]
            self._pairs.write(self._process, Says(self._pairs.process, self._pair, piece))

    def partner_left(self, reason: str) -> None:
        """Send word; of no effect when it has left itself."""
        self._pairs.part(self._pair, reason)


class FarPairs(Pairs):
    """Pairs whose sides may be in several processes. Safe from any thread; nothing but ``close`` waits."""

    across_processes = True

    def __init__(self, exchange: Exchange) -> None:
        super().__init__()
        self.process = f"callapp_{uuid.uuid4().hex}"
        self._exchange = exchange
        self._links: dict[str, _Link] = {}
        self._linking = Lock()

    def join(self, pair: str, side: Side) -> None:
        """A side has come."""
        super().join(pair, side)
        self._start()
        if self.waits(pair) and self._exchange.listening:
            self._seek(pair)

    def give_up(self, pair: str, reason: str) -> None:
        """One of the two will not come any more, wherever the other waits."""
        super().give_up(pair, reason)
        self._start()
        self.write(EVERYBODY, GaveUp(self.process, pair, reason))

    def leave(self, pair: str, side: Side) -> None:
        """A side is over."""
        waited = self.waits(pair)
        super().leave(pair, side)
        if waited:
            self.write(EVERYBODY, GaveUp(self.process, pair, "other.hung_up"))

    def close(self) -> None:
        """Send what is in the line, and end the threads."""
        self._exchange.close(CLOSE_S)

    # -- for those who stand for a side ---------------------------------------------------------

    def write(self, channel: str, letter: Letter) -> None:
        """Send a letter to a process, or to all."""
        self._exchange.send(channel, encode(letter), audio=isinstance(letter, Says))

    def part(self, pair: str, reason: str) -> None:
        """The side that is here is over: the other's process is told."""
        link = self._unlink(pair)
        if link is not None:
            self.write(link.process, Leaves(self.process, pair, reason))

    # -- in the listener's thread ---------------------------------------------------------------

    def _start(self) -> None:
        self._exchange.start(
            (EVERYBODY, self.process), Receiver(self._hear, self._seek_all, self._look_round)
        )

    def _hear(self, text: str) -> None:
        letter = decode(text)
        if letter is None or letter.process == self.process:
            return
        match letter:
            case Says(pair=pair, ulaw=ulaw):
                link = self._link_with(letter)
                if link is not None:
                    link.heard_s = monotonic()
                    link.here.hear(ulaw)
            case Seeks():
                self._on_sought(letter)
            case Meets(pair=pair):
                if pair not in self._links and not self._link(letter):
                    self.write(letter.process, Leaves(self.process, pair, "other.hung_up"))
            case Leaves(pair=pair, reason=reason):
                link = self._link_with(letter)
                if link is not None and self._unlink(pair) is link:
                    link.here.partner_left(reason)
                else:  # we have come too late
                    super().give_up(pair, reason)
            case GaveUp(pair=pair, reason=reason):
                super().give_up(pair, reason)

    def _on_sought(self, sought: Seeks) -> None:
        if self._link_with(sought) is not None:  # ours has not reached them yet
            self.write(sought.process, Meets(self.process, sought.pair))
        elif not self._link(sought) and self.is_over(sought.pair):
            self.write(sought.process, Leaves(self.process, sought.pair, "other.hung_up"))

    def _link(self, letter: Seeks | Meets) -> bool:
        """Let the side that waits here meet the one there; false if none does."""
        here = self.take(letter.pair)
        if here is None:
            return False
        with self._linking:
            self._links[letter.pair] = _Link(letter.process, here, monotonic())
        self.write(letter.process, Meets(self.process, letter.pair))
        here.meet(FarSide(self, letter.process, letter.pair))
        return True

    def _link_with(self, letter: Letter) -> _Link | None:
        link = self._links.get(letter.pair)
        return link if link is not None and link.process == letter.process else None

    def _unlink(self, pair: str) -> _Link | None:
        with self._linking:
            return self._links.pop(pair, None)

    def _seek(self, pair: str) -> None:
        self.write(EVERYBODY, Seeks(self.process, pair))

    def _seek_all(self) -> None:
        for pair in self.waiting():
            self._seek(pair)

    def _look_round(self) -> None:
        """Seek again, for what was written may have been missed; and let go of whoever is heard no more."""
        if self._exchange.listening:
            self._seek_all()
        with self._linking:
            links = list(self._links.items())
        for pair, link in links:
            if monotonic() - link.heard_s > LOST_S:
                self.part(pair, "other.hung_up")
                link.here.partner_left("other.hung_up")
