"""The model's leg: one OpenAI Realtime session over its socket.

Dialled and received by one thread, the call's downlink, but for what is taken where it is read. Any may send.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from callapp.conversation.commands import TimeSilence
from callapp.conversation.events import (
    AgentSaid,
    AudioArrived,
    AudioEnded,
    CallerSaid,
    LineTaken,
    MessageStarted,
    ModelLost,
    OutputTaken,
    Part,
    RemoteToolCalled,
    RemoteToolRan,
    RemoteToolReturned,
    RequestFailed,
    RequestRefused,
    ResponseEnded,
    ResponseStarted,
    ServiceComplained,
    SessionConfirmed,
    SilenceTimedOut,
    SpeechStarted,
    SpeechStopped,
    ToolCalled,
)
from callapp.errors import BadMessage, LegLost
from callapp.logs import Log
from callapp.realtime.dialling import Endpoint
from callapp.realtime.events import (
    APPEND_HEAD,
    APPEND_TAIL,
    ApprovalAsked,
    ApprovedCall,
    Decoded,
    ListingFailed,
    ModelCommand,
    SessionUpdated,
    SilenceCommitted,
    decode,
    encode,
    encode_approval,
)
from callapp.realtime.messages import Complaint, SessionCreated, wait_ms_of
from callapp.realtime.session import (
    FATAL_CODES,
    SessionConfig,
    session_update,
    shake_hands,
    silence_update,
)
from callapp.realtime.skimming import Skimmer, Urgent, is_needed
from callapp.realtime.socket_leg import SocketLeg
from callapp.websocket.connection import Messages
from callapp.websocket.framing import Binary

ACTIVE_RESPONSE = "conversation_already_has_active_response"
# Races that the protocol cannot avoid; they end nothing.
BENIGN_CODES = frozenset(
    {
        ACTIVE_RESPONSE,
        "response_cancel_not_active",
        "input_audio_buffer_commit_empty",
        "item_truncate_invalid_item_id",
        "unsupported_content_type",
    }
)

ModelEvent = (
    SessionConfirmed
    | SpeechStarted
    | SpeechStopped
    | SilenceTimedOut
    | ResponseStarted
    | MessageStarted
    | OutputTaken
    | LineTaken
    | AgentSaid
    | CallerSaid
    | AudioArrived
    | AudioEnded
    | ToolCalled
    | RemoteToolCalled
    | RemoteToolReturned
    | RemoteToolRan
    | ResponseEnded
    | RequestRefused
    | RequestFailed
    | ServiceComplained
    | ModelLost
)


class ModelLeg(SocketLeg):
    """OpenAI's end of a call."""

    __slots__ = (
        "_approvals",
        "_approved_calls",
        "_config",
        "_confirmed",
        "_silences",
        "_skimmer",
        "_waiting",
    )

    def __init__(self, endpoint: Endpoint, config: SessionConfig, log: Log) -> None:
        super().__init__(endpoint, "model leg", log)
        self._config = config
        self._confirmed = False
        self._approvals: set[str] = set()  # requests that have been answered
        self._approved_calls: set[str] = set()  # items of tools that run outside of any response
        self._silences: set[str] = set()  # items in which nobody speaks
        self._skimmer: Skimmer | None = None
        self._waiting: Messages = []  # what came together with what was returned last

    def listen(self, go_on: Callable[[Part, bytes], bool], hear: Callable[[Urgent], bool]) -> None:
        """Have what is urgent taken where it is read, or received; see `Skimmer`. Before ``dial``."""
        self._skimmer = Skimmer(go_on, hear, time.monotonic)

    def dial(self) -> None:
        """Open the socket and ask for the session; the answer comes through ``receive``.

        Raises:
            LegLost: nobody there, or they do not want us.
        """
        self._connection = self._dialling.connect(self._endpoint)
        self._connection.taker = self._skimmer
        with suppress(LegLost):  # gone already: `receive` tells what they said before
            self._connection.send_text(session_update(self._config))

    def receive(self) -> list[ModelEvent]:
        """Wait for what comes next; ``[]`` when it was nothing that matters, or it is time: see ``rouse``.

        What has piled up is shown to who listens first, in its turn, as where it is read, see `Taker`: were
        each piece of audio read as JSON, a call that has fallen behind would take long to catch up.

        Raises:
            LegLost: the socket is gone, or nothing alive is behind it.
        """
        waiting = self._waiting or self._open_connection.receive()
        skimmer = self._skimmer
        for position, message in enumerate(waiting):
            if isinstance(message, Binary):
                self._log.warning("! model leg: ignored a binary message")
            elif skimmer is not None and skimmer.take(message):
                pass
            elif events := self._on_message(message):
                self._waiting = waiting[position + 1 :]
                return events
        self._waiting = []
        return []

    def _on_message(self, message: bytes) -> list[ModelEvent]:
        """Read a message that nobody has taken."""
        decoded = self._decode(message) if is_needed(message) else None
        match decoded:
            case None:
                return []
            case SessionUpdated() | Complaint():
                return self._on_service(decoded)
            case ApprovalAsked():
                return self._on_approval_asked(decoded)
            case ApprovedCall(item_id=item_id):
                self._approved_calls.add(item_id)
                return []
            case RemoteToolCalled(item_id=item_id) if item_id in self._approved_calls:
                return [replace(decoded, approved=True)]
            case ResponseEnded(status="failed"):
                return self._on_failed(decoded)
            case ListingFailed():
                labels = ", ".join(one.server.server_label for one in self._config.remote_tools)
                self._log.warning("! model leg: a remote server's tools cannot be listed; one of: %s", labels)
                return []
            case SilenceCommitted(item_id=item_id):
                self._silences.add(item_id)
                return [SilenceTimedOut()]
            case CallerSaid(item_id=item_id) if item_id in self._silences:
                # A transcription of silence is made of words that nobody said.
                return [replace(decoded, text="")]
            case SessionCreated(session_id=session_id):
                self._log.info("= model session %s", session_id)
                return []
            case _:
                return [decoded]

    def words(self) -> list[tuple[AgentSaid, float]]:
        """Return what the agent has said since the last time, and when each piece came, by ``monotonic``.

        Of what was taken where it is read. From any thread, one at a time.
        """
        skimmer = self._skimmer  # another thread may let go of it
        if skimmer is None:
            return []
        return [
            (said, at_s)
            for message, at_s in skimmer.take_words()
            if isinstance(said := self._decode(message), AgentSaid)
        ]

    def send(self, command: ModelCommand | TimeSilence) -> None:
        """Carry out a command. Safe from any thread.

        Raises:
            LegLost: the socket is gone, or took nothing for `WRITE_S`.
        """
        if isinstance(command, TimeSilence):
            self._open_connection.send_text(silence_update(self._config, timed=command.on))
        else:
            self._open_connection.send_text(encode(command))

    def send_audio(self, payload: bytes) -> None:
        """Append the caller's audio, base64 of mu-law. As ``send``."""
        assert self._connection is not None, "dial() comes first"
        self._connection.send_text(APPEND_HEAD + payload + APPEND_TAIL)

    def release(self) -> None:
        """Give the socket back to the system, and let go of who listens."""
        super().release()
        self._skimmer = None

    def meaning_of(self, loss: LegLost) -> ModelLost:
        """What a lost socket stands for. What the service said weighs more than the close code."""
        if self._is_refusal(loss):
            return ModelLost("openai.refused", hopeless=True)
        if "session_expired" in f"{self._last_code} {loss.reason}":
            return ModelLost("openai.session_expired")
        if self._connection is None:
            return ModelLost("openai.unreachable")
        return ModelLost("openai.disconnected")

    def _decode(self, message: bytes) -> Decoded | None:
        try:
            return decode(message)
        except BadMessage as error:
            self._log.warning("! model leg: ignored a bad message: %s", error)
            return None

    def _on_approval_asked(self, asked: ApprovalAsked) -> list[ModelEvent]:
        """Answer by the agent file's rule. After a yes the service runs the tool and says so."""
        if asked.request_id in self._approvals:
            return []
        self._approvals.add(asked.request_id)
        approve = self._config.may_call(asked.server_label, asked.name)
        self._log.info(
            "= remote tool %s of %s: %s", asked.name, asked.server_label, "approved" if approve else "refused"
        )
        self._open_connection.send_text(encode_approval(asked.request_id, approve=approve))
        return [] if approve else [RemoteToolReturned()]

    def _on_failed(self, ended: ResponseEnded) -> list[ModelEvent]:
        """A response failed: another one may do better, but not for an account that is out of credit."""
        self._log.warning("! model leg: a response failed: %s", ended.error_code or "no reason given")
        hopeless = ended.error_code in FATAL_CODES
        return [ended, ModelLost("openai.refused", hopeless=True)] if hopeless else [ended]

    def _on_service(self, event: SessionUpdated | Complaint) -> list[ModelEvent]:
        if isinstance(event, Complaint):
            self._note(event, logging.INFO if event.code in BENIGN_CODES else logging.WARNING)
        if not self._confirmed:
            return self._shake_hands(event)
        if isinstance(event, Complaint):
            if event.code in FATAL_CODES:
                return [ModelLost("openai.refused", hopeless=True)]
            if event.code == ACTIVE_RESPONSE and event.event_id is not None:
                return [RequestRefused(event.event_id)]
            if event.code not in BENIGN_CODES:
                complained = ServiceComplained(event.code, event.message)
                # Of all that a session is sent once it stands, only requests for responses have an id.
                if event.event_id is None:
                    return [complained]
                return [complained, RequestFailed(event.event_id, wait_ms_of(event.message))]
        return []

    def _shake_hands(self, event: SessionUpdated | Complaint) -> list[ModelEvent]:
        outcome = shake_hands(event, self._config, time.time())
        if isinstance(outcome, bytes):
            self._open_connection.send_text(outcome)
            return []
        self._confirmed = isinstance(outcome, SessionConfirmed)
        return [] if outcome is None else [outcome]
