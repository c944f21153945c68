"""The pretend Twilio's ear for machines, and the machines."""

from __future__ import annotations

import pytest

from callapp.simulators.answering_machine import BEEP, AnsweringMachine, CallScreener
from callapp.simulators.callee import Callee, HangUp, Pause, Say
from callapp.simulators.carrier_api import Refusal
from callapp.simulators.clips import Clip, load_clips
from callapp.simulators.machine_detection import DetectionPlan, MachineDetection, read_detection
from callapp.simulators.sound import FRAME_BYTES, SILENCE
from callapp.simulators.speech import babble_clip
from callapp.simulators.ulaw import silence

QUIET = SILENCE * FRAME_BYTES
ORDER = {
    "MachineDetection": "DetectMessageEnd",
    "AsyncAmd": "true",
    "AsyncAmdStatusCallback": "https://host/answered-by",
}
GREETING = babble_clip("greeting", "You have reached Bob. Please leave a message after the tone.", 3_000)
HELLO = babble_clip("hello", "Hello?", 400)


def order(**changes: str) -> DetectionPlan | None:
    given = ORDER | changes
    return read_detection({name: [value] for name, value in given.items() if value})


def verdict(callee: Callee, **changes: str) -> tuple[str, int] | None:
    """Who the detection takes a callee for, and after how many ms; the callee hears nothing."""
    plan = order(**changes)
    assert plan is not None
    detection = MachineDetection(plan)
    for _ in range(3_000):
        answered_by = detection.hear(callee.live(QUIET).voice)
        if answered_by is not None:
            return answered_by, detection.heard_ms
    return None


def test_a_person_says_something_short_and_waits() -> None:
    assert verdict(Callee([Say(HELLO)])) == ("human", 400 + 1_200)


def test_a_machine_is_told_when_its_beep_is_over() -> None:
    """Not sooner: whoever speaks before is not on the recording."""
    answered_by, after_ms = verdict(AnsweringMachine(GREETING)) or ("", 0)
    assert answered_by == "machine_end_beep"
    beep_ends_ms = 300 + GREETING.duration_ms + 300 + BEEP.duration_ms
    assert beep_ends_ms <= after_ms <= beep_ends_ms + 80


def test_a_machine_that_does_not_beep_is_told_by_its_silence() -> None:
    assert (verdict(AnsweringMachine(GREETING, beeps=False)) or ("",))[0] == "machine_end_silence"


def test_a_machine_that_talks_for_too_long() -> None:
    endless = babble_clip("endless", "and another thing", 20_000)
    assert verdict(AnsweringMachine(endless), MachineDetectionTimeout="10") == ("machine_end_other", 10_000)


def test_who_does_not_wait_for_the_end_is_told_of_the_beginning() -> None:
    answered_by, after_ms = verdict(AnsweringMachine(GREETING), MachineDetection="Enable") or ("", 0)
    assert answered_by == "machine_start"
    assert after_ms < 300 + GREETING.duration_ms


def test_nobody_at_all_is_not_known() -> None:
    assert verdict(Callee()) == ("unknown", 5_000)


def test_recorded_speech_is_no_beep() -> None:
    """Long vowels are steady, too, but not as steady as a tone."""
    speech = Clip("speech", b"".join(clip.audio for clip in load_clips().values()))
    greeting = AnsweringMachine(speech, beeps=False)
    answered_by, _ = verdict(greeting, MachineDetectionTimeout="59") or ("", 0)
    assert answered_by in ("machine_end_silence", "machine_end_other")


def test_without_an_order_nobody_listens() -> None:
    assert read_detection({}) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"MachineDetection": ""},
        {"MachineDetection": "DetectMessageStart"},
        {"MachineDetectionTimeout": "60"},
        {"MachineDetectionTimeout": "soon"},
        {"MachineDetectionSpeechThreshold": "999"},
        {"MachineDetectionSpeechEndThreshold": "5001"},
        {"MachineDetectionSilenceTimeout": "0"},
        {"AsyncAmd": "True"},
        {"AsyncAmd": ""},
        {"AsyncAmdStatusCallback": ""},
        {"AsyncAmdStatusCallback": "/answered-by"},
        {"AsyncAmdStatusCallbackMethod": "GET"},
    ],
)
def test_an_order_that_would_come_to_nothing_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(Refusal) as refused:
        order(**changes)
    assert refused.value.body["code"] == 21234


# -- the machines -------------------------------------------------------------------------------


def hears(callee: Callee, *heard: bytes) -> None:
    for audio in heard:
        for at in range(0, len(audio), FRAME_BYTES):
            callee.live(audio[at : at + FRAME_BYTES])


def test_a_machine_records_what_it_hears_after_its_beep_and_nothing_before() -> None:
    machine = AnsweringMachine(GREETING, tape_s=1)
    hears(machine, HELLO.audio, silence(300 + 3_000 + 300 + 400))
    assert not machine.recorded.strip(SILENCE)
    hears(machine, GREETING.audio[:8_000])
    assert GREETING.audio[:7_000] in machine.recorded
    assert machine.live(QUIET).hangs_up


def test_a_screener_asks_listens_and_lets_the_person_decide() -> None:
    screener = CallScreener(HELLO, [Pause(100), HangUp()])
    hears(screener, silence(300 + 400 + 100), GREETING.audio)
    assert not screener.done
    hears(screener, silence(1_000))
    assert GREETING.audio in screener.recorded
    assert screener.done
