"""Fields of an agent that have fields of their own: how it deals with silence and with noise."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints


class Idle(BaseModel):
    """What happens when nobody speaks. ``nudge_seconds: 0`` lets a silence last."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    nudge_seconds: Annotated[float, Field(strict=True, ge=0, le=3600)] = 15


class Interruptions(BaseModel):
    """What may cut the agent short.

    ``most_in_30_seconds: 0`` sets no limit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_speech_ms: Annotated[int, Field(strict=True, ge=0, le=5000)] = 0
    most_in_30_seconds: Annotated[int, Field(strict=True, ge=0, le=100)] = 4
    noise_line: Annotated[str, StringConstraints(strict=True, strip_whitespace=True, min_length=1)] | None = (
        None
    )
