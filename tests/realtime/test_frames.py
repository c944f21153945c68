"""Every frame sent to OpenAI, judged by the ``openai`` package's own types."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from callapp.agents.fields import McpServer, Transcription, TurnDetection
from callapp.conversation.commands import (
    AnswerTool,
    CancelResponse,
    CreateResponse,
    DeleteItem,
    Tell,
    TruncateItem,
)
from callapp.realtime.events import APPEND_HEAD, APPEND_TAIL, encode, encode_approval
from callapp.realtime.session import (
    RemoteTools,
    SessionConfig,
    session_update,
    silence_update,
    spoken_instructions,
)
from callapp.simulators.model_schema import CLIENT_EVENTS
from tests.judges import faults

CONFIG = SessionConfig(
    instructions="あなたはオペレーターです。",
    voice="coral",
    language="ja-JP",
    tools=(
        {
            "type": "function",
            "name": "end_call",
            "description": "Hang up.",
            "parameters": {"type": "object", "properties": {"reason": {"type": "string"}}},
        },
    ),
)
FULL = replace(
    CONFIG,
    speed=1.25,
    reasoning="low",
    transcription=Transcription(language=("ja", "en"), keywords=("callapp",)),
    turn_detection=TurnDetection(threshold=0.8, silence_duration_ms=700),
    noise_reduction="far_field",
    silence_ms=15_000,
    remote_tools=[
        RemoteTools(
            McpServer(
                server_label="crm",
                server_url="https://crm.example.com/mcp",
                allowed_tools=("find", "list"),
                approve=("find",),
            ),
            "a-secret-token",
        )
    ],
)
OTHER = replace(
    CONFIG,
    transcription=Transcription(model="gpt-4o-transcribe"),
    turn_detection=TurnDetection(type="semantic_vad", eagerness="high"),
    noise_reduction="near_field",
)
SILENT = replace(CONFIG, transcription=None)
FRAMES = {
    "session.update": session_update(CONFIG),
    "session.update, every field": session_update(FULL),
    "session.update, other kinds": session_update(OTHER),
    "session.update, no transcription": session_update(SILENT),
    "session.update, every field, essential": session_update(FULL, essential=True),
    "session.update, silence timed": silence_update(FULL, timed=True),
    "session.update, silence not timed": silence_update(FULL, timed=False),
    "approve": encode_approval("mcpr_1", approve=True),
    "refuse": encode_approval("mcpr_1", approve=False),
    "session.update, essential": session_update(CONFIG, essential=True),
    "append": APPEND_HEAD + b"//8=" + APPEND_TAIL,
    "create": encode(CreateResponse("ask-1", "answer")),
    "create with words": encode(
        CreateResponse("ask-2", "greeting", spoken_instructions("もしもし", "ja-JP"), False)
    ),
    "cancel": encode(CancelResponse("resp_1")),
    "truncate": encode(TruncateItem("item_1", 0, 1240)),
    "delete": encode(DeleteItem("item_1")),
    "tell what the agent said": encode(Tell("agent", "Hello")),
    "tell what the caller said": encode(Tell("caller", "Hello?")),
    "tell a line that is to be answered": encode(Tell("caller", "[keys pressed: 1]", item_id="line_1")),
    "tell a note": encode(Tell("system", "The call goes on.")),
    "output": encode(AnswerTool("call_1", '{"ok": true}')),
}


@pytest.mark.parametrize("name", FRAMES)
def test_every_frame_is_valid_and_has_no_field_that_openai_does_not_know(name):
    assert faults(json.loads(FRAMES[name])) == []


def test_the_judge_sees_an_unknown_field():
    assert faults({"type": "response.cancel", "voice": "coral"}) == ["response.cancel.voice is unknown"]


def test_the_essential_update_keeps_the_formats_the_prompt_and_the_tools():
    session = json.loads(session_update(CONFIG, essential=True))["session"]
    assert session["audio"]["input"]["format"] == {"type": "audio/pcmu"}
    assert session["audio"]["output"]["format"] == {"type": "audio/pcmu"}
    assert session["instructions"] == CONFIG.instructions
    assert [t["name"] for t in session["tools"]] == ["end_call"]
    assert "transcription" not in session["audio"]["input"]
    assert "voice" not in session["audio"]["output"]


def test_the_essential_update_has_turns_detected_in_the_way_that_every_model_can():
    turns = session_of(OTHER, essential=True)["audio"]["input"]["turn_detection"]
    assert turns == {"type": "server_vad", "create_response": True, "interrupt_response": False}


def test_a_prompt_is_byte_stable():
    assert session_update(CONFIG) == session_update(CONFIG)
    assert session_update(FULL) == session_update(FULL)


def session_of(config: SessionConfig, **how: bool) -> Any:
    return json.loads(session_update(config, **how))["session"]


def test_what_an_agent_file_says_is_what_is_asked_for():
    session = session_of(FULL)
    assert session["reasoning"] == {"effort": "low"}
    assert session["audio"]["output"] == {"format": {"type": "audio/pcmu"}, "voice": "coral", "speed": 1.25}
    heard = session["audio"]["input"]
    assert heard["noise_reduction"] == {"type": "far_field"}
    assert heard["transcription"] == {
        "model": "gpt-transcribe",
        "languages": ["ja", "en"],
        "keywords": ["callapp"],
    }
    assert heard["turn_detection"] == {
        "type": "server_vad",
        "threshold": 0.8,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 700,
        "idle_timeout_ms": 15_000,
        "create_response": True,
        "interrupt_response": False,
    }
    assert session["tools"][1] == {
        "type": "mcp",
        "server_label": "crm",
        "server_url": "https://crm.example.com/mcp",
        "allowed_tools": ["find", "list"],
        "require_approval": "always",
        "authorization": "a-secret-token",
    }
    assert "a-secret-token" not in repr(FULL)


@pytest.mark.parametrize("config", [FULL, OTHER, SILENT])
def test_the_strict_simulator_takes_it_too(config: SessionConfig):
    CLIENT_EVENTS["session.update"].validate_json(session_update(config))


def test_what_is_not_said_is_not_sent():
    session = session_of(CONFIG)
    assert "reasoning" not in session
    assert "speed" not in session["audio"]["output"]
    assert "noise_reduction" not in session["audio"]["input"]
    assert "transcription" not in session_of(SILENT)["audio"]["input"]


def test_a_remote_server_of_whose_tools_none_are_named_may_have_them_all_used():
    """An empty list would forbid them."""
    server = McpServer(server_label="crm", server_url="https://crm.example.com/mcp", approve=("find",))
    assert session_of(replace(CONFIG, remote_tools=[RemoteTools(server)]))["tools"][1] == {
        "type": "mcp",
        "server_label": "crm",
        "server_url": "https://crm.example.com/mcp",
        "require_approval": "always",
    }


def test_the_caller_is_transcribed_in_the_agents_language_unless_the_file_says_another():
    assert session_of(CONFIG)["audio"]["input"]["transcription"]["languages"] == ["ja"]
    assert session_of(OTHER)["audio"]["input"]["transcription"] == {
        "model": "gpt-4o-transcribe",
        "language": "ja",
    }


def test_interruptions_stay_ours_whatever_detects_the_turns():
    turns = session_of(OTHER)["audio"]["input"]["turn_detection"]
    assert turns == {
        "type": "semantic_vad",
        "eagerness": "high",
        "create_response": True,
        "interrupt_response": False,
    }


def test_the_essential_update_of_a_rich_agent_is_that_of_a_plain_one():
    assert session_update(FULL, essential=True) == session_update(CONFIG, essential=True)
