"""Those who judge what is sent to OpenAI, and by it: the ``openai`` package's own types."""

from __future__ import annotations

from typing import Any

from openai.types.realtime import RealtimeClientEvent
from openai.types.realtime.realtime_translation_client_event import RealtimeTranslationClientEvent
from pydantic import BaseModel, TypeAdapter

JUDGE: TypeAdapter[Any] = TypeAdapter(RealtimeClientEvent)
OF_TRANSLATIONS: TypeAdapter[Any] = TypeAdapter(RealtimeTranslationClientEvent)


def unknown_fields(value: object, path: str = "") -> list[str]:
    """Paths of all fields that the types do not know."""
    found: list[str] = []
    if isinstance(value, BaseModel):
        found += [f"{path}.{name}" for name in value.model_extra or {}]
        for name in type(value).model_fields:
            found += unknown_fields(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, list):
        for position, item in enumerate(value):
            found += unknown_fields(item, f"{path}[{position}]")
    return found


def faults(event: dict[str, Any], judge: TypeAdapter[Any] = JUDGE) -> list[str]:
    """What is wrong with a client event: it is not valid, taken for another, or has unknown fields."""
    judged = judge.validate_python(event)
    found = [f"{event['type']}{path} is unknown" for path in unknown_fields(judged)]
    # Types that were silently taken for another event would drop fields: what goes in comes out.
    if judged.type != event["type"]:
        found.append(f"{event['type']} was taken for {judged.type}")
    return found
