"""One session of the pretend model: what a client's event does, and what follows by itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from callapp.simulators import model_config, ulaw
from callapp.simulators.clips import Clip
from callapp.simulators.model_answering import Answering
from callapp.simulators.model_errors import ClientError, decode_audio
from callapp.simulators.model_faults import Fault
from callapp.simulators.model_items import Conversation, Item
from callapp.simulators.model_listening import Listening
from callapp.simulators.model_mcp import Mcp
from callapp.simulators.model_schema import CLIENT_EVENTS
from callapp.simulators.model_script import Pace, Say
from callapp.simulators.model_service import Behaviour, ServedSession
from callapp.simulators.model_wire import Wire
from callapp.simulators.speech import babble_clip

_SHORTEST_MS = 200
"""However short the text, it takes this long to say."""


class Session(ServedSession):
    """A client that talks to a model."""

    events = CLIENT_EVENTS
    audio_events = frozenset({"input_audio_buffer.append", "response.output_audio.delta"})

    def __init__(
        self,
        wire: Wire,
        model: str,
        behaviour: Behaviour,
        fault_on: Callable[[str], Fault | None],
    ) -> None:
        super().__init__(wire, behaviour, fault_on)
        self.conversation = Conversation()
        self.config = model_config.initial(self.id, model, int(time.time() + behaviour.lives_s))
        self.listening = Listening(self, behaviour)
        self.answering = Answering(self, behaviour)
        self.mcp = Mcp(self, behaviour.mcp_servers)
        self._has_spoken = False

    # For whoever looks on

    @property
    def items(self) -> list[Item]:
        """The conversation."""
        with self.changed:
            return list(self.conversation)

    @property
    def responding(self) -> bool:
        """Whether a response to the default conversation is active."""
        return self.answering.active is not None

    # The session's thread

    def emit(self, event_type: str, **fields: Any) -> None:
        """Send an event."""
        self._has_spoken |= event_type == "response.output_audio.delta"
        super().emit(event_type, **fields)

    def _handle(self, event: dict[str, Any]) -> None:
        match event["type"]:
            case "input_audio_buffer.append":
                audio = decode_audio(event["audio"], "audio")
                self._keep(audio)
                self.listening.append(audio)
            case "input_audio_buffer.commit":
                self.listening.commit_by_hand()
            case "input_audio_buffer.clear":
                self.listening.clear()
            case "session.update":
                self._update(event["session"])
            case "conversation.item.create":
                self._create_item(event["item"], event.get("previous_item_id"))
            case "conversation.item.retrieve":
                item = self.conversation.retrieve(event["item_id"])
                self.emit("conversation.item.retrieved", item=item.wire_with_audio(self.input_format))
            case "conversation.item.truncate":
                told = {name: event[name] for name in ("item_id", "content_index", "audio_end_ms")}
                self.conversation.truncate(**told)
                self.emit("conversation.item.truncated", **told)
            case "conversation.item.delete":
                self.conversation.delete(event["item_id"])
                self.emit("conversation.item.deleted", item_id=event["item_id"])
            case "response.create":
                self.answering.create(event.get("response", {}))
            case "response.cancel":
                self.answering.cancel(event.get("response_id"))
            case kind:
                raise ClientError("invalid_value", f"'{kind}' is for WebRTC and SIP only.", "type")

    # The configuration

    @property
    def input_format(self) -> str:
        """The format appended audio is in, e.g. ``audio/pcmu``."""
        return str(self.config["audio"]["input"]["format"]["type"])

    def _update(self, update: dict[str, Any]) -> None:
        self.config = model_config.updated(
            self.config,
            self.mcp.completed(update),
            refused=self._behaviour.refuse_fields,
            has_spoken=self._has_spoken,
            responding=self.responding,
        )
        if self._behaviour.confirm_format is not None:
            for side in self.config["audio"].values():
                side["format"] = model_config.format_fields(self._behaviour.confirm_format)
        self.listening.configured()
        if self._behaviour.confirm_after_ms == 0:
            self.emit("session.updated", session=self.config)
        elif self._behaviour.confirm_after_ms is not None:
            effective = self.config
            self.later(
                self._behaviour.confirm_after_ms / 1000,
                lambda: self.emit("session.updated", session=effective),
            )
        self.mcp.configured()

    # Items

    def _create_item(self, body: dict[str, Any], after: str | None) -> None:
        audio = bytearray()
        body = {**body, "content": [dict(part) for part in body["content"]]} if "content" in body else body
        for index, part in enumerate(body.get("content", ())):
            if part["type"] == "input_audio":
                sent = decode_audio(part.pop("audio"), f"item.content[{index}].audio")
                audio += ulaw.to_ulaw(sent, self.input_format)
        item = Item({name: value for name, value in body.items() if value is not None}, bytes(audio))
        previous = self.conversation.create(item, after)
        if item.type == "function_call_output":
            self.answering.take_tool_output(item)
        self.emit("conversation.item.added", item=item.wire(), previous_item_id=previous)
        self.emit("conversation.item.done", item=item.wire(), previous_item_id=previous)
        if item.type == "mcp_approval_response":
            request = self.conversation.find(str(item.body["approval_request_id"]))
            assert request is not None
            self.mcp.approved(request, item)

    # What responses need of the session

    @property
    def pace(self) -> Pace:
        return self._behaviour.pace

    def clip_of(self, say: Say) -> Clip:
        """The recording of what is to be said; tones where there is none."""
        if isinstance(say.words, Clip):
            return say.words
        known = self._behaviour.speech.get(say.words)
        if known is not None:
            return known
        # A syllable takes about 150 ms: a Japanese character, or two and a half Latin letters.
        estimate_ms = sum(60 if character.isascii() else 150 for character in say.words)
        return babble_clip("", say.words, max(say.duration_ms or estimate_ms, _SHORTEST_MS))
