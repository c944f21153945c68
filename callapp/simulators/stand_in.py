"""The model that answers the browser phone where no OpenAI key is set: a pretend one, in this process."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from callapp.simulators.model_script import Ask, Call, Output, Pace, Say, Script
from callapp.simulators.speech import Speech

if TYPE_CHECKING:
    from callapp.simulators.model import PretendModel

MODEL = "gpt-realtime-2.1"
API_KEY = "sk-pretend"
# How callapp tells the model of the keys that were pressed.
_KEYS = re.compile(r"\[keys pressed: ([0-9*# ]+)\]")
_GOODBYE = (Say("agent-goodbye"), Call("end_call", {"reason": "用件が済んだ"}))


class StandIn:
    """A pretend model, started when it is first needed. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._model: PretendModel | None = None
        self._closed = False

    def url(self) -> str:
        """Where it is.

        Raises:
            RuntimeError: the application is closing.
        """
        from callapp.simulators.model import PretendModel  # Most servers never need it.

        with self._lock:
            if self._closed:
                raise RuntimeError("the stand-in was closed")
            if self._model is None:
                self._model = PretendModel(
                    script(),
                    api_key=API_KEY,
                    speech=Speech.bundled(),
                    pace=Pace(speed=6, first_delta_after_ms=80),
                    transcript_after_ms=30,
                    keep_audio=False,
                )
            return self._model.url

    def close(self) -> None:
        """End its sessions and its thread."""
        with self._lock:
            self._closed = True
            model, self._model = self._model, None
        if model is not None:
            model.close()


def script() -> Script:
    """A short conversation of recorded Japanese: greeting, answer, change, goodbye. Keys are read back."""
    return Script(Say("agent-greeting"), otherwise=_answer)


def _answer(ask: Ask) -> Sequence[Output]:
    spoken = [item.text for item in ask.session.conversation if item.role == "user"]
    keys = _KEYS.fullmatch(spoken[-1]) if spoken else None
    digits = re.sub(r"\D", "", keys[1]) if keys else ""
    if digits:
        return [Say(f"agent-digit-{digit}") for digit in digits[:8]]
    # Counted without the keys, which can come at any time.
    turns = sum(1 for text in spoken if not _KEYS.fullmatch(text))
    match turns:
        case 1:
            return [Say("agent-preamble", phase="commentary"), Say("agent-answer", phase="final_answer")]
        case 2:
            return [Say("agent-change")]
        case _:
            can_end = any(tool.get("name") == "end_call" for tool in ask.session.config["tools"])
            return _GOODBYE if can_end else _GOODBYE[:1]
