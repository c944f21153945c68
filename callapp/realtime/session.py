"""The session we ask OpenAI for, and the handshake until it is confirmed. Pure.

One ``session.update`` with all we want. If the service rejects a part of it, nothing of it applies
(observed 2026-11), so one more follows with the essential parts alone. Audio is let through only
once a ``session.updated`` has confirmed mu-law both ways: a model that speaks another format
would be heard as static.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from callapp.agents.fields import McpServer, Transcription, TurnDetection
from callapp.conversation.events import ModelLost, SessionConfirmed
from callapp.realtime.events import SessionUpdated
from callapp.realtime.messages import FIRST_UPDATE, SECOND_UPDATE, Complaint, encode_update

PCMU = "audio/pcmu"

# With these, a new connection or another try would fare no better.
# (developers.openai.com/api/docs/guides/realtime-websocket; close reasons observed 2026-11.)
FATAL_CODES = frozenset(
    {
        "invalid_api_key",
        "missing_model",
        "invalid_model",
        "model_not_found",
        "beta_api_shape_disabled",
        "insufficient_quota",
        "credit_balance_exhausted",
        "account_deactivated",
        "billing_hard_limit_reached",
    }
)


@dataclass(frozen=True)
class RemoteTools:
    """An MCP server, and the token that it wants to see, if any. The token is never logged."""

    server: McpServer
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class SessionConfig:
    """What an agent wants of its session.

    Args:
        instructions: the agent's prompt, filled in.
        voice: one of OpenAI's voices.
        language: of the agent, e.g. ``ja-JP``; its first part guides the transcription, unless that
            names its own.
        tools: function definitions as the API takes them.
        remote_tools: MCP servers, which OpenAI calls by itself.
        speed: 0.25 to 1.5; ``None`` for the voice's own.
        reasoning: how much the model thinks before it speaks; ``None`` leaves it to the model.
        transcription: ``None`` for none: the caller's words are then not known here.
        noise_reduction: ``near_field``, ``far_field`` or ``None``.
        answers_turns: whether each turn of the caller is answered by itself; else only when asked.
        silence_ms: a silence that the service is to break, 5,000 to 30,000; ``server_vad`` alone can.
    """

    instructions: str
    voice: str
    language: str
    tools: Sequence[dict[str, Any]] = field(default_factory=tuple)
    remote_tools: Sequence[RemoteTools] = ()
    speed: float | None = None
    reasoning: str | None = None
    transcription: Transcription | None = field(default_factory=Transcription)
    turn_detection: TurnDetection = field(default_factory=TurnDetection)
    noise_reduction: str | None = None
    answers_turns: bool = True
    silence_ms: int | None = None

    def may_call(self, server_label: str, name: str) -> bool:
        """Whether a remote tool that OpenAI asks for approval of may run."""
        return any(
            name in remote.server.approve
            for remote in self.remote_tools
            if remote.server.server_label == server_label
        )


def session_update(config: SessionConfig, *, essential: bool = False) -> bytes:
    """Write the ``session.update`` for a config; ``essential`` leaves out what may be rejected."""
    audio_input = _input(config, essential=essential)
    audio_output: dict[str, Any] = {"format": {"type": PCMU}}
    session: dict[str, Any] = {
        "type": "realtime",
        "output_modalities": ["audio"],
        "instructions": config.instructions,
        "audio": {"input": audio_input, "output": audio_output},
        "tools": list(config.tools),
        "tool_choice": "auto",
    }
    if not essential:
        audio_output["voice"] = config.voice
        if config.speed is not None:
            audio_output["speed"] = config.speed
        if config.reasoning is not None:
            session["reasoning"] = {"effort": config.reasoning}
        session["tools"] += [_mcp(remote) for remote in config.remote_tools]
    return encode_update(session, essential=essential)


def silence_update(config: SessionConfig, *, timed: bool) -> bytes:
    """Write the ``session.update`` that switches the service's timer for silences on, or off.

    All of the input is said again: what else an update of a part of it would leave alone is not documented.
    """
    audio_input = _input(config, essential=False, timed=timed)
    session = {"type": "realtime", "audio": {"input": audio_input}}
    return orjson.dumps({"type": "session.update", "session": session})


def _input(config: SessionConfig, *, essential: bool, timed: bool = True) -> dict[str, Any]:
    turn_detection: dict[str, Any] = {
        "type": "server_vad" if essential else config.turn_detection.type,
        "create_response": config.answers_turns,
        # Whether speech interrupts is decided here, where it is known what was heard.
        "interrupt_response": False,
    }
    audio_input: dict[str, Any] = {"format": {"type": PCMU}, "turn_detection": turn_detection}
    if not essential:
        turn_detection |= _turns(config.turn_detection)
        if config.silence_ms is not None:
            turn_detection["idle_timeout_ms"] = config.silence_ms if timed else None
        if config.transcription is not None:
            audio_input["transcription"] = transcription_fields(config.transcription, config.language)
        if config.noise_reduction is not None:
            audio_input["noise_reduction"] = {"type": config.noise_reduction}
    return audio_input


def _turns(turns: TurnDetection) -> dict[str, Any]:
    if turns.type == "semantic_vad":
        return {"eagerness": turns.eagerness}
    return {
        "threshold": turns.threshold,
        "prefix_padding_ms": turns.prefix_padding_ms,
        # Always said: the service's own value is not the documented one (observed 2026-11).
        "silence_duration_ms": turns.silence_duration_ms,
    }


def transcription_fields(wanted: Transcription, language: str) -> dict[str, Any]:
    """How somebody's words are to be written down, as the API takes it.

    Args:
        language: the agent's, for those who name none.
    """
    codes = list(wanted.language) or [language.partition("-")[0].lower()]
    written: dict[str, Any] = {"model": wanted.model}
    if wanted.takes_lists:
        written["languages"] = codes
    else:  # the older ones take one language, under another name
        written["language"] = codes[0]
    if wanted.keywords:
        written["keywords"] = list(wanted.keywords)
    return written


def _mcp(remote: RemoteTools) -> dict[str, Any]:
    server = remote.server
    written: dict[str, Any] = {
        "type": "mcp",
        "server_label": server.server_label,
        "server_url": server.server_url,
        "require_approval": server.require_approval,
    }
    if server.allowed_tools:
        written["allowed_tools"] = list(server.allowed_tools)
    if remote.token is not None:
        written["authorization"] = remote.token
    return written


def spoken_instructions(words: str, language: str) -> str:
    """What makes the model say these words and no others."""
    return f"Say exactly this, in {language}, and nothing else: {words}"


def shake_hands(
    event: SessionUpdated | Complaint, config: SessionConfig, now_s: float
) -> bytes | SessionConfirmed | ModelLost | None:
    """What is to be done about the service's word, until the session is confirmed.

    Args:
        now_s: Unix time, in which the service says when it will end the session.

    Returns:
        A further message to send, how it came out, or ``None`` if that was no answer.
    """
    if isinstance(event, SessionUpdated):
        if not _speaks_pcmu(event.session):
            return ModelLost("openai.not_pcmu", hopeless=True)
        return SessionConfirmed(_lasts_ms(event.session, now_s), _times_silence(event.session))
    if event.code in FATAL_CODES:
        return ModelLost("openai.refused", hopeless=True)
    if event.event_id == SECOND_UPDATE:
        return ModelLost("openai.session_rejected", hopeless=True)
    # What answers no update of ours refuses none: that one's own answer is still to come.
    return session_update(config, essential=True) if event.event_id == FIRST_UPDATE else None


def _speaks_pcmu(session: dict[str, Any]) -> bool:
    try:
        audio = session["audio"]
        return all(audio[way]["format"]["type"] == PCMU for way in ("input", "output"))
    except (KeyError, TypeError):
        return False


def _times_silence(session: dict[str, Any]) -> bool:
    turn_detection = session["audio"]["input"].get("turn_detection")
    return isinstance(turn_detection, dict) and bool(turn_detection.get("idle_timeout_ms"))


def _lasts_ms(session: dict[str, Any], now_s: float) -> float | None:
    expires_at = session.get("expires_at")
    return (expires_at - now_s) * 1000 if isinstance(expires_at, int) and expires_at > now_s else None
