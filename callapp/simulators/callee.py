"""The person at the pretend phone: follows a script by ear, 20 ms at a time. Pure.

A callee knows nothing of the server. Every 20 ms it is given what the ear got in the last 20 and
says what the mouth, the fingers and the hook do: frames are its clock, so the same sounds always
bring the same deeds, and nothing here waits or sleeps.

    Callee([HearPause(700), Say(clip("caller-order")),
            Hear(2000), Say(clip("caller-correction")),   # interrupts after two seconds
            HearPause(700), Say(clip("caller-goodbye")), WaitForEnd()])
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from callapp.simulators.clips import Clip
from callapp.simulators.sound import FRAME_BYTES, FRAME_MS, SILENCE, is_voiced, voiced_bounds

# A click is no speech.
_SPEECH_MS = 60
# Real phones leave a gap between keys; without one two equal digits could not be told apart.
_KEY_GAP_FRAMES = 5


@dataclass(frozen=True)
class Hear:
    """Listen until so many milliseconds of voice were heard since this step began."""

    ms: int = _SPEECH_MS
    within_s: float = 15


@dataclass(frozen=True)
class HearPause:
    """Listen until somebody has spoken and then been silent for so long."""

    silence_ms: int = 700
    within_s: float = 30


@dataclass(frozen=True)
class Pause:
    """Say nothing and pay no attention."""

    ms: int


@dataclass(frozen=True)
class Say:
    """Say a recording to its end, whatever is heard meanwhile."""

    clip: Clip


@dataclass(frozen=True)
class Press:
    """Press keys, ten a second: ``0-9 * # A-D``."""

    digits: str


@dataclass(frozen=True)
class HangUp:
    """Put the phone down."""


@dataclass(frozen=True)
class WaitForEnd:
    """Stay on the line; the other side is to end the call."""

    within_s: float = 15


Step = Hear | HearPause | Pause | Say | Press | HangUp | WaitForEnd


@dataclass(frozen=True)
class Spoken:
    """One recording as it was said; all times in ms of the stream. The voice lies within it."""

    clip: Clip
    starts_ms: int
    voice_starts_ms: int
    voice_ends_ms: int


@dataclass(frozen=True)
class Deed:
    """What the person does in one frame."""

    voice: bytes
    digit: str | None
    hangs_up: bool


class Callee:
    """A person for one call.

    Args:
        steps: what to do, one after the other; afterwards the person stays on the line, silent.
        picks_up: what becomes of the ringing.
        rings_ms: how long it rings before that.

    A step that is not done in its time is a failure: it is kept in ``failure``, the phone is put
    down. Not safe for several threads; the phone holds the call's lock.
    """

    def __init__(
        self,
        steps: Iterable[Step] = (),
        *,
        picks_up: Literal["yes", "busy", "no-answer", "failed"] = "yes",
        rings_ms: int = 50,
    ) -> None:
        self.picks_up = picks_up
        self.rings_ms = rings_ms
        self.failure: str | None = None
        self.spoken: list[Spoken] = []
        self.keys_heard = ""
        """The keys that the other side pressed for this phone."""
        self._steps: Sequence[Step] = tuple(steps)
        self._next_step = 0
        self._step: Step | None = None
        self._step_began_ms = 0
        self._voiced_ms = 0  # since the step began
        self._silent_ms = 0  # since voice was last heard
        self._now_ms = 0
        self._to_say: deque[Clip] = deque()
        self._voice = b""
        self._said_bytes = 0
        self._to_press: deque[str] = deque()
        self._frames_to_next_key = 0
        self._hangs_up = False

    @property
    def done(self) -> bool:
        """True once every step has been done."""
        return self._step is None and self._next_step == len(self._steps) and not self.failure

    @property
    def speaking(self) -> bool:
        """True while there is something left to say."""
        return bool(self._voice or self._to_say)

    def say(self, clip: Clip) -> None:
        """Say a recording once all that was begun before has been said."""
        self._to_say.append(clip)

    def press(self, digits: str) -> None:
        """Press keys once those before have been pressed."""
        self._to_press.extend(digits)

    def fall_silent(self) -> None:
        """Say nothing more of what was begun."""
        self._to_say.clear()
        self._voice = b""

    def key_heard(self, key: str) -> None:
        """Take a key that the carrier sends down the line; a person only hears a beep."""
        self.keys_heard += key

    def live(self, heard: bytes) -> Deed:
        """Live through 20 ms: take what was heard in the last frame, return what is done in this."""
        if is_voiced(heard):
            self._voiced_ms += FRAME_MS
            self._silent_ms = 0
        else:
            self._silent_ms += FRAME_MS
        self._follow_script()
        deed = Deed(self._speak(), self._press_key(), self._hangs_up)
        self._now_ms += FRAME_MS
        return deed

    def _follow_script(self) -> None:
        while not self.failure:
            if self._step is None:
                if self._next_step == len(self._steps):
                    return
                self._begin(self._steps[self._next_step])
            if not self._step_done():
                return
            self._step = None
            self._next_step += 1

    def _begin(self, step: Step) -> None:
        self._step = step
        self._step_began_ms = self._now_ms
        self._voiced_ms = 0
        match step:
            case Say(clip=clip):
                self.say(clip)
            case Press(digits=digits):
                self.press(digits)
            case HangUp():
                self._hangs_up = True

    def _step_done(self) -> bool:
        match self._step:
            case Hear(ms=ms, within_s=within_s):
                return self._in_time(self._voiced_ms >= ms, within_s)
            case HearPause(silence_ms=ms, within_s=within_s):
                heard = self._voiced_ms >= _SPEECH_MS and self._silent_ms >= ms
                return self._in_time(heard, within_s)
            case Pause(ms=ms):
                return self._now_ms - self._step_began_ms >= ms
            case Say():
                return not self.speaking
            case Press():
                return not self._to_press
            case WaitForEnd(within_s=within_s):
                return self._in_time(False, within_s)
        return self._hangs_up

    def _in_time(self, done: bool, within_s: float) -> bool:
        if not done and self._now_ms - self._step_began_ms >= 1000 * within_s:
            self.failure = (
                f"step {self._next_step + 1}, {self._step}, was not done in time: heard"
                f" {self._voiced_ms} ms of voice, then {self._silent_ms} ms of silence"
            )
            self._hangs_up = True
        return done

    def _speak(self) -> bytes:
        if not self._voice and self._to_say:
            clip = self._to_say.popleft()
            self._voice, self._said_bytes = clip.audio, 0
            begins, ends = voiced_bounds(clip.audio) or (0, 0)
            self.spoken.append(Spoken(clip, self._now_ms, self._now_ms + begins, self._now_ms + ends))
        frame = self._voice[self._said_bytes : self._said_bytes + FRAME_BYTES]
        self._said_bytes += len(frame)
        if self._said_bytes >= len(self._voice):
            self._voice = b""
        return frame.ljust(FRAME_BYTES, SILENCE)

    def _press_key(self) -> str | None:
        if self._frames_to_next_key:
            self._frames_to_next_key -= 1
            return None
        if not self._to_press:
            return None
        self._frames_to_next_key = _KEY_GAP_FRAMES - 1
        return self._to_press.popleft()
