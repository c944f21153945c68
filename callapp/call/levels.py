"""How loud both sides of a call are, for those who watch it.

A call that nobody watches does nothing for it. One that is watched is *tapped*: its threads put what passes
beside, as it is, and whoever wants to know decodes it on a thread of their own, a few times a second. The
caller's audio is as loud as the newest of it. The model's comes faster than it is heard, so it is kept as an
envelope, until the playback says that it is the agent's turn to be heard.
"""

from __future__ import annotations

from binascii import a2b_base64
from collections import deque
from collections.abc import Callable, Mapping
from threading import Lock
from time import monotonic
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

from callapp.conversation.commands import PlayAudio
from callapp.conversation.flow import BYTES_PER_MS

T = TypeVar("T")

LOUDEST = 9
# What the agent is shown at while it says what was sent before somebody watched.
UNKNOWN = 4
# Nobody has asked for so long: the calls are left alone again.
UNWATCHED_S = 5.0
# Asked sooner than this, one gets the same answer.
FRESH_S = 0.2
# A level falls by a step in this time, so that a pause between two words does not look like an end.
FALL_S = 0.08

_STEP_MS = 50
_STEP_BYTES = _STEP_MS * BYTES_PER_MS
# A peak is as well seen among every fourth sample.
_STRIDE = 4
# Of a mu-law byte: 0 for silence, 127 for the loudest, and 6 dB more for each 16 (G.711, table 2a).
_SIZES = bytes(~code & 0x7F for code in range(256))
# The noise of a room is smaller: 39 dB below the loudest.
_NOISE = 24


class Levels(NamedTuple):
    """From 0, silence, to `LOUDEST`; about 4 dB a step."""

    caller: int
    agent: int


class Tap:
    """What has passed on a call since it was last taken. Appended to by the call's threads, never waits.

    Whoever taps a call takes it away at least every `UNWATCHED_S`, or stops tapping.
    """

    __slots__ = ("agent", "caller")

    def __init__(self) -> None:
        self.caller: deque[bytes] = deque(maxlen=64)
        self.agent: deque[PlayAudio] = deque()


@runtime_checkable
class Audible(Protocol):
    """A call whose loudness can be seen. Safe from any thread."""

    def tap(self, tap: Tap | None) -> int:
        """Put what passes into this from now on, too; ``None`` for no more.

        Returns:
            How many bytes of audio the phone had been sent by then.
        """

    def position(self) -> int | None:
        """How many bytes of what the phone was sent have been heard; ``None`` while it plays nothing."""


class Envelope:
    """How loud audio is, `_STEP_MS` at a time, by its position in all that was sent."""

    def __init__(self, position: int) -> None:
        self._begin = position
        self._peaks = bytearray()
        self._rest = b""

    def add(self, ulaw: bytes) -> None:
        """Put audio behind what there is."""
        sizes = self._rest + ulaw.translate(_SIZES)
        whole = len(sizes) - len(sizes) % _STEP_BYTES
        self._peaks += bytes(
            max(sizes[at : at + _STEP_BYTES : _STRIDE]) for at in range(0, whole, _STEP_BYTES)
        )
        self._rest = sizes[whole:]

    def loudest(self, begin: int, end: int) -> int | None:
        """The size of the loudest sample in a stretch; ``None`` where nothing is known of it."""
        if begin < self._begin:
            return None
        first, last = (begin - self._begin) // _STEP_BYTES, -(-(end - self._begin) // _STEP_BYTES)
        unfinished = self._rest[::_STRIDE] if last > len(self._peaks) else b""
        return max(self._peaks[first:last] + unfinished, default=0)

    def forget(self, before: int) -> None:
        """Let go of what lies before a position."""
        steps = max(0, min(len(self._peaks), (before - self._begin) // _STEP_BYTES))
        del self._peaks[:steps]
        self._begin += steps * _STEP_BYTES


class Meter:
    """Of one call, which it taps. For one thread at a time."""

    def __init__(self, call: Audible, now_s: float) -> None:
        self._call = call
        self._tap = Tap()
        self._envelope = Envelope(call.tap(self._tap))
        self._heard = 0
        self._at_s = now_s
        self.levels = Levels(0, 0)

    def read(self, now_s: float) -> Levels:
        """How loud both sides have been since this was asked last."""
        passed_s, self._at_s = now_s - self._at_s, now_s
        falls = int(passed_s / FALL_S)
        caller, agent = _level(self._caller_size()), self._agent_level(passed_s)
        self.levels = Levels(max(caller, self.levels.caller - falls), max(agent, self.levels.agent - falls))
        return self.levels

    def stop(self) -> None:
        """Leave the call alone."""
        self._call.tap(None)

    def _caller_size(self) -> int:
        taken = b"".join([a2b_base64(payload) for payload in _drained(self._tap.caller)])
        return max(taken.translate(_SIZES)[::_STRIDE], default=0)

    def _agent_level(self, passed_s: float) -> int:
        for command in _drained(self._tap.agent):
            self._envelope.add(a2b_base64(command.payload))
        position = self._call.position()
        if position is None:
            return 0
        # No more than there was time for: what was cut off was passed over, and not heard.
        begin = max(self._heard, position - int(passed_s * 1000) * BYTES_PER_MS)
        self._heard = position
        size = self._envelope.loudest(begin, position) if begin < position else 0
        self._envelope.forget(position)
        return UNKNOWN if size is None else _level(size)


class Meters:
    """Of all calls of this process, while somebody asks. Safe from any thread.

    Args:
        live_calls: those that are alive, by their SIDs.
    """

    def __init__(self, live_calls: Callable[[], Mapping[str, object]]) -> None:
        self._live_calls = live_calls
        self._lock = Lock()
        self._meters: dict[str, Meter] = {}
        self._levels: dict[str, Levels] = {}
        self._asked_s = self._read_s = float("-inf")

    def read(self) -> Mapping[str, Levels]:
        """How loud the calls are now, by their SIDs; to be read, and not to be changed."""
        with self._lock:
            now_s = self._asked_s = monotonic()
            if now_s - self._read_s >= FRESH_S:
                self._read_s = now_s
                self._follow(self._live_calls(), now_s)
                self._levels = {call_sid: meter.read(now_s) for call_sid, meter in self._meters.items()}
            return self._levels

    def rest(self) -> None:
        """Leave the calls alone, if nobody has asked for a while."""
        with self._lock:
            if self._meters and monotonic() - self._asked_s > UNWATCHED_S:
                self._follow({}, 0.0)

    def _follow(self, live: Mapping[str, object], now_s: float) -> None:
        """Have a meter for each of these calls, and no other."""
        for call_sid in self._meters.keys() - live.keys():
            self._meters.pop(call_sid).stop()
        for call_sid in live.keys() - self._meters.keys():
            call = live[call_sid]
            if isinstance(call, Audible):
                self._meters[call_sid] = Meter(call, now_s)


def _level(size: int) -> int:
    return max(0, size - _NOISE) * LOUDEST // (127 - _NOISE)


def _drained(queue: deque[T]) -> list[T]:
    """Take all that is there; more may come meanwhile."""
    return [queue.popleft() for _ in range(len(queue))]
