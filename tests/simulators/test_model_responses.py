"""How the pretend model answers: order, pace, one at a time, and what an interruption does."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from callapp.simulators import model_answering
from callapp.simulators.model import PretendModel
from callapp.simulators.model_script import (
    INSTANT,
    RATE_LIMITED,
    Ask,
    Call,
    CutOff,
    Fail,
    Pace,
    Say,
    Script,
)
from callapp.simulators.speech import Speech, tone_clip
from callapp.simulators.ulaw import silence, tone
from tests.simulators.realtime_client import MODEL, PCMU, Client, squeezed

LOUD = tone(440, 400)
LONG = Say("A long answer that nobody wants to hear to its end.", duration_ms=30_000)
TEXT = "One two three four five six seven."

MESSAGE = [
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
    "response.output_audio.delta",
    "response.output_audio_transcript.delta",
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
]
CALL = [
    "response.output_item.added",
    "conversation.item.added",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "conversation.item.done",
    "response.output_item.done",
]


class Scene:
    """A model, one client of it, and the session between them."""

    def __init__(self, *answers: Any, pace: Pace = INSTANT, **options: Any) -> None:
        self.model = PretendModel(Script(*answers), pace=pace, **options)
        self.client = Client(self.model.url + MODEL)
        self.client.next("session.created")
        self.session = self.model.wait_for_session()

    def __enter__(self) -> Scene:
        self.client.update(**PCMU)
        self.client.events.clear()
        return self

    def __exit__(self, *error: object) -> None:
        self.client.socket.close()
        self.model.close()

    def respond(self, **payload: Any) -> dict[str, Any]:
        """Ask for a response and wait until it is done."""
        self.client.send("response.create", **({"response": payload} if payload else {}))
        response: dict[str, Any] = self.client.next("response.done")["response"]
        return response


def order(events: list[str]) -> list[str]:
    """The order of events, with each run of deltas of audio and transcript as one of each."""
    audio, words = "response.output_audio.delta", "response.output_audio_transcript.delta"
    kept: list[str] = []
    for one in squeezed(events):
        if one in (audio, words) and kept[-2:] == [audio, words]:
            continue
        kept.append(one)
    return kept


def test_a_message_comes_in_the_documented_order() -> None:
    with Scene(Say(TEXT)) as scene:
        response = scene.respond()
        scene.client.next("rate_limits.updated")
        assert order(scene.client.types()) == [
            "response.created",
            *MESSAGE,
            "response.done",
            "rate_limits.updated",
        ]
        assert response["status"] == "completed"
        assert response["conversation_id"].startswith("conv_")
        assert response["output"][0]["content"] == [{"type": "output_audio", "transcript": TEXT}]
        (part,) = scene.client.of_type("response.content_part.done")
        assert part["part"] == {"type": "audio", "transcript": TEXT}
        deltas = scene.client.of_type("response.output_audio_transcript.delta")
        assert "".join(one["delta"] for one in deltas) == TEXT


def test_ids_hold_a_response_together() -> None:
    with Scene([Say("One."), Call("f"), Say("Two.")]) as scene:
        response = scene.respond()
        items = {item["id"]: index for index, item in enumerate(response["output"])}
        assert len(items) == 3
        for event in scene.client.events:
            if "output_index" in event:
                assert event["response_id"] == response["id"]
                assert items[event.get("item_id") or event["item"]["id"]] == event["output_index"]
        events = [event["event_id"] for event in scene.client.events]
        assert len(set(events)) == len(events)


def test_one_response_can_hold_a_preamble_calls_and_an_answer() -> None:
    outputs = [
        Say("Let me look.", phase="commentary"),
        Call("opening_hours", {"day": "月曜日"}),
        Call("weather", '{"broken": '),
        Say("We are open.", phase="final_answer"),
    ]
    with Scene(outputs) as scene:
        response = scene.respond()
        types = order(scene.client.types())
        assert types == ["response.created", *MESSAGE, *CALL, *CALL, *MESSAGE, "response.done"]
        preamble, hours, weather, answer = response["output"]
        assert (preamble["phase"], answer["phase"]) == ("commentary", "final_answer")
        assert json.loads(hours["arguments"]) == {"day": "月曜日"}
        assert weather["arguments"] == '{"broken": '
        assert hours["call_id"] != weather["call_id"]
        done = scene.client.of_type("response.function_call_arguments.done")
        assert [(one["name"], one["call_id"]) for one in done] == [
            ("opening_hours", hours["call_id"]),
            ("weather", weather["call_id"]),
        ]
        assert [item.type for item in scene.session.items] == [
            "message",
            "function_call",
            "function_call",
            "message",
        ]


def test_done_of_one_item_can_come_after_deltas_of_the_next() -> None:
    with Scene([Say("One.", pace=Pace(speed=INSTANT.speed, late_done=True)), Say("Two.")]) as scene:
        response = scene.respond()
        first, second = (item["id"] for item in response["output"])
        about = [
            (event["type"], event["item_id"])
            for event in scene.client.events
            if event["type"] in ("response.output_audio.delta", "response.output_audio.done")
        ]
        late = about.index(("response.output_audio.done", first))
        assert about[late - 1] == ("response.output_audio.delta", second)
        assert [item["status"] for item in response["output"]] == ["completed", "completed"]


@pytest.mark.parametrize("delta_ms", [20, 240, 400])
def test_deltas_have_the_size_asked_for(delta_ms: int) -> None:
    clip = tone_clip("clip", "some words", 450, 1000)
    with Scene(Say(clip), pace=Pace(delta_ms=delta_ms, speed=INSTANT.speed)) as scene:
        item_id = scene.respond()["output"][0]["id"]
        assert scene.client.audio_of(item_id) == clip.audio
        assert len(scene.client.of_type("response.output_audio.delta")) == -(-1000 // delta_ms)
        (item,) = scene.session.items
        assert bytes(item.audio) == clip.audio


@pytest.mark.alone
def test_audio_comes_several_times_faster_than_it_plays() -> None:
    with Scene(Say("Words.", duration_ms=1200), pace=Pace(delta_ms=200, speed=6)) as scene:
        before_s = time.monotonic()
        scene.respond()
        assert 0.19 < time.monotonic() - before_s < 1.0


def test_a_recording_is_said_by_its_name() -> None:
    clip = tone_clip("greeting", "Hello!", 450, 300)
    with Scene(Say("greeting"), speech=Speech([clip])) as scene:
        (item,) = scene.respond()["output"]
        assert item["content"][0]["transcript"] == "Hello!"
        assert scene.client.audio_of(item["id"]) == clip.audio


def test_text_sessions_get_text() -> None:
    with Scene(Say(TEXT)) as scene:
        (item,) = scene.respond(output_modalities=["text"])["output"]
        assert item["content"] == [{"type": "output_text", "text": TEXT}]
        assert squeezed(scene.client.types()) == [
            "response.created",
            "response.output_item.added",
            "conversation.item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "conversation.item.done",
            "response.output_item.done",
            "response.done",
        ]


def test_usage_counts_audio_by_the_published_rules() -> None:
    with Scene(Say("One.", duration_ms=1000), Say("Two.", duration_ms=500)) as scene:
        first = scene.respond()["usage"]
        assert first["output_token_details"]["audio_tokens"] == 20  # One each 50 ms.
        assert first["input_token_details"]["audio_tokens"] == 0
        second = scene.respond()["usage"]
        assert second["input_token_details"]["audio_tokens"] == 20
        assert second["input_token_details"]["cached_tokens"] == first["input_tokens"]
        for usage in (first, second):
            assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


def test_answers_follow_the_script_and_then_what_is_left() -> None:
    with Scene(Say("First."), lambda ask: Say(f"Number {ask.number}.")) as scene:
        texts = [scene.respond()["output"][0]["content"][0]["transcript"] for _ in range(4)]
        assert texts == ["First.", "Number 2.", *["I have nothing more to say."] * 2]


def test_every_session_starts_the_script_anew() -> None:
    with Scene(Say("First.")) as scene:
        scene.respond()
        with Client(scene.model.url + MODEL) as other:
            other.send("response.create")
            done = other.next("response.done")
            assert done["response"]["output"][0]["content"][0]["transcript"] == "First."


def test_metadata_is_echoed() -> None:
    with Scene(Say("Hi.")) as scene:
        assert scene.respond(metadata={"topic": "greeting"})["metadata"] == {"topic": "greeting"}
        assert scene.client.of_type("response.created")[0]["response"]["metadata"] == {"topic": "greeting"}


def test_a_script_can_say_what_it_is_told_to() -> None:
    def greet(ask: Ask) -> Say:
        return Say(str(ask.payload["instructions"]).removeprefix("Say exactly: "))

    with Scene(greet) as scene:
        (item,) = scene.respond(instructions="Say exactly: もしもし", input=[])["output"]
        assert item["content"][0]["transcript"] == "もしもし"


# Tools


def test_without_tools_nothing_is_called() -> None:
    with Scene([Say("Bye."), Call("end_call")], [Call("end_call")]) as scene:
        assert [item["type"] for item in scene.respond(tool_choice="none")["output"]] == ["message"]
        assert scene.respond(tool_choice="none")["output"] == []


def test_a_choice_must_name_a_tool_there_is() -> None:
    with Scene() as scene:
        scene.client.send("response.create", response={"tool_choice": {"type": "function", "name": "f"}})
        assert scene.client.error()["param"] == "response.tool_choice"


def test_the_script_is_told_what_the_tools_answered() -> None:
    with Scene(Call("f"), lambda ask: Say(", ".join(ask.tool_outputs.values()))) as scene:
        (call,) = scene.respond()["output"]
        output = {"type": "function_call_output", "call_id": call["call_id"], "output": "42"}
        scene.client.send("conversation.item.create", item=output)
        (said,) = scene.respond()["output"]
        assert said["content"][0]["transcript"] == "42"
        assert scene.session.conversation.unanswered == []
        assert scene.session.violations == []


# One at a time


def test_a_second_response_is_refused_while_one_is_active() -> None:
    with Scene(LONG, pace=Pace()) as scene:
        scene.client.send("response.create")
        active = scene.client.next("response.created")["response"]["id"]
        scene.client.send("response.create", event_id="second")
        with pytest.raises(AssertionError) as failure:
            scene.client.next("response.done")
        assert "conversation_already_has_active_response" in str(failure.value)
        assert active in str(failure.value)
        assert [one.code for one in scene.session.violations] == ["conversation_already_has_active_response"]
        assert len(scene.client.of_type("response.created")) == 1


@pytest.mark.parametrize(("unheard_of_for_s", "violations"), [(20, 0), (0, 1)])
def test_a_request_that_crosses_an_answer_nobody_asked_for_is_refused_and_no_fault_of_the_client_s(
    monkeypatch: pytest.MonkeyPatch, unheard_of_for_s: int, violations: int
) -> None:
    monkeypatch.setattr(model_answering, "CROSSING_S", unheard_of_for_s)
    with Scene(LONG, pace=Pace()) as scene:
        scene.client.speak(LOUD + silence(300))
        scene.client.next("response.created")
        scene.client.send("response.create")
        with pytest.raises(AssertionError, match="conversation_already_has_active_response"):
            scene.client.next("response.done")
        assert len(scene.session.violations) == violations


def test_responses_beside_the_conversation_run_beside_it() -> None:
    with Scene(LONG, pace=Pace()) as scene:
        scene.client.send("response.create")
        scene.client.next("response.output_audio.delta")
        scene.client.send(
            "response.create", response={"conversation": "none", "metadata": {"for": "summary"}}
        )
        done = scene.client.next("response.done")["response"]
        assert done["metadata"] == {"for": "summary"}
        assert done["conversation_id"] is None
        assert done["status"] == "completed"
        added = [event["item"]["id"] for event in scene.client.of_type("conversation.item.added")]
        assert done["output"][0]["id"] not in added
        assert scene.session.responding
        assert scene.session.violations == []


def test_speech_does_not_interrupt_a_response_beside_the_conversation() -> None:
    aside = Script(aside=Say("A summary.", duration_ms=600, pace=Pace(delta_ms=100, speed=3)))
    with PretendModel(aside) as model, Client(model.url + MODEL) as client:
        client.update(**PCMU)
        client.send("response.create", response={"conversation": "none"})
        client.next("response.output_audio.delta")
        client.speak(LOUD)
        client.next("input_audio_buffer.speech_started")
        assert client.next("response.done")["response"]["status"] == "completed"


def test_a_response_beside_the_conversation_is_cancelled_by_its_id() -> None:
    aside = Script(aside=LONG)
    with PretendModel(aside) as model, Client(model.url + MODEL) as client:
        client.send("response.create", response={"conversation": "none"})
        response_id = client.next("response.created")["response"]["id"]
        client.send("response.cancel", response_id=response_id)
        assert client.next("response.done")["response"]["status"] == "cancelled"


def test_a_referenced_item_must_exist() -> None:
    with Scene() as scene:
        scene.client.send("response.create", response={"input": [{"type": "item_reference", "id": "item_x"}]})
        assert scene.client.error()["param"] == "response.input[0].id"


# Cancelling


def test_a_cancelled_response_ends_with_its_done_events() -> None:
    with Scene(LONG, pace=Pace()) as scene:
        scene.client.send("response.create")
        scene.client.next("response.output_audio.delta")
        scene.client.send("response.cancel")
        response = scene.client.next("response.done")["response"]
        assert response["status"] == "cancelled"
        assert response["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
        assert scene.client.types()[-6:] == [*MESSAGE[-5:], "response.done"]
        (item,) = response["output"]
        assert item["status"] == "incomplete"
        assert LONG.words.startswith(item["content"][0]["transcript"])
        (kept,) = scene.session.items
        assert bytes(kept.audio) == scene.client.audio_of(item["id"])
        assert scene.session.violations == []


@pytest.mark.parametrize(("unheard_of_for_s", "violations"), [(20, 0), (0, 1)])
def test_a_cancel_with_nothing_active_is_an_error_and_no_fault_where_it_crosses_the_end(
    monkeypatch: pytest.MonkeyPatch, unheard_of_for_s: int, violations: int
) -> None:
    monkeypatch.setattr(model_answering, "CROSSING_S", unheard_of_for_s)
    with Scene(Say("Hi.")) as scene:
        scene.respond()
        scene.client.next("rate_limits.updated")
        scene.client.send("response.cancel", event_id="c")
        error = scene.client.error()
        assert error["code"] == "response_cancel_not_active"
        assert error["event_id"] == "c"
        assert len(scene.session.violations) == violations


def test_a_cancel_of_another_response_is_an_error() -> None:
    with Scene(LONG, pace=Pace()) as scene:
        scene.client.send("response.create")
        scene.client.next("response.created")
        scene.client.send("response.cancel", response_id="resp_other")
        with pytest.raises(AssertionError, match="response_cancel_not_active"):
            scene.client.next("response.done")
        assert scene.session.responding


def test_a_cancel_before_response_created_does_nothing() -> None:
    """Observed on the real service: the response comes all the same."""
    with Scene(Say("Hi.", pace=Pace(created_after_ms=60, speed=INSTANT.speed))) as scene:
        scene.client.send("response.create")
        scene.client.send("response.cancel")
        assert scene.client.next("response.done")["response"]["status"] == "completed"
        assert scene.session.violations == []


def test_a_call_cut_short_has_the_arguments_it_came_to() -> None:
    arguments = {"reason": "the caller wanted to say something else altogether"}
    with Scene(Call("end_call", arguments, pace=Pace(delta_ms=60_000))) as scene:
        scene.client.send("response.create")
        scene.client.next("response.function_call_arguments.delta")
        scene.client.send("response.cancel")
        (item,) = scene.client.next("response.done")["response"]["output"]
        assert item["status"] == "incomplete"
        (done,) = scene.client.of_type("response.function_call_arguments.done")
        assert json.dumps(arguments).startswith(done["arguments"])
        assert done["arguments"] == item["arguments"] != json.dumps(arguments)


# Barge-in


def test_speech_cancels_the_response() -> None:
    with Scene(LONG, pace=Pace()) as scene:
        scene.client.send("response.create")
        scene.client.next("response.output_audio.delta")
        scene.client.speak(LOUD)
        scene.client.next("input_audio_buffer.speech_started")
        response = scene.client.next("response.done")["response"]
        assert response["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
        scene.client.next("rate_limits.updated")
        after = scene.client.types()[scene.client.types().index("response.done") :]
        assert "response.output_audio.delta" not in after


@pytest.mark.parametrize("late_deltas", [0, 3])
@pytest.mark.parametrize("by_speech", [True, False])
def test_deltas_under_way_still_arrive_after_a_cancel(late_deltas: int, by_speech: bool) -> None:
    # So slow that only one delta comes by itself.
    pace = Pace(delta_ms=200, speed=0.01, late_deltas=late_deltas)
    with Scene(Say("A long answer.", duration_ms=20_000, pace=pace)) as scene:
        scene.client.send("response.create")
        scene.client.next("response.output_audio.delta")
        if by_speech:
            scene.client.speak(LOUD)
        else:
            scene.client.send("response.cancel")
        (item,) = scene.client.next("response.done")["response"]["output"]
        assert len(scene.client.of_type("response.output_audio.delta")) == 1 + late_deltas
        (kept,) = (one for one in scene.session.items if one.id == item["id"])
        assert kept.audio_ms == 200 * (1 + late_deltas)
        if by_speech:
            types = scene.client.types()
            tail = types[types.index("input_audio_buffer.speech_started") :]
            assert tail.count("response.output_audio.delta") == late_deltas


def test_speech_does_not_cancel_when_it_is_not_to() -> None:
    with Scene(Say("Words.", duration_ms=600, pace=Pace(delta_ms=100, speed=3))) as scene:
        settings = {"type": "server_vad", "interrupt_response": False, "silence_duration_ms": 200}
        scene.client.update(audio={"input": {"turn_detection": settings}})
        scene.client.send("response.create")
        scene.client.next("response.output_audio.delta")
        scene.client.speak(LOUD + silence(300))
        scene.client.next("input_audio_buffer.committed")
        assert scene.client.next("response.done")["response"]["status"] == "completed"
        scene.client.next("rate_limits.updated")
        # The utterance ended while a response was active: it goes unanswered, as on the real service.
        assert len(scene.client.of_type("response.created")) == 1
        assert scene.session.violations == []


def test_speech_after_the_generation_cancels_nothing() -> None:
    """Generation is faster than playback: most often there is nothing left to cancel."""
    with Scene(Say("Hi.", duration_ms=5000)) as scene:
        assert scene.respond()["status"] == "completed"
        scene.client.next("rate_limits.updated")
        scene.client.speak(LOUD)
        scene.client.next("input_audio_buffer.speech_started")
        scene.client.send("input_audio_buffer.clear")
        scene.client.next("input_audio_buffer.cleared")
        assert len(scene.client.of_type("response.done")) == 1


def test_items_that_were_whole_stay_whole_when_a_later_one_is_cut() -> None:
    with Scene([Say("Preamble."), Call("look"), Say("Long.", duration_ms=60_000, pace=Pace())]) as scene:
        scene.client.send("response.create")
        for _ in range(2):
            scene.client.next("response.output_item.done")
        scene.client.next("response.output_audio.delta")
        scene.client.speak(LOUD)
        response = scene.client.next("response.done")["response"]
        assert [item["status"] for item in response["output"]] == ["completed", "completed", "incomplete"]
        assert scene.session.conversation.unanswered == [response["output"][1]["call_id"]]


# Other ends


@pytest.mark.parametrize("fail", [RATE_LIMITED, Fail()], ids=["rate limit", "server error"])
def test_a_response_can_fail(fail: Fail) -> None:
    with Scene(fail, [Say("Half a"), fail], Say("Better.")) as scene:
        first = scene.respond()
        assert first["status"] == "failed"
        assert first["output"] == []
        assert first["status_details"] == {
            "type": "failed",
            "error": {"type": fail.type, "code": fail.code, "message": fail.message},
        }
        assert len(scene.respond()["output"]) == 1
        assert scene.respond()["status"] == "completed"
        assert scene.session.violations == []


def test_a_response_can_be_incomplete() -> None:
    with Scene([Say("Half a"), CutOff()]) as scene:
        response = scene.respond()
        assert response["status"] == "incomplete"
        assert response["status_details"] == {"type": "incomplete", "reason": "max_output_tokens"}


def test_a_response_can_think_first() -> None:
    with Scene(Say("Hm.", pace=Pace(first_delta_after_ms=80, speed=INSTANT.speed))) as scene:
        scene.client.send("response.create")
        scene.client.next("response.created")
        before_s = time.monotonic()
        scene.client.next("response.output_audio.delta")
        assert time.monotonic() - before_s > 0.05


@pytest.fixture
def many() -> Iterator[PretendModel]:
    with PretendModel(Script(otherwise=Say("Yes.", duration_ms=400)), pace=Pace(delta_ms=20)) as model:
        yield model


@pytest.mark.alone
def test_deltas_of_20_ms_keep_their_pace(many: PretendModel) -> None:
    with Client(many.url + MODEL) as client:
        client.update(**PCMU)
        before_s = time.monotonic()
        client.send("response.create")
        client.next("response.done")
        assert len(client.of_type("response.output_audio.delta")) == 20
        assert 0.06 < time.monotonic() - before_s < 0.35
