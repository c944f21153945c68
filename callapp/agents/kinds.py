"""The kinds of agents, and which fields of a file are of use to which. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from callapp.agents.fields import DEFAULT_TRANSCRIBER, LIVE_TRANSCRIBER, Transcription

Kind = Literal["assistant", "interpreter", "captions"]

# What the translation model speaks; it hears many more.
# (developers.openai.com/api/docs/guides/realtime-translation, read 2026-11.)
TRANSLATED_INTO = frozenset(["es", "pt", "fr", "ja", "ru", "zh", "de", "ko", "hi", "id", "vi", "it", "en"])
# They take no voice detection, without which no turn of an agent's caller would ever end.
# (developers.openai.com/api/docs/guides/realtime-transcription, read 2026-11.)
_WITHOUT_VOICE_DETECTION = frozenset({LIVE_TRANSCRIBER, "gpt-realtime-whisper"})

# Fields that not every kind has a use for, and the kinds that have. Where two people talk nobody else
# speaks, and nobody is asked; captions say nothing at all.
_OF_USE_TO: Mapping[str, frozenset[Kind]] = {
    **dict.fromkeys(("voice", "model", "transfer_to", "dtmf"), frozenset({"assistant", "interpreter"})),
    **dict.fromkeys(("opening", "closing", "parameters"), frozenset({"assistant", "captions"})),
    **dict.fromkeys(
        (
            "record",
            "speed",
            "reasoning",
            "greeting",
            "tools",
            "mcp",
            "turn_detection",
            "voicemail",
            "fallback_number",
            "idle",
            "waiting",
            "interruptions",
        ),
        frozenset({"assistant"}),
    ),
    **dict.fromkeys(("languages", "other_party", "original_voice", "engine"), frozenset({"interpreter"})),
    "forward_to": frozenset({"captions"}),
}


def check_kind(kind: Kind, fields: Mapping[str, Any], defaults: Mapping[str, Any]) -> Kind:
    """Whether the fields of a file fit together with its kind.

    Raises:
        ValueError: one belongs to another kind, or is missing.
    """
    for name, kinds in _OF_USE_TO.items():
        if kind not in kinds and name in fields and fields[name] != defaults[name]:
            owners = " or ".join(f"`kind: {one}`" for one in sorted(kinds))
            raise ValueError(f"{kind!r} has no use for {name!r}; expected {owners}, or no {name!r}")
    match kind:
        case "interpreter":
            _check_interpreter(fields)
        case "captions":
            _check_captions(fields)
    transcription = fields.get("transcription")
    if (
        kind != "captions"
        and isinstance(transcription, Transcription)
        and transcription.model in _WITHOUT_VOICE_DETECTION
    ):
        raise ValueError(
            f"{transcription.model!r} cannot tell when a turn ends; expected e.g. "
            f"`transcription: {DEFAULT_TRANSCRIBER}`, or `kind: captions`"
        )
    return kind


def live_transcription(given: object) -> object:
    """What a file of captions says of its transcription, with a model where it names none."""
    if given is None:
        return {"model": LIVE_TRANSCRIBER}
    return {"model": LIVE_TRANSCRIBER, **given} if isinstance(given, Mapping) else given


def _check_interpreter(fields: Mapping[str, Any]) -> None:
    languages = fields.get("languages")
    if languages == ():
        raise ValueError("an interpreter needs two; expected e.g. `languages: [ja, en]` with it")
    strange = sorted(set(languages or ()) - TRANSLATED_INTO)
    if strange and fields.get("engine") == "translation":
        raise ValueError(
            f"the translation model does not speak {strange[0]!r}; expected `engine: realtime`, or "
            f"languages of {', '.join(sorted(TRANSLATED_INTO))}"
        )


def _check_captions(fields: Mapping[str, Any]) -> None:
    if "forward_to" in fields and fields["forward_to"] is None:
        raise ValueError("captions need a call; expected e.g. `forward_to: +8150…` with it")
    if "transcription" in fields and fields["transcription"] is None:
        raise ValueError("captions are a transcription; expected no `transcription: off`")
