"""What the pretend model accepts as configuration, and in what words it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from callapp.simulators.model import PretendModel
from callapp.simulators.model_errors import ClientError, check
from callapp.simulators.model_schema import CLIENT_EVENTS
from callapp.simulators.model_script import INSTANT, Say, Script
from tests.judges import faults
from tests.simulators.realtime_client import MODEL, PCMU, Client

DOCUMENTED: dict[str, Any] = {
    "type": "session.update",
    "session": {
        "type": "realtime",
        "output_modalities": ["audio"],
        "instructions": "...",
        "audio": {
            "input": {
                "format": {"type": "audio/pcmu"},
                "noise_reduction": None,
                "transcription": {"model": "gpt-transcribe", "languages": ["ja"]},
                "turn_detection": {
                    "type": "server_vad",
                    "threshold": 0.5,
                    "prefix_padding_ms": 300,
                    "silence_duration_ms": 500,
                    "create_response": True,
                    "interrupt_response": True,
                    "idle_timeout_ms": None,
                },
            },
            "output": {"format": {"type": "audio/pcmu"}, "voice": "marin", "speed": 1.0},
        },
        "tools": [],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"effort": "low"},
        "max_output_tokens": "inf",
        "truncation": {
            "type": "retention_ratio",
            "retention_ratio": 0.8,
            "token_limits": {"post_instructions": 8000},
        },
        "tracing": None,
        "include": [],
    },
}
"""The example of the reference, whole."""

ACCEPTED: list[dict[str, Any]] = [
    DOCUMENTED,
    {"type": "input_audio_buffer.append", "audio": "AAAA", "event_id": "e1"},
    {"type": "input_audio_buffer.commit"},
    {"type": "input_audio_buffer.clear"},
    {"type": "output_audio_buffer.clear"},
    {"type": "conversation.item.retrieve", "item_id": "item_1"},
    {"type": "conversation.item.delete", "item_id": "item_1"},
    {"type": "conversation.item.truncate", "item_id": "item_1", "content_index": 0, "audio_end_ms": 1500},
    {
        "type": "conversation.item.create",
        "previous_item_id": "root",
        "item": {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "Hurry."}]},
    },
    {
        "type": "conversation.item.create",
        "item": {
            "id": "mine",
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Hi"},
                {"type": "input_audio", "audio": "////", "transcript": "hm"},
                {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"},
            ],
        },
    },
    {
        "type": "conversation.item.create",
        "item": {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Hello."}],
        },
    },
    {
        "type": "conversation.item.create",
        "item": {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"},
    },
    {
        "type": "conversation.item.create",
        "item": {"type": "function_call_output", "call_id": "call_1", "output": "42"},
    },
    {
        "type": "conversation.item.create",
        "item": {"type": "mcp_approval_response", "id": "a", "approval_request_id": "b", "approve": True},
    },
    {"type": "response.create"},
    {
        "type": "response.create",
        "response": {
            "instructions": "Say exactly: hello",
            "output_modalities": ["text"],
            "audio": {"output": {"format": {"type": "audio/pcmu"}, "voice": {"id": "voice_1"}}},
            "tools": [
                {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}}
            ],
            "tool_choice": {"type": "function", "name": "f"},
            "parallel_tool_calls": False,
            "reasoning": {"effort": "minimal"},
            "max_output_tokens": 100,
            "metadata": {"topic": "greeting"},
            "conversation": "none",
            "input": [],
        },
    },
    {"type": "response.cancel", "response_id": "resp_1"},
]


@pytest.mark.parametrize("event", ACCEPTED, ids=lambda event: event["type"])
def test_documented_events_are_accepted(event: dict[str, Any]) -> None:
    """And they are what the ``openai`` package takes, so the samples themselves are sound."""
    check(event)
    assert faults(event) == []


def test_every_client_event_there_is_has_a_schema() -> None:
    assert {event["type"] for event in ACCEPTED} == set(CLIENT_EVENTS)


def session(**fields: Any) -> dict[str, Any]:
    return {"type": "session.update", "session": {"type": "realtime", **fields}}


def heard(**fields: Any) -> dict[str, Any]:
    return session(audio={"input": fields})


def spoken(**fields: Any) -> dict[str, Any]:
    return session(audio={"output": fields})


def item(**fields: Any) -> dict[str, Any]:
    return {"type": "conversation.item.create", "item": fields}


def response(**fields: Any) -> dict[str, Any]:
    return {"type": "response.create", "response": fields}


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({}, "missing_required_parameter", "type"),
    ({"type": "response.foo"}, "invalid_value", "type"),
    ({"type": 5}, "invalid_value", "type"),
    ({"type": "response.create", "event_id": "x" * 513}, "string_above_max_length", "event_id"),
    ({"type": "response.create", "foo": 1}, "unknown_parameter", "foo"),
    ({"type": "input_audio_buffer.append"}, "missing_required_parameter", "audio"),
    ({"type": "session.update"}, "missing_required_parameter", "session"),
    ({"type": "session.update", "session": {}}, "missing_required_parameter", "session.type"),
    ({"type": "session.update", "session": {"type": "transcription"}}, "invalid_value", "session.type"),
    (session(voice="marin"), "unknown_parameter", "session.voice"),
    (session(modalities=["audio"]), "unknown_parameter", "session.modalities"),
    (session(temperature=0.8), "unknown_parameter", "session.temperature"),
    (session(turn_detection=None), "unknown_parameter", "session.turn_detection"),
    (session(input_audio_format="g711_ulaw"), "unknown_parameter", "session.input_audio_format"),
    (session(instructions=None), "invalid_type", "session.instructions"),
    (session(instructions="x" * 256_001), "string_above_max_length", "session.instructions"),
    (session(output_modalities=["text", "audio"]), "invalid_value", "session.output_modalities"),
    (session(max_output_tokens=4097), "invalid_value", "session.max_output_tokens"),
    (session(max_output_tokens="all"), "invalid_value", "session.max_output_tokens"),
    (session(tools=None), "invalid_type", "session.tools"),
    (session(tools=[{"type": "function"}]), "missing_required_parameter", "session.tools[0].name"),
    (session(tools=[{"name": "f"}]), "missing_required_parameter", "session.tools[0].type"),
    (session(tools=[{"type": "function", "name": "a b"}]), "invalid_value", "session.tools[0].name"),
    (
        session(tools=[{"type": "function", "name": "f", "strict": True}]),
        "unknown_parameter",
        "session.tools[0].strict",
    ),
    (
        session(tools=[{"type": "mcp", "server_label": "a", "server_url": "b", "connector_id": "c"}]),
        "invalid_value",
        "session.tools[0]",
    ),
    (session(tool_choice="maybe"), "invalid_value", "session.tool_choice"),
    (session(tool_choice={"type": "tool"}), "invalid_value", "session.tool_choice.type"),
    (session(reasoning={"effort": "huge"}), "invalid_value", "session.reasoning.effort"),
    (
        session(truncation={"type": "retention_ratio", "retention_ratio": 2.0}),
        "invalid_value",
        "session.truncation.retention_ratio",
    ),
    (
        heard(format={"type": "audio/pcmu", "rate": 8000}),
        "unknown_parameter",
        "session.audio.input.format.rate",
    ),
    (heard(format="g711_ulaw"), "invalid_type", "session.audio.input.format"),
    (heard(format={"type": "g711_ulaw"}), "invalid_value", "session.audio.input.format.type"),
    (heard(format={"type": "audio/pcm", "rate": 8000}), "invalid_type", "session.audio.input.format.rate"),
    (
        heard(turn_detection={"type": "server_vad", "eagerness": "low"}),
        "unknown_parameter",
        "session.audio.input.turn_detection.eagerness",
    ),
    (heard(turn_detection={"type": "vad"}), "invalid_value", "session.audio.input.turn_detection.type"),
    (heard(turn_detection={}), "missing_required_parameter", "session.audio.input.turn_detection.type"),
    (
        heard(turn_detection={"type": "server_vad", "threshold": 1.5}),
        "invalid_value",
        "session.audio.input.turn_detection.threshold",
    ),
    (
        heard(turn_detection={"type": "server_vad", "threshold": "0.5"}),
        "invalid_type",
        "session.audio.input.turn_detection.threshold",
    ),
    (
        heard(turn_detection={"type": "server_vad", "idle_timeout_ms": 4000}),
        "invalid_value",
        "session.audio.input.turn_detection.idle_timeout_ms",
    ),
    (heard(noise_reduction={"type": "loud"}), "invalid_value", "session.audio.input.noise_reduction.type"),
    (heard(transcription={}), "missing_required_parameter", "session.audio.input.transcription.model"),
    (
        heard(transcription={"model": "gpt-transcribe", "language": "ja"}),
        "invalid_value",
        "session.audio.input.transcription",
    ),
    (
        heard(transcription={"model": "whisper-1", "languages": ["ja"]}),
        "invalid_value",
        "session.audio.input.transcription",
    ),
    (
        heard(transcription={"model": "gpt-transcribe", "languages": ["Japanese"]}),
        "invalid_value",
        "session.audio.input.transcription.languages[0]",
    ),
    (
        heard(transcription={"model": "gpt-transcribe", "keywords": ["a<b"]}),
        "invalid_value",
        "session.audio.input.transcription.keywords[0]",
    ),
    (spoken(voice="bob"), "invalid_value", "session.audio.output.voice"),
    (spoken(voice={}), "missing_required_parameter", "session.audio.output.voice.id"),
    (spoken(speed=2.0), "invalid_value", "session.audio.output.speed"),
    (item(type="message", role="user"), "missing_required_parameter", "item.content"),
    (item(type="message", content=[]), "missing_required_parameter", "item.role"),
    (
        item(type="message", role="user", content=[{"type": "text", "text": "x"}]),
        "invalid_value",
        "item.content[0].type",
    ),
    (
        item(type="message", role="assistant", content=[{"type": "output_audio", "audio": "AAAA"}]),
        "missing_required_parameter",
        "item.content[0].text",
    ),
    (
        item(type="message", role="assistant", content=[{"type": "output_text", "text": "a", "audio": "A"}]),
        "invalid_value",
        "item.content[0]",
    ),
    (item(id="x" * 33, type="message", role="system", content=[]), "string_above_max_length", "item.id"),
    (item(type="function_call_output", call_id="c", output={}), "invalid_type", "item.output"),
    (item(type="function_call_output", output=""), "missing_required_parameter", "item.call_id"),
    (item(type="item_reference", id="x"), "invalid_value", "item.type"),
    (response(modalities=["audio"]), "unknown_parameter", "response.modalities"),
    (response(audio={"output": {"speed": 1.0}}), "unknown_parameter", "response.audio.output.speed"),
    (response(metadata={"a": 1}), "invalid_type", "response.metadata.a"),
    (response(metadata={str(n): "" for n in range(17)}), "invalid_value", "response.metadata"),
    (response(metadata={"a": "x" * 513}), "string_above_max_length", "response.metadata.a"),
    (response(input=[{"type": "item_reference"}]), "missing_required_parameter", "response.input[0].id"),
    (response(conversation="other"), "invalid_value", "response.conversation"),
    (
        {"type": "conversation.item.truncate", "item_id": "x", "content_index": 0, "audio_end_ms": 1.5},
        "invalid_type",
        "audio_end_ms",
    ),
    ({"type": "conversation.item.delete"}, "missing_required_parameter", "item_id"),
]


@pytest.mark.parametrize(
    ("event", "code", "param"), REFUSED, ids=lambda value: value if isinstance(value, str) else ""
)
def test_what_is_wrong_is_named_by_code_and_path(event: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(ClientError) as refusal:
        check(event)
    assert (refusal.value.code, refusal.value.param) == (code, param)
    assert refusal.value.message


@pytest.fixture
def model() -> Iterator[PretendModel]:
    with PretendModel(Script(otherwise=Say("Hello.")), pace=INSTANT) as model:
        yield model


@pytest.fixture
def client(model: PretendModel) -> Iterator[Client]:
    with Client(model.url + MODEL) as client:
        client.next("session.created")
        yield client


def test_the_documented_update_is_confirmed_with_everything(client: Client, model: PretendModel) -> None:
    before = client.events[0]["session"]
    after = client.update(**DOCUMENTED["session"])
    assert after == {**before, **DOCUMENTED["session"]}
    assert model.wait_for_session().violations == []


def test_an_unknown_field_refuses_the_whole_update_and_names_the_event(
    client: Client, model: PretendModel
) -> None:
    client.send(
        "session.update",
        event_id="mine",
        session={"type": "realtime", "instructions": "New.", "voice": "marin"},
    )
    error = client.error()
    assert error == {
        "type": "invalid_request_error",
        "code": "unknown_parameter",
        "message": "Unknown parameter: 'session.voice'.",
        "param": "session.voice",
        "event_id": "mine",
    }
    assert client.update()["instructions"] != "New."
    (violation,) = model.wait_for_session().violations
    assert violation.code == "unknown_parameter"
    assert violation.event["event_id"] == "mine"


def test_what_is_absent_keeps_its_value(client: Client) -> None:
    client.update(instructions="Be brief.", **PCMU)
    detection = {"type": "server_vad", "threshold": 0.7}
    after = client.update(audio={"input": {"turn_detection": detection}})
    assert after["instructions"] == "Be brief."
    assert after["audio"]["input"]["format"] == {"type": "audio/pcmu"}
    assert after["audio"]["input"]["turn_detection"]["threshold"] == 0.7
    after = client.update(
        audio={"input": {"turn_detection": {"type": "server_vad", "prefix_padding_ms": 100}}}
    )
    assert after["audio"]["input"]["turn_detection"]["threshold"] == 0.7
    assert after["audio"]["input"]["turn_detection"]["prefix_padding_ms"] == 100


def test_null_clears_what_can_be_cleared(client: Client) -> None:
    client.update(audio={"input": {"transcription": {"model": "whisper-1"}}})
    after = client.update(audio={"input": {"transcription": None, "turn_detection": None}})
    assert after["audio"]["input"]["transcription"] is None
    assert after["audio"]["input"]["turn_detection"] is None


def test_the_strength_of_noise_reduction_is_kept(client: Client) -> None:
    def reduction(**fields: Any) -> dict[str, Any]:
        after = client.update(audio={"input": {"noise_reduction": fields}})
        result: dict[str, Any] = after["audio"]["input"]["noise_reduction"]
        return result

    assert reduction(type="near_field") == {"type": "near_field", "strength": 1}
    assert reduction(type="near_field", strength=0.5)["strength"] == 0.5
    assert reduction(type="far_field") == {"type": "far_field", "strength": 0.5}


def test_another_kind_of_detection_starts_at_its_defaults(client: Client) -> None:
    after = client.update(audio={"input": {"turn_detection": {"type": "semantic_vad"}}})
    assert after["audio"]["input"]["turn_detection"] == {
        "type": "semantic_vad",
        "eagerness": "auto",
        "create_response": True,
        "interrupt_response": True,
    }


def test_a_custom_voice_is_told_back_by_its_id(client: Client) -> None:
    after = client.update(audio={"output": {"voice": {"id": "voice_1234"}}})
    assert after["audio"]["output"]["voice"] == "voice_1234"


def test_the_voice_is_settled_by_the_first_audio(client: Client) -> None:
    client.update(audio={"output": {"voice": "coral"}})
    client.send("response.create")
    client.next("rate_limits.updated")
    client.update(audio={"output": {"voice": "coral"}})
    client.send("session.update", session={"type": "realtime", "audio": {"output": {"voice": "sage"}}})
    assert client.error()["code"] == "cannot_update_voice"


@pytest.mark.parametrize(
    ("update", "param"),
    [
        ({"model": "gpt-realtime-2.1"}, "session.model"),
        ({"tool_choice": {"type": "function", "name": "f"}}, "session.tool_choice"),
        (
            {"audio": {"input": {"transcription": {"model": "gpt-live-transcribe"}}}},
            "session.audio.input.turn_detection",
        ),
        (
            {"tools": [{"type": "mcp", "server_label": "a", "server_url": "u"}] * 2},
            "session.tools",
        ),
    ],
)
def test_an_update_that_contradicts_the_session_is_refused(
    client: Client, update: dict[str, Any], param: str
) -> None:
    client.send("session.update", session={"type": "realtime", **update})
    error = client.error()
    assert (error["code"], error["param"]) == ("invalid_value", param)


def test_tracing_is_settled_once_it_is_enabled(client: Client) -> None:
    client.update(tracing="auto")
    client.send("session.update", session={"type": "realtime", "tracing": None})
    assert client.error()["param"] == "session.tracing"


def test_speed_is_settled_while_a_response_is_active() -> None:
    script = Script(Say("Long.", duration_ms=60_000))
    with PretendModel(script) as model, Client(model.url + MODEL) as client:
        client.next("session.created")
        client.send("response.create")
        client.send("session.update", session={"type": "realtime", "audio": {"output": {"speed": 1.2}}})
        with pytest.raises(AssertionError, match="between model turns"):
            client.next("session.updated")


def test_only_reasoning_models_reason() -> None:
    with PretendModel() as model, Client(model.url + "?model=gpt-realtime-1.5") as client:
        assert "reasoning" not in client.next("session.created")["session"]
        client.send("session.update", session={"type": "realtime", "reasoning": {"effort": "low"}})
        assert client.error()["param"] == "session.reasoning"


# What can be made to go otherwise


def test_chosen_fields_are_refused_and_it_is_not_the_clients_fault() -> None:
    with (
        PretendModel(refuse_fields={"audio.input.transcription"}) as model,
        Client(model.url + MODEL) as client,
    ):
        client.next("session.created")
        transcription = {"model": "gpt-transcribe"}
        client.send(
            "session.update",
            event_id="e",
            session={"type": "realtime", "audio": {"input": {"transcription": transcription}}},
        )
        error = client.error()
        assert error["param"] == "session.audio.input.transcription"
        assert error["event_id"] == "e"
        client.update(**PCMU)
        assert model.wait_for_session().violations == []


def test_an_update_may_never_be_confirmed() -> None:
    with PretendModel(confirm_after_ms=None) as model, Client(model.url + MODEL) as client:
        client.next("session.created")
        client.send("session.update", session={"type": "realtime", **PCMU})
        client.send("input_audio_buffer.clear")
        client.next("input_audio_buffer.cleared")
        assert "session.updated" not in client.types()


def test_a_confirmation_may_be_late() -> None:
    with PretendModel(confirm_after_ms=60) as model, Client(model.url + MODEL) as client:
        client.next("session.created")
        client.send("session.update", session={"type": "realtime", **PCMU})
        client.send("input_audio_buffer.clear")
        client.next("input_audio_buffer.cleared")
        client.next("session.updated")
        session = model.wait_for_session()
        (asked,) = [one.at_s for one in session.received if one.event["type"] == "session.update"]
        (told,) = [one.at_s for one in session.sent if one.event["type"] == "session.updated"]
        assert told - asked >= 0.06


def test_another_format_may_be_confirmed_and_is_then_used() -> None:
    with (
        PretendModel(Script(Say("Hi.", duration_ms=500)), confirm_format="audio/pcm", pace=INSTANT) as model,
        Client(model.url + MODEL) as client,
    ):
        client.next("session.created")
        after = client.update(**PCMU)
        for side in ("input", "output"):
            assert after["audio"][side]["format"] == {"type": "audio/pcm", "rate": 24000}
        client.send("response.create")
        client.next("response.done")
        (sent,) = {event["item_id"] for event in client.of_type("response.output_audio.delta")}
        assert len(client.audio_of(sent)) == 500 * 48


# Frames


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x00\x01", "invalid_event"),
        ("{not json", "invalid_json"),
        ("[1, 2]", "invalid_event"),
        ('{"type": "nonsense"}', "invalid_value"),
    ],
)
def test_what_is_no_event_is_an_error_and_the_session_goes_on(
    client: Client, model: PretendModel, frame: str | bytes, code: str
) -> None:
    client.socket.send(frame)
    assert client.error()["code"] == code
    client.update(**PCMU)
    assert [one.code for one in model.wait_for_session().violations] == [code]


def test_a_message_in_fragments_is_one_event(client: Client) -> None:
    client.socket.send(['{"type": "input_', "audio_buffer", '.clear"}'])
    client.next("input_audio_buffer.cleared")


def test_half_a_surrogate_pair_is_refused_and_does_no_harm(client: Client) -> None:
    """It is valid JSON, but no text: it could not even be echoed."""
    update = {"type": "session.update", "session": {"type": "realtime"}, "event_id": "\ud800"}
    client.socket.send(json.dumps(update))
    assert client.error()["code"] == "invalid_value"
    client.update(**PCMU)


def test_the_buffer_of_webrtc_is_refused(client: Client) -> None:
    client.send("output_audio_buffer.clear")
    assert client.error()["code"] == "invalid_value"
