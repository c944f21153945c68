"""How a pretend session answers: one response at a time, and any number beside the conversation."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from callapp.simulators.model_config import check_tool_choice
from callapp.simulators.model_errors import ClientError
from callapp.simulators.model_items import Item
from callapp.simulators.model_responses import Response
from callapp.simulators.model_script import Ask, Call, McpCall
from callapp.simulators.model_usage import rate_limits, usage

if TYPE_CHECKING:
    from callapp.simulators.model_service import Behaviour
    from callapp.simulators.model_session import Session

_RATE_LIMITS_AFTER_S = 0.04
CROSSING_S = 0.25
"""For the word that a response has begun unasked, or is over, to reach the client: a request of theirs that
does not go with it may be under way."""


class Answering:
    """The mouth of a session; used by the session's thread only."""

    def __init__(self, session: Session, behaviour: Behaviour) -> None:
        self.active: Response | None = None
        self._session = session
        self._behaviour = behaviour
        self._aside: dict[str, Response] = {}
        self._count = 0
        self._tool_outputs: dict[str, str] = {}
        self._remote_outputs: dict[str, str] = {}
        self._cached_tokens = 0
        self._quiet_turn = 0
        self._begun_unheard_until_s = 0.0  # the active response, which nobody asked for
        self._ended_unheard = "", 0.0  # the one before, and until when

    def take_tool_output(self, item: Item) -> None:
        """A tool answered; the next response is told."""
        self._tool_outputs[str(item.tool_call_id)] = item.text

    def take_remote_output(self, item: Item) -> None:
        """A remote tool answered, or failed; the next response is told."""
        error = item.body.get("error") or {}
        self._remote_outputs[str(item.body["name"])] = str(item.body.get("output", error.get("message")))

    def create(self, payload: dict[str, Any]) -> None:
        """Do a client's ``response.create``."""
        if payload.get("conversation") != "none" and self.active is not None:
            words = (
                f"Conversation already has an active response in progress: {self.active.id}. "
                "Wait until the response is finished before creating a new one."
            )
            crossed = monotonic() < self._begun_unheard_until_s
            raise ClientError("conversation_already_has_active_response", words, blameless=crossed)
        for index, item in enumerate(payload.get("input", ())):
            if item["type"] == "item_reference" and self._session.conversation.find(item["id"]) is None:
                words = f"Item with id '{item['id']}' not found."
                raise ClientError("invalid_value", words, f"response.input[{index}].id")
        tools = payload.get("tools", self._session.config["tools"])
        check_tool_choice(payload.get("tool_choice"), tools, "response.tool_choice")
        self._start(payload)

    def cancel(self, response_id: str | None) -> None:
        """Do a client's ``response.cancel``."""
        response = self._aside.get(response_id) if response_id is not None else None
        if response is None and self.active is not None and response_id in (None, self.active.id):
            response = self.active
        if response is None:
            words = "Cancellation failed: no active response found"
            ended_id, until_s = self._ended_unheard
            crossed = response_id in (None, ended_id) and monotonic() < until_s
            raise ClientError("response_cancel_not_active", words, blameless=crossed)
        response.cancel("client_cancelled")

    def on_speech_started(self) -> None:
        """The caller speaks: the active response is interrupted, if it is to be."""
        self._quiet_turn += 1
        detection = self._session.listening.detection
        if detection is not None and detection["interrupt_response"] and self.active is not None:
            self.active.cancel("turn_detected")

    def on_turn_ended(self) -> None:
        """The caller has spoken: he is answered, if that is wanted.

        Like the real service, an utterance that ends while a response goes on is not.
        """
        detection = self._session.listening.detection
        if detection is not None and detection["create_response"] and self.active is None:
            self._start_unasked()

    def usage(self, produced: list[Item]) -> dict[str, Any]:
        """The token counts of a response that ends now."""
        context = [item for item in self._session.conversation if item not in produced]
        counted = usage(self._session.config["instructions"], context, produced, self._cached_tokens)
        self._cached_tokens = counted["input_tokens"]
        return counted

    def _start_unasked(self) -> None:
        self._begun_unheard_until_s = monotonic() + CROSSING_S
        self._start({})

    def _start(self, payload: dict[str, Any]) -> None:
        aside = payload.get("conversation") == "none"
        heard: str = ""
        clips: tuple[str, ...] = ()
        tool_outputs: dict[str, str] = {}
        remote_outputs: dict[str, str] = {}
        if not aside:
            self._count += 1
            self._quiet_turn += 1
            heard, clips = self._session.listening.take_heard()
            tool_outputs, self._tool_outputs = self._tool_outputs, {}
            remote_outputs, self._remote_outputs = self._remote_outputs, {}
        ask = Ask(self._count, heard, clips, tool_outputs, remote_outputs, payload, self._session)
        outputs = self._behaviour.script.answer(ask)
        if payload.get("tool_choice", self._session.config["tool_choice"]) == "none":
            outputs = [output for output in outputs if not isinstance(output, Call | McpCall)]
        response = Response(self._session, ask, outputs, self._on_done)
        if aside:
            self._aside[response.id] = response
        else:
            self.active = response
        response.advance()

    def _on_done(self, response: Response) -> None:
        emit = self._session.emit
        self._session.later(
            _RATE_LIMITS_AFTER_S, lambda: emit("rate_limits.updated", rate_limits=rate_limits())
        )
        if not response.in_conversation:
            del self._aside[response.id]
            return
        self.active = None
        self._begun_unheard_until_s = 0.0
        self._ended_unheard = response.id, monotonic() + CROSSING_S
        detection = self._session.listening.detection
        idle_ms = None if detection is None else detection.get("idle_timeout_ms")
        if idle_ms is not None:
            # The service cannot hear the playback end; it adds the audio's length instead.
            turn, since_ms = self._quiet_turn, self._session.listening.heard_ms
            self._session.later((response.audio_ms + idle_ms) / 1000, lambda: self._on_idle(turn, since_ms))

    def _on_idle(self, turn: int, since_ms: int) -> None:
        detection = self._session.listening.detection
        wanted = detection is not None and detection.get("idle_timeout_ms") is not None
        if wanted and turn == self._quiet_turn and self.active is None:
            self._session.listening.commit_silence(since_ms)
            self._start_unasked()
