"""A pretend OpenAI Realtime API: strict, GA only, on a loopback port, with no account.

    with PretendModel(Script(Say("Hello!"), [Say("Bye."), Call("end_call")])) as model:
        ...                                     # connect to model.url, with any bearer key
        session = model.wait_for_session()
        update = session.expect("session.update")
        session.wait_for(lambda: session.items)
        assert session.violations == []

It holds every client event against the published reference, hears with an energy-based voice
detection what is really said to it, knows recordings by their bytes, and can go wrong on demand.

Threads: one accepts connections, one serves each connection. ``close`` ends and joins them all.
"""

from __future__ import annotations

import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import parse_qs, urlsplit

from callapp.simulators.model_faults import MODELS, TRANSLATORS, Fault, Refusal, Reset, refusal_of
from callapp.simulators.model_items import new_id
from callapp.simulators.model_mcp import McpServer
from callapp.simulators.model_record import WAIT_S
from callapp.simulators.model_script import Pace, Script
from callapp.simulators.model_service import Behaviour, ServedSession
from callapp.simulators.model_session import Session
from callapp.simulators.model_wire import Wire
from callapp.simulators.speech import Speech

if TYPE_CHECKING:
    from callapp.simulators.model_transcription import TranscriptionSession
    from callapp.simulators.model_translation import Translating, TranslationSession

T = TypeVar("T")

PATH = "/v1/realtime"
TRANSLATIONS_PATH = f"{PATH}/translations"
_REQUEST_S = 5.0
_JOIN_S = 5.0


class PretendModel:
    """A server that speaks the Realtime protocol.

    Args:
        script: what it answers; every session starts it anew.
        port: to listen on, at 127.0.0.1; 0 takes a free one.
        api_key: the only valid key; ``None`` takes any.
        models: those that can be connected to.
        credit: whether the account has any left.
        speech: the recordings it knows.
        pace: how responses come out, where an output does not say.
        refuse_fields: paths of a session that are refused, e.g. ``"audio.input.transcription"``.
        confirm_after_ms: from a ``session.update`` to ``session.updated``; ``None`` never confirms.
        confirm_format: a format confirmed, and used, whatever was asked for, e.g. ``"audio/pcm"``.
        transcript_after_ms: from a commit to its transcript.
        mcp_servers: the MCP servers there are in its world, by URL.
        lives_s: lifetime of a session.
        ping_every_s: how often it pings; a ping unanswered until the next one ends the session.
        keep_audio: ``False`` records neither appends nor audio deltas, for long and many calls.
        translating: how its translation sessions behave.
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        port: int = 0,
        api_key: str | None = None,
        models: Collection[str] = MODELS,
        credit: bool = True,
        speech: Speech | None = None,
        pace: Pace | None = None,
        refuse_fields: Collection[str] = (),
        confirm_after_ms: int | None = 0,
        confirm_format: str | None = None,
        transcript_after_ms: int = 100,
        mcp_servers: Mapping[str, McpServer] | None = None,
        lives_s: float = 3600,
        ping_every_s: float = 20,
        keep_audio: bool = True,
        translating: Translating | None = None,
    ) -> None:
        self.behaviour = Behaviour(
            script=script or Script(),
            speech=speech or Speech(),
            pace=pace or Pace(),
            refuse_fields=frozenset(refuse_fields),
            confirm_after_ms=confirm_after_ms,
            confirm_format=confirm_format,
            transcript_after_ms=transcript_after_ms,
            mcp_servers=dict(mcp_servers or {}),
            lives_s=lives_s,
            ping_every_s=ping_every_s,
            keep_audio=keep_audio,
        )
        self.credit = credit
        self._translating = translating
        self._api_key = api_key
        self._models = frozenset(models)
        self._changed = threading.Condition()
        self._sessions: list[Session] = []
        self._translations: list[TranslationSession] = []
        self._transcriptions: list[TranscriptionSession] = []
        self._handed_out = 0
        self._attempts = 0
        self._refused: list[Refusal | Reset | int] = []
        self._refuse_next: deque[Refusal | Reset | int] = deque()
        self._faults: list[tuple[str, Fault]] = []
        # Not ``_changed``: it is taken while a session is locked, and a predicate of ``wait_for`` may
        # look into a session.
        self._faults_lock = threading.Lock()
        self._connections: dict[threading.Thread, Callable[[], None]] = {}
        self._closing = False
        self._listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self._listener.setblocking(False)
        self._waker, self._wakened = socket.socketpair()
        self.port = int(self._listener.getsockname()[1])
        self.url = f"ws://127.0.0.1:{self.port}{PATH}"
        self._acceptor = threading.Thread(target=self._accept, name="pretend-model", daemon=True)
        self._acceptor.start()

    def __enter__(self) -> PretendModel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def sessions(self) -> list[Session]:
        """All sessions with a model there have been, in order."""
        return list(self._sessions)

    @property
    def translations(self) -> list[TranslationSession]:
        """All translation sessions there have been, in order."""
        return list(self._translations)

    @property
    def transcriptions(self) -> list[TranscriptionSession]:
        """All transcription sessions there have been, in order."""
        return list(self._transcriptions)

    @property
    def attempts(self) -> int:
        """How many connections were tried, refused ones included."""
        return self._attempts

    @property
    def refused(self) -> list[Refusal | Reset | int]:
        """The connections that were refused, and how."""
        return list(self._refused)

    def wait_for(self, predicate: Callable[[], T], timeout: float = WAIT_S) -> T:
        """Wait until something holds of the model's connections; return what the predicate returned.

        Raises:
            TimeoutError: it did not come to hold in time.
        """
        with self._changed:
            result = self._changed.wait_for(predicate, timeout)
            if not result:
                raise TimeoutError(f"not within {timeout} s; there were {self._attempts} connections")
            return result

    def wait_for_session(self, timeout: float = WAIT_S) -> Session:
        """The next session that no earlier call has returned.

        Raises:
            TimeoutError: none was opened in time.
        """
        with self._changed:
            self.wait_for(lambda: len(self._sessions) > self._handed_out, timeout)
            self._handed_out += 1
            return self._sessions[self._handed_out - 1]

    def refuse_next(self, how: Refusal | Reset | int, times: int = 1) -> None:
        """Refuse connections to come: by an error and a close, by a RST, or by an HTTP status."""
        self._refuse_next.extend([how] * times)

    def fail_on(self, event_type: str, fault: Fault, times: int = 1) -> None:
        """Let a fault strike in place of the next client event of a type, in whichever session."""
        with self._faults_lock:
            self._faults += [(event_type, fault)] * times

    def close(self) -> None:
        """End every session (1001) and the server; no thread and no socket of it is left."""
        if self._closing:
            return
        self._closing = True
        self._waker.send(b"w")
        self._acceptor.join(_JOIN_S)
        with self._changed:
            connections = dict(self._connections)
        for end in connections.values():
            end()
        for thread in connections:
            thread.join(_JOIN_S)
        for sock in (self._listener, self._waker, self._wakened):
            sock.close()

    # The accepting thread

    def _accept(self) -> None:
        poller = select.poll()
        poller.register(self._listener, select.POLLIN)
        poller.register(self._wakened, select.POLLIN)
        while not self._closing:
            poller.poll()
            try:
                sock, _ = self._listener.accept()
            except OSError:
                continue  # It went away again, or there was none: the server closes.
            self._admit(Wire(sock))

    def _admit(self, wire: Wire) -> None:
        with self._changed:
            self._attempts += 1
            number = self._attempts
            how = self._refuse_next.popleft() if self._refuse_next else None
            thread = threading.Thread(
                target=self._serve, args=(wire, how), name=f"pretend-model-{number}", daemon=True
            )
            self._connections[thread] = wire.hang_up
            self._changed.notify_all()
        thread.start()

    # A connection's thread

    def _serve(self, wire: Wire, how: Refusal | Reset | int | None) -> None:
        try:
            if isinstance(how, Reset):
                self._note_refused(how)
                wire.reset()
            elif wire.await_request(_REQUEST_S):
                self._greet(wire, how)
        finally:
            wire.shut()
            with self._changed:
                del self._connections[threading.current_thread()]

    def _greet(self, wire: Wire, how: Refusal | int | None) -> None:
        url = urlsplit(wire.path)
        if url.path not in (PATH, TRANSLATIONS_PATH):
            how = 404
        if isinstance(how, int):
            wire.reject(how)
            self._note_refused(how)
            self._see_out(wire)
            return
        if not wire.accept():
            self._see_out(wire)
            return
        query = parse_qs(url.query)
        kind = "translation" if url.path == TRANSLATIONS_PATH else query.get("intent", [""])[0]
        how = how or refusal_of(
            wire.request_headers,
            query,
            api_key=self._api_key,
            models=TRANSLATORS if kind == "translation" else self._models,
            credit=self.credit,
        )
        if how is not None:
            self._refuse(wire, how)
            return
        with self._changed:
            session = self._open(wire, kind, query)
            self._connections[threading.current_thread()] = session.leave
            self._changed.notify_all()
        session.run()

    def _open(self, wire: Wire, kind: str, query: dict[str, list[str]]) -> ServedSession:
        """Make the session that is asked for; with the lock held.

        Those that need numpy are imported when they are: a server that stands in for OpenAI never does.
        """
        behaviour, fault_on = self.behaviour, self._fault_on
        match kind:
            case "translation":
                from callapp.simulators.model_translation import Translating, TranslationSession

                translating = self._translating or Translating()
                translation = TranslationSession(wire, query["model"][0], behaviour, translating, fault_on)
                self._translations.append(translation)
                return translation
            case "transcription":
                from callapp.simulators.model_transcription import TranscriptionSession

                transcription = TranscriptionSession(wire, behaviour, fault_on)
                self._transcriptions.append(transcription)
                return transcription
            case _:
                session = Session(wire, query["model"][0], behaviour, fault_on)
                self._sessions.append(session)
                return session

    def _refuse(self, wire: Wire, how: Refusal) -> None:
        error = {"type": how.type, "code": how.code, "message": how.message, "param": None, "event_id": None}
        wire.send_event({"type": "error", "event_id": new_id("event"), "error": error})
        wire.close(how.close_code, how.reason)
        self._note_refused(how)
        self._see_out(wire)

    def _see_out(self, wire: Wire) -> None:
        while wire.alive:
            wire.exchange(None)

    def _note_refused(self, how: Refusal | Reset | int) -> None:
        with self._changed:
            self._refused.append(how)
            self._changed.notify_all()

    def _fault_on(self, event_type: str) -> Fault | None:
        with self._faults_lock:
            for index, (wanted, fault) in enumerate(self._faults):
                if wanted == event_type:
                    del self._faults[index]
                    return fault
        return None
