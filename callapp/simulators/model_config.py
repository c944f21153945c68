"""The effective configuration of a pretend session: what it starts with, how an update changes it."""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Any

from callapp.simulators.model_errors import ClientError
from callapp.simulators.model_session_schema import (
    VAD_LESS_TRANSCRIBERS,
    NoiseReduction,
    SemanticVad,
    ServerVad,
)

_NOT_REASONING = ("gpt-realtime-1.5", "gpt-realtime-mini", "gpt-realtime-2025", "gpt-4o")


def reasons(model: str) -> bool:
    """Whether a model takes ``reasoning`` and ``parallel_tool_calls``."""
    return model != "gpt-realtime" and not model.startswith(_NOT_REASONING)


def initial(session_id: str, model: str, expires_at: int) -> dict[str, Any]:
    """The session of ``session.created``: everything at the service's defaults.

    ``silence_duration_ms`` starts at the observed 200, not at the documented 500.
    """
    config: dict[str, Any] = {
        "type": "realtime",
        "object": "realtime.session",
        "id": session_id,
        "model": model,
        "expires_at": expires_at,
        "output_modalities": ["audio"],
        "instructions": "Your knowledge cutoff is 2025-08. You are a helpful, witty, and friendly AI.",
        "audio": {
            "input": {
                "format": format_fields("audio/pcm"),
                "noise_reduction": None,
                "transcription": None,
                "turn_detection": ServerVad(type="server_vad").model_dump(),
            },
            "output": {"format": format_fields("audio/pcm"), "voice": "marin", "speed": 1.0},
        },
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "truncation": "auto",
        "tracing": None,
        "prompt": None,
        "include": None,
    }
    if reasons(model):
        config["reasoning"] = {"effort": "low"}
        config["parallel_tool_calls"] = True
    return config


def updated(
    config: dict[str, Any],
    update: dict[str, Any],
    *,
    refused: Collection[str],
    has_spoken: bool,
    responding: bool,
) -> dict[str, Any]:
    """The configuration after an update, or none of it.

    Args:
        config: the one before; it is not changed.
        update: ``session`` of a ``session.update``; it has passed the schema.
        refused: paths below ``session`` that this service does not take, e.g. ``audio.input.transcription``.
        has_spoken: audio has been sent in this session, so that the voice is settled.
        responding: a response is active, so that the speed is settled.

    Raises:
        ClientError: the update contradicts the session or itself.
    """
    for path in refused:
        if _at(update, path) is not None:
            param = f"session.{path}"
            raise ClientError("invalid_value", f"'{param}' is not supported here.", param, blameless=True)
    _check_settled(config, update, has_spoken=has_spoken, responding=responding)
    after = copy.deepcopy(config)
    for name, value in copy.deepcopy(update).items():
        if name == "audio":
            _update_input(after["audio"]["input"], value.get("input", {}))
            _update_output(after["audio"]["output"], value.get("output", {}))
        else:
            after[name] = value
    _check_whole(after)
    return after


def _update_input(current: dict[str, Any], update: dict[str, Any]) -> None:
    for name, value in update.items():
        before = current[name]
        if name == "turn_detection" and value is not None:
            kept = before if before is not None and before["type"] == value["type"] else {}
            kind = ServerVad if value["type"] == "server_vad" else SemanticVad
            current[name] = kind.model_validate({**kept, **value}).model_dump()
        elif name == "noise_reduction" and value is not None:
            kept = {"strength": before["strength"]} if before is not None else {}
            current[name] = NoiseReduction.model_validate({**kept, **value}).model_dump()
        else:
            current[name] = format_fields(value["type"]) if name == "format" else value


def _update_output(current: dict[str, Any], update: dict[str, Any]) -> None:
    for name, value in update.items():
        if name == "format":
            current[name] = format_fields(value["type"])
        elif name == "voice" and isinstance(value, dict):
            current[name] = value["id"]
        else:
            current[name] = value


def format_fields(audio_format: str) -> dict[str, Any]:
    """A format by its name as it stands in a session: PCM has a rate, G.711 has none."""
    return {"type": audio_format, "rate": 24000} if audio_format == "audio/pcm" else {"type": audio_format}


def _check_settled(
    config: dict[str, Any], update: dict[str, Any], *, has_spoken: bool, responding: bool
) -> None:
    """What cannot be changed any more."""
    if update.get("model", config["model"]) != config["model"]:
        raise ClientError("invalid_value", "The model of a session cannot be changed.", "session.model")
    voice = _at(update, "audio.output.voice")
    voice = voice["id"] if isinstance(voice, dict) else voice
    if has_spoken and voice not in (None, config["audio"]["output"]["voice"]):
        words = "Cannot update a conversation's voice if assistant audio is present."
        raise ClientError("cannot_update_voice", words, "session.audio.output.voice")
    speed = _at(update, "audio.output.speed")
    if responding and speed not in (None, config["audio"]["output"]["speed"]):
        words = "Speed can only be changed in between model turns."
        raise ClientError("invalid_value", words, "session.audio.output.speed")
    if config["tracing"] is not None and update.get("tracing", config["tracing"]) != config["tracing"]:
        words = "Tracing cannot be changed once it is enabled."
        raise ClientError("invalid_value", words, "session.tracing")
    for name in ("reasoning", "parallel_tool_calls"):
        if name in update and not reasons(config["model"]):
            param = f"session.{name}"
            words = f"Unsupported parameter: '{param}' is not supported with this model."
            raise ClientError("invalid_value", words, param)


def _check_whole(config: dict[str, Any]) -> None:
    """What must fit together, wherever the parts came from."""
    check_turns(config["audio"]["input"])
    labels = [tool["server_label"] for tool in config["tools"] if tool["type"] == "mcp"]
    if len(labels) != len(set(labels)):
        raise ClientError("invalid_value", "Every MCP server needs a label of its own.", "session.tools")
    check_tool_choice(config["tool_choice"], config["tools"], "session.tool_choice")


def check_turns(settings: dict[str, Any]) -> None:
    """Refuse settings of a session's input by which turns are to be found where words are streamed."""
    model = (settings["transcription"] or {}).get("model")
    if settings["turn_detection"] is not None and model in VAD_LESS_TRANSCRIBERS:
        words = f"Turn detection is not supported with '{model}'."
        raise ClientError("invalid_value", words, "session.audio.input.turn_detection")


def check_tool_choice(choice: Any, tools: list[dict[str, Any]], param: str) -> None:
    """A choice that names a function must name one there is.

    Raises:
        ClientError: it does not.
    """
    names = {tool.get("name") for tool in tools}
    if isinstance(choice, dict) and choice["type"] == "function" and choice["name"] not in names:
        words = f"Tool choice '{choice['name']}' not found in 'tools' parameter."
        raise ClientError("invalid_value", words, param)


def _at(update: dict[str, Any], path: str) -> Any:
    here: Any = update
    for step in path.split("."):
        here = here.get(step) if isinstance(here, dict) else None
    return here
