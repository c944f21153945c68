"""The person at the phone, frame by frame."""

from __future__ import annotations

from callapp.simulators.callee import (
    Callee,
    HangUp,
    Hear,
    HearPause,
    Pause,
    Press,
    Say,
    WaitForEnd,
)
from callapp.simulators.clips import Clip, load_clips
from callapp.simulators.sound import FRAME_BYTES, SILENCE, is_voiced, voiced_bounds

QUIET = SILENCE * FRAME_BYTES
LOUD = bytes([0x20, 0xA0]) * (FRAME_BYTES // 2)
HELLO = Clip("hello", LOUD * 5)


def live(callee: Callee, heard: list[bytes]) -> list[bytes]:
    """Return what the callee said while it heard that."""
    return [callee.live(frame).voice for frame in heard]


def test_a_callee_without_a_script_is_silent_and_stays() -> None:
    callee = Callee()
    assert live(callee, [LOUD] * 100) == [QUIET] * 100
    assert callee.done
    assert callee.failure is None


def test_it_speaks_when_the_other_side_has_finished() -> None:
    callee = Callee([HearPause(200), Say(HELLO)])
    voice = live(callee, [QUIET] * 50 + [LOUD] * 20 + [QUIET] * 5 + [LOUD] * 20 + [QUIET] * 30)
    # The short pause is none; the long one is noticed at its tenth frame, and answered in it.
    assert voice.index(LOUD) == 50 + 20 + 5 + 20 + 9
    assert voice.count(LOUD) == 5
    assert callee.done


def test_it_interrupts_after_having_heard_so_much_voice() -> None:
    callee = Callee([Hear(400), Say(HELLO)])
    voice = live(callee, [QUIET] * 10 + [LOUD] * 10 + [QUIET] * 3 + [LOUD] * 20)
    assert voice.index(LOUD) == 10 + 10 + 3 + 9


def test_what_it_said_is_kept_with_the_bounds_of_the_voice() -> None:
    clip = Clip("padded", QUIET * 5 + LOUD * 10 + QUIET * 5)
    callee = Callee([Pause(100), Say(clip)])
    live(callee, [QUIET] * 40)
    (spoken,) = callee.spoken
    assert (spoken.starts_ms, spoken.voice_starts_ms, spoken.voice_ends_ms) == (100, 200, 400)


def test_a_recording_goes_out_byte_for_byte_and_only_then_the_next_step_begins() -> None:
    clip = Clip("odd", bytes(range(250)) * 3)
    callee = Callee([Say(clip), HangUp()])
    deeds = [callee.live(QUIET) for _ in range(6)]
    assert b"".join(deed.voice for deed in deeds) == clip.audio.ljust(6 * FRAME_BYTES, SILENCE)
    assert [deed.hangs_up for deed in deeds] == [False] * 5 + [True]


def test_keys_are_pressed_one_after_the_other() -> None:
    callee = Callee([Press("11#")])
    digits = [callee.live(QUIET).digit for _ in range(20)]
    assert [(at, digit) for at, digit in enumerate(digits) if digit] == [(0, "1"), (5, "1"), (10, "#")]


def test_a_step_that_is_not_done_in_its_time_is_a_failure_and_it_hangs_up() -> None:
    callee = Callee([HearPause(300, within_s=1), Say(HELLO)])
    deeds = [callee.live(QUIET) for _ in range(60)]
    assert [deed.hangs_up for deed in deeds].index(True) == 50
    assert callee.failure is not None
    assert "step 1, HearPause" in callee.failure
    assert not callee.done
    assert not callee.spoken


def test_a_call_that_is_never_ended_is_a_failure() -> None:
    callee = Callee([WaitForEnd(within_s=0.5)])
    live(callee, [QUIET] * 30)
    assert callee.failure


def test_noise_below_speech_is_not_taken_for_it() -> None:
    assert not is_voiced(bytes([0xFE, 0x7E, 0xF8, 0x78]) * 40)
    assert is_voiced(LOUD)
    assert voiced_bounds(QUIET * 3) is None


def test_the_bundled_recordings_are_speech_with_silence_around_it() -> None:
    clips = load_clips()
    assert sum(len(clip.audio) for clip in clips.values()) < 600_000
    for clip in clips.values():
        assert clip.speaker in ("agent", "caller")
        assert clip.text
        assert not clip.audio[:800].strip(SILENCE)
        assert not clip.audio[-800:].strip(SILENCE)
        bounds = voiced_bounds(clip.audio)
        assert bounds
        # The last syllables of Japanese are often voiceless.
        assert bounds[0] <= 160
        assert bounds[1] >= clip.duration_ms - 300
