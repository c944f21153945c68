"""What OpenAI says, in the conversation's words; and nothing it can say is fatal."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callapp.conversation.commands import LINE_ID, Tell
from callapp.conversation.events import (
    AgentSaid,
    AudioArrived,
    AudioEnded,
    CallerSaid,
    LineTaken,
    MessageStarted,
    ModelLost,
    Part,
    ResponseEnded,
    ResponseStarted,
    SessionConfirmed,
    SpeechStarted,
    SpeechStopped,
    ToolCalled,
    Usage,
)
from callapp.errors import BadMessage
from callapp.realtime.events import SessionUpdated, decode, encode
from callapp.realtime.messages import Complaint
from callapp.realtime.session import SessionConfig, shake_hands

CONFIG = SessionConfig("Be kind.", "coral", "ja-JP")
CALL = {
    "type": "function_call",
    "id": "item_9",
    "call_id": "call_9",
    "name": "end_call",
    "arguments": "{}",
}


def read(**message):
    return decode(json.dumps(message).encode())


def ids(**more):
    return {"response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 0, **more}


@pytest.mark.parametrize(
    ("message", "event"),
    [
        (
            {"type": "response.output_audio.delta", **ids(delta="//8=")},
            AudioArrived("resp_1", Part("item_1", 0), b"//8="),
        ),
        ({"type": "response.output_audio.done", **ids()}, AudioEnded("resp_1", "item_1", 0)),
        (
            {"type": "input_audio_buffer.speech_started", "audio_start_ms": 5, "item_id": "i"},
            SpeechStarted("i", 5),
        ),
        ({"type": "input_audio_buffer.speech_stopped", "audio_end_ms": 9, "item_id": "i"}, SpeechStopped(9)),
        (
            {"type": "response.created", "response": {"id": "resp_1", "metadata": None}},
            ResponseStarted("resp_1", None),
        ),
        (
            {"type": "response.created", "response": {"id": "resp_1", "metadata": {"tag": "goodbye"}}},
            ResponseStarted("resp_1", "goodbye"),
        ),
        (
            {
                "type": "response.output_item.added",
                **ids(item={"type": "message", "id": "item_1", "role": "assistant"}),
            },
            MessageStarted("resp_1", "item_1"),
        ),
        (
            {"type": "response.output_item.done", **ids(item={**CALL, "status": "completed"})},
            ToolCalled("resp_1", "call_9", "end_call", "{}"),
        ),
        (
            {"type": "response.output_item.done", **ids(item={**CALL, "status": "incomplete"})},
            ToolCalled("resp_1", "call_9", "end_call", "{}", complete=False),
        ),
        (
            {"type": "response.output_audio_transcript.done", **ids(transcript="はい")},
            AgentSaid("item_1", "はい", whole=True),
        ),
        ({"type": "rate_limits.updated", "rate_limits": []}, None),
        ({"type": "something.new"}, None),
        ({"type": ["not", "text"]}, None),
    ],
)
def test_server_events_in_our_words(message, event):
    assert read(**message) == event


def test_of_messages_only_the_lines_that_we_have_sent_ourselves_are_told_as_taken():
    sent = json.loads(encode(Tell("system", "[whispered]", item_id=f"{LINE_ID}7")))["item"]
    assert read(type="conversation.item.added", item=sent) == LineTaken(f"{LINE_ID}7")
    assert read(type="conversation.item.added", item={**sent, "id": "item_1"}) is None


def test_a_response_that_ends_tells_all_its_tool_calls():
    done = read(
        type="response.done",
        response={"id": "resp_1", "status": "completed", "output": [{"type": "message", "id": "i"}, CALL]},
    )
    assert done == ResponseEnded(
        "resp_1", "completed", None, (ToolCalled("resp_1", "call_9", "end_call", "{}"),)
    )


def test_a_call_in_a_cancelled_response_is_complete_only_if_it_says_so():
    done = read(type="response.done", response={"id": "resp_1", "status": "cancelled", "output": [CALL]})
    assert not done.tool_calls[0].complete


@pytest.mark.parametrize(
    ("status", "output", "empty"),
    [
        ("completed", [], True),
        ("completed", [{"type": "message", "content": []}], True),
        (
            "completed",
            [{"type": "message", "content": [{"type": "output_text", "text": "a"}]}],
            False,
        ),
        ("completed", [{"type": "mcp_approval_request", "id": "i"}], False),
        ("completed", None, False),
        ("cancelled", [], False),
    ],
)
def test_a_response_that_was_completed_with_nothing_in_it_is_empty(status, output, empty):
    response = {"id": "r", "status": status, "output": output}
    assert read(type="response.done", response=response).empty is empty


def test_why_a_response_failed():
    error = {"type": "server_error", "code": None, "message": "oops"}
    details = {"type": "failed", "error": error}
    done = read(type="response.done", response={"id": "r", "status": "failed", "status_details": details})
    assert (done.status, done.error_code) == ("failed", "server_error")


@pytest.mark.parametrize(
    ("words", "wait_ms"),
    [
        ("Rate limit reached for gpt-realtime on tokens per min (TPM). Please try again in 1.3s.", 1_300),
        ("Please try again in 20ms. Visit https://platform.openai.com", 20),
        ("Please try again in 1m0.5s.", 60_500),
        ("Please try again in a moment", 0),
        (None, 0),
    ],
)
def test_for_how_long_a_failed_response_asks_to_be_left_alone(words, wait_ms):
    error = {"type": "invalid_request_error", "code": "rate_limit_exceeded", "message": words}
    details = {"type": "failed", "error": error}
    done = read(type="response.done", response={"id": "r", "status": "failed", "status_details": details})
    assert done.wait_ms == wait_ms


@pytest.mark.parametrize("delta", [None, 5, "abc", "a" * 8 + '"', "ab\n=", "====", "日本語だ"])
def test_a_delta_that_is_not_base64_is_a_bad_message(delta):
    with pytest.raises(BadMessage):
        read(type="response.output_audio.delta", **ids(delta=delta))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
TYPES = st.sampled_from(
    [
        "response.output_audio.delta",
        "response.output_audio.done",
        "response.created",
        "response.done",
        "response.output_item.added",
        "response.output_item.done",
        "session.created",
        "session.updated",
        "error",
        "conversation.item.input_audio_transcription.completed",
    ]
)
FIELDS = st.sampled_from(
    ["response", "item", "response_id", "item_id", "content_index", "delta", "error", "session", "output"]
)


@given(st.binary())
def test_arbitrary_bytes_never_crash(data):
    with suppress(BadMessage):
        decode(data)


@given(TYPES, st.dictionaries(FIELDS, JSON | st.dictionaries(FIELDS | st.just("id"), JSON)))
def test_arbitrary_json_of_known_types_never_crashes(kind, fields):
    try:
        decoded = decode(json.dumps({**fields, "type": kind}).encode())
    except (BadMessage, UnicodeEncodeError):
        return
    if isinstance(decoded, SessionUpdated | Complaint):
        shake_hands(decoded, CONFIG, 0.0)


# -- the handshake ------------------------------------------------------------------------------


def confirmed(kind_in="audio/pcmu", kind_out="audio/pcmu"):
    return SessionUpdated(
        {"audio": {"input": {"format": {"type": kind_in}}, "output": {"format": {"type": kind_out}}}}
    )


def test_mu_law_both_ways_confirms_the_session():
    assert shake_hands(confirmed(), CONFIG, 0.0) == SessionConfirmed()


def test_the_service_says_how_long_a_session_lasts():
    session = {**confirmed().session, "expires_at": 1_800}
    assert shake_hands(SessionUpdated(session), CONFIG, 300.0) == SessionConfirmed(1_500_000)


@pytest.mark.parametrize(
    "answer",
    [
        confirmed(kind_out="audio/pcm"),
        confirmed(kind_in="audio/pcm"),
        SessionUpdated({}),
        SessionUpdated({"audio": 1}),
    ],
)
def test_another_format_is_never_played(answer):
    assert shake_hands(answer, CONFIG, 0.0) == ModelLost("openai.not_pcmu", hopeless=True)


def test_a_rejected_update_is_followed_by_the_essential_one_and_no_third():
    param = "session.audio.input.transcription"
    second = shake_hands(Complaint("unknown_parameter", "no such thing", param, "session-1"), CONFIG, 0.0)
    assert isinstance(second, bytes)
    update = json.loads(second)
    assert "transcription" not in update["session"]["audio"]["input"]
    rejected = Complaint("unknown_parameter", "no such thing", param, update["event_id"])
    assert shake_hands(rejected, CONFIG, 0.0) == ModelLost("openai.session_rejected", hopeless=True)


def test_an_error_that_answers_no_update_rejects_none():
    """Two of them ended the call, and one cost the agent its voice and its language."""
    assert shake_hands(Complaint("server_error", "Sorry!", None, None), CONFIG, 0.0) is None


def test_a_fatal_refusal_is_not_tried_again():
    refusal = Complaint("invalid_api_key", "wrong key", None, None)
    assert shake_hands(refusal, CONFIG, 0.0) == ModelLost("openai.refused", hopeless=True)


USAGE = {
    "total_tokens": 253,
    "input_tokens": 132,
    "output_tokens": 121,
    "input_token_details": {
        "text_tokens": 119,
        "audio_tokens": 13,
        "image_tokens": 0,
        "cached_tokens": 64,
        "cached_tokens_details": {"text_tokens": 60, "audio_tokens": 4, "image_tokens": 0},
    },
    "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
}


def usage_of(reported):
    return read(type="response.done", response={"id": "resp_1", "usage": reported}).usage


def test_the_usage_of_a_response_is_read():
    assert usage_of(USAGE) == Usage(119, 13, 60, 4, 30, 91)


@pytest.mark.parametrize("status", ["cancelled", "failed", "incomplete"])
def test_a_response_that_did_not_end_well_has_cost_something_too(status):
    response = {"id": "resp_1", "status": status, "usage": USAGE}
    assert read(type="response.done", response=response).usage == Usage(119, 13, 60, 4, 30, 91)


def test_any_part_of_a_usage_can_be_missing():
    assert usage_of(None) is None
    assert usage_of({}) == Usage()
    assert usage_of({"input_token_details": None, "output_token_details": {"audio_tokens": None}}) == Usage()
    read_only = {"text_tokens": 5, "cached_tokens": 5, "cached_tokens_details": None}
    assert usage_of({"input_token_details": read_only}) == Usage(input_text=5)
    assert usage_of({"output_token_details": {"audio_tokens": -3}}) == Usage()


def test_the_seconds_of_a_transcription_are_read():
    said = {
        "type": "conversation.item.input_audio_transcription.completed",
        "item_id": "i",
        "content_index": 0,
        "transcript": "Hello",
    }
    assert read(**said, usage={"type": "duration", "seconds": 1.5}) == CallerSaid(
        "i", "Hello", Usage(transcribed_s=1.5)
    )
    for other in ({"type": "tokens", "total_tokens": 7}, None, {"type": "duration", "seconds": "1"}):
        assert read(**said, usage=other) == CallerSaid("i", "Hello")
