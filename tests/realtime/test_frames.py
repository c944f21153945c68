"""Every frame sent to OpenAI, judged by the ``openai`` package's own types."""

from __future__ import annotations

import json

import pytest

from callapp.conversation.commands import (
    AnswerTool,
    CancelResponse,
    CreateResponse,
    DeleteItem,
    Tell,
    TruncateItem,
)
from callapp.realtime.events import encode, encode_audio
from callapp.realtime.session import SessionConfig, greeting_instructions, session_update
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
FRAMES = {
    "session.update": session_update(CONFIG),
    "session.update, essential": session_update(CONFIG, essential=True),
    "append": encode_audio(b"//8="),
    "create": encode(CreateResponse("ask-1", "answer")),
    "create with words": encode(
        CreateResponse("ask-2", "greeting", greeting_instructions("もしもし", "ja-JP"), False)
    ),
    "cancel": encode(CancelResponse("resp_1")),
    "truncate": encode(TruncateItem("item_1", 0, 1240)),
    "delete": encode(DeleteItem("item_1")),
    "tell what the agent said": encode(Tell("agent", "Hello")),
    "tell what the caller said": encode(Tell("caller", "Hello?")),
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


def test_a_prompt_is_byte_stable():
    assert session_update(CONFIG) == session_update(CONFIG)
