"""The stage for tests of the whole: callapp under a real gunicorn, a pretend Twilio and a pretend OpenAI.

A `Server` is started once and serves many tests. Each test plays a `Scene` on it: a Twilio and an OpenAI of
its own, at the addresses that the server knows. When a scene is over, what has to hold of every call is
checked: nobody broke a protocol, every frame to OpenAI has its judges' blessing, each call that lived has
one line that says why it ended, nothing secret was logged, and the server's threads and file descriptors
are as many as they were.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Condition, Event, Thread
from typing import Any
from xml.etree import ElementTree

import pytest
from twilio.request_validator import RequestValidator

from callapp.simulators import webhooks
from callapp.simulators.carrier_account import OwnNumber
from callapp.simulators.clips import Clip
from callapp.simulators.model import PretendModel
from callapp.simulators.model_script import INSTANT, Script
from callapp.simulators.model_service import ServedSession
from callapp.simulators.model_session import Session
from callapp.simulators.phone import Call, Callee, Carrier
from callapp.simulators.speech import babble_clip
from tests import judges
from tests.databases import sqlite_at

ROOT = Path(__file__).parent.parent
DEADLINE_S = 20
"""For anything that has to happen; far more than it takes."""

ACCOUNT_SID = "AC" + "5" * 32
AUTH_TOKEN = "stage-auth-token-0123456789abcdef"
OPENAI_KEY = "sk-stage-0123456789abcdef"
API_KEY = "stage-api-key"
CRM_TOKEN = "stage-crm-token-0123456789abcdef"
HTTP_THREADS = 16
"""Threads of gunicorn's beyond those for calls."""
OUR_NUMBER = "+15005550006"
THEIR_NUMBER = "+819012345678"
OTHER_NUMBER = "+442079460000"
"""Of the other person, where two are to talk."""
SALES_NUMBER = "+819011112222"
"""To whom the agent `clerk` transfers."""
SECRETS = (
    AUTH_TOKEN,
    OPENAI_KEY,
    API_KEY,
    CRM_TOKEN,
    *(form for number in (OUR_NUMBER, THEIR_NUMBER, SALES_NUMBER) for form in (number, number[1:])),
)

HUNG_UP = {"caller.hung_up", "twilio.completed"}
"""Of a call that we placed, `stop` and the status callback tell the same; the first to be heard names it."""

END_LINE = re.compile(r"(CA[0-9a-f]{32}).*x call ended: (\S+) after ([0-9.]+) s")
LIVE_LINE = re.compile(r"(CA[0-9a-f]{32}).*= call live")

AGENTS = {
    "quiet": "---\nlanguage: en-US\nclosing: That was all.\ntools: [end_call]\n---\nYou answer the phone.\n",
    "bare": "---\nlanguage: en-US\n---\nYou answer the phone.\n",
    "host": (
        "---\nlanguage: en-US\ngreeting: Welcome!\nclosing: That was all.\ntools: [end_call]\n---\n"
        "You answer the phone.\n"
    ),
    "named": "---\nlanguage: en-US\ntools: []\n---\nYou speak with {{ name }}, who is {{ age }}.\n",
    "handy": (
        "---\nlanguage: en-US\nclosing: That was all.\ntools: [end_call, opening_hours, breaks, waits]\n---\n"
        "You have tools.\n"
    ),
    "caller": (
        "---\nlanguage: en-US\ngreeting: Hello, this is the clinic.\ntools: [end_call, report_voicemail]\n"
        "voicemail: This is the clinic, about {{ name }}'s appointment. Please call us back.\n---\n"
        "You call patients.\n"
    ),
    "shy": "---\nlanguage: en-US\ntools: [end_call]\nvoicemail: hang_up\n---\nYou call people.\n",
    "known": (
        "---\nlanguage: en-US\ntools: [end_call, report_voicemail]\nvoicemail: Please call us back.\n---\n"
        "You talk to people.\n"
    ),
    "remote": (
        "---\nlanguage: en-US\ntools: [end_call]\nmcp:\n"
        "  - {server_label: crm, server_url: 'https://crm.example.com/mcp', approve: [find_customer], "
        "authorization: STAGE_CRM_TOKEN}\n"
        "  - {server_label: stock, server_url: 'https://stock.example.com/mcp', require_approval: never, "
        "allowed_tools: [count]}\n---\nYou look things up.\n"
    ),
    "clerk": (
        "---\nlanguage: en-US\nclosing: That was all.\ntools: [end_call, transfer_call, send_digits]\n"
        "transfer_to: {sales: +819011112222, support: +819033334444}\n---\nYou answer the phone.\n"
    ),
    "taped-walker": (
        "---\nlanguage: en-US\ntools: [end_call, send_digits]\nrecord: ours\n---\nYou call a shop.\n"
    ),
    "walker": "---\nlanguage: en-US\ntools: [end_call, send_digits]\n---\nYou call a shop.\n",
    "whistler": (
        "---\nlanguage: en-US\ntools: [end_call, send_digits]\ndtmf: inband\n---\nYou call a shop.\n"
    ),
    "backed": (
        "---\nlanguage: en-US\nclosing: That was all.\nfallback_number: +819055556666\n---\nYou answer.\n"
    ),
    "patient": (
        "---\nlanguage: en-US\ntools: [waits, breaks]\nwaiting: [One moment., Still looking.]\n---\n"
        "You look things up.\n"
    ),
    "hurried": (
        "---\nlanguage: en-US\nclosing: That was all.\ntools: [end_call]\nmax_call_seconds: 2\n---\n"
        "Be quick.\n"
    ),
    "lonely": "---\nlanguage: en-US\ngreeting: Hello.\nidle: {nudge_seconds: 5}\n---\nBe patient.\n",
    "pair": "---\nkind: interpreter\nlanguages: [ja, en]\noriginal_voice: 0\n---\nBetween two.\n",
    "pair-by-model": (
        "---\nkind: interpreter\nengine: realtime\nlanguages: [ja, en]\noriginal_voice: 0\n---\n"
        "A book shop.\n"
    ),
    "captions": (
        "---\nkind: captions\nlanguage: en-US\nopening: This call is transcribed.\nclosing: That was all.\n"
        f"forward_to: {OTHER_NUMBER}\ntranscription: {{language: [en, ja]}}\n---\nA call between two.\n"
    ),
    "captions-after": (
        "---\nkind: captions\nlanguage: en-US\ntranscription: gpt-transcribe\n"
        f"forward_to: {OTHER_NUMBER}\nmax_call_seconds: 2\n---\nA call between two.\n"
    ),
    "pair-of-one": (
        "---\nkind: interpreter\nlanguages: [ja, en]\noriginal_voice: 0.25\n"
        f"other_party: {OTHER_NUMBER}\n---\nBetween two.\n"
    ),
}
TOOLS = '''
import os
import signal
import sys
import traceback
from pathlib import Path

from callapp.tools import tool


def write_down(*_):
    """What each thread is doing. Not by faulthandler, which reads running threads and can crash on it."""
    for number, top in sys._current_frames().items():
        stack = "".join(traceback.format_stack(top))
        os.write(2, f"Thread 0x{number:x}:\\n{stack}\\n".encode())


signal.signal(signal.SIGUSR2, write_down)


@tool
def opening_hours(day: str) -> str:
    """Tell when the shop is open on a day of the week."""
    return f"{day}: 10:00-19:00"


@tool
def breaks() -> str:
    """A tool that raises."""
    raise RuntimeError("no database")


@tool
def waits(path: str) -> str:
    """Wait until somebody opens the other end of a named pipe, and tell what they wrote."""
    return Path(path).read_text()
'''


def words(text: str, ms: int) -> Clip:
    """Something that sounds like speech of that length; other texts sound different."""
    return babble_clip(text, text, ms)


def eventually(holds: Callable[[], object], within_s: float = 5.0) -> bool:
    """Whether something comes to hold in time. For /proc and the like, which wake nobody."""
    deadline = time.monotonic() + within_s
    pause = Event()
    while not holds():
        if time.monotonic() > deadline:
            return False
        pause.wait(0.01)
    return True


def closes_at_once(close: Callable[[], None], hangs_until: Event, within_s: float = 5.0) -> bool:
    """Whether ``close`` returns while what it closes hangs; it hangs no longer when this returns."""
    closing = Thread(target=close)
    closing.start()
    closing.join(within_s)
    closed = not closing.is_alive()
    hangs_until.set()
    closing.join()
    return closed


@contextmanager
def no_thread_left() -> Iterator[None]:
    """Meanwhile the system has none to start."""

    def start(_thread: Thread) -> None:
        raise RuntimeError("can't start new thread")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Thread, "start", start)
        yield


def clean_environ() -> dict[str, str]:
    """What a server takes from our environment: no setting, but where things are."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPYCACHEPREFIX")
    return {name: os.environ[name] for name in kept if name in os.environ}


def _ports() -> Iterator[int]:
    """Ports below those that the system hands out; processes that test side by side have their own.

    One that was handed out stays free until somebody listens there, which can be long after.
    """
    index = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    share = 12_000 // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    start = random.randrange(share)  # there may be others of us on this machine
    while True:
        yield from (20_000 + index * share + (start + number) % share for number in range(share))


_next_ports = _ports()


def free_port() -> int:
    """A port that nobody listens on, and that nobody gets by chance meanwhile."""
    while True:
        port = next(_next_ports)
        with socket.socket() as attempt:
            try:
                attempt.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


@dataclass(frozen=True)
class Answer:
    """What the server answered to an HTTP request."""

    status: int
    headers: Mapping[str, str]
    text: str
    took_s: float

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass(frozen=True)
class Ending:
    """The line in the log that tells why a call ended."""

    reason: str
    seconds: float


@dataclass(frozen=True)
class Counts:
    """What a process holds of the system."""

    threads: int
    descriptors: int


class Gunicorn:
    """A gunicorn, and what it has written so far.

    Args:
        folder: where it is started.
        arguments: of its command line.
        environ: on top of what ``clean_environ`` leaves it.
    """

    def __init__(self, folder: Path, *arguments: str, **environ: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *arguments],
            cwd=folder,
            env=clean_environ() | {"PYTHONWARNINGS": "default"} | environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # a signal to all its processes must not reach ours
        )
        self.lines: list[str] = []
        self._changed = Condition()
        self._reader = Thread(target=self._read, name="server-log", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()

    def wait_for_line(self, *texts: str, since: int = 0, within_s: float = DEADLINE_S) -> str:
        """Wait for a line that holds all these texts, the first from a position on; return it."""

        def found() -> str | None:
            return next((one for one in self.lines[since:] if all(text in one for text in texts)), None)

        with self._changed:
            line = self._changed.wait_for(found, within_s)
        assert line is not None, f"no line with {texts} in:\n" + "\n".join(self.lines[since:])
        return line

    def terminate(self) -> None:
        """Ask it to stop, as a platform does."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self, within_s: float = DEADLINE_S) -> int:
        """Wait for its end; return the exit status."""
        status = self.process.wait(within_s)
        self._reader.join(DEADLINE_S)
        return status

    def close(self) -> None:
        """End it, if it still lives, without a word."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        assert self.process.stdout
        self.process.stdout.close()


class Server(Gunicorn):
    """A gunicorn with callapp, and the addresses of the simulators it talks to."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.port, self.carrier_port, self.model_port = free_port(), free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.ws_url = f"ws://127.0.0.1:{self.port}/ws"
        for name, text in AGENTS.items():
            _write(folder / "agents" / f"{name}.md", text)
        _write(folder / "tools" / "stage_tools.py", TOOLS)
        settings = {
            "PORT": str(self.port),
            "PUBLIC_URL": self.url,
            "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
            "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
            "OPENAI_API_KEY": OPENAI_KEY,
            "ANALYSIS_MODEL": "off",
            "FROM_PHONE_NUMBER": OUR_NUMBER,
            "CALLAPP_API_KEY": API_KEY,
            "DATABASE_URL": sqlite_at(folder / "calls.sqlite"),
            "AGENTS_DIR": str(folder / "agents"),
            "TOOLS_DIR": str(folder / "tools"),
            "RATE_LIMIT_PER_KEY": "100000/minute",
            "RATE_LIMIT_PER_CALLEE": "100000/minute",
            "LOG_LEVEL": "debug",
            "STAGE_CRM_TOKEN": CRM_TOKEN,
        }
        super().__init__(ROOT, "wsgi:app", **(self.services | settings | environ))
        self._at_rest: Counts | None = None
        self._max_concurrent_calls = int(environ.get("MAX_CONCURRENT_CALLS", "100"))
        try:
            self.wait_for_line("Listening at")
            assert self.get("/healthz").status == 200  # waits in the kernel's queue until a worker is up
        except BaseException:
            self.close()
            raise

    @property
    def services(self) -> dict[str, str]:
        """The settings by which it finds the simulators, for another one that is to find the same."""
        return {
            "TWILIO_API_URL": f"http://127.0.0.1:{self.carrier_port}",
            "OPENAI_REALTIME_URL": f"ws://127.0.0.1:{self.model_port}/v1/realtime",
        }

    # What it answers

    def request(
        self, method: str, path: str, body: object = None, within_s: float = DEADLINE_S, **headers: str
    ) -> Answer:
        """Ask on a connection of its own; ``body`` goes as JSON."""
        sent = {"Connection": "close", "Authorization": f"Bearer {API_KEY}"} | headers
        if body is not None:
            sent["Content-Type"] = "application/json"
        began = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=within_s)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            response = connection.getresponse()
            text = response.read().decode()
            return Answer(response.status, dict(response.getheaders()), text, time.monotonic() - began)
        finally:
            connection.close()

    def get(self, path: str, within_s: float = DEADLINE_S) -> Answer:
        return self.request("GET", path, within_s=within_s)

    def webhook(self, path: str, method: str = "POST", **fields: str) -> webhooks.Answer:
        """Call a webhook as Twilio does, signed."""
        return webhooks.send(AUTH_TOKEN, method, self.url + path, fields)

    def answer_incoming(self, call_sid: str, agent: str = "quiet") -> str:
        """Ask as Twilio does what to do with a call that comes in; return the TwiML."""
        fields = {"CallSid": call_sid, "From": THEIR_NUMBER, "To": OUR_NUMBER}
        answer = self.webhook(f"/incoming-call?agent={agent}", **fields)
        assert answer.status == 200
        return answer.text

    def token(self, call_sid: str, agent: str = "quiet") -> str:
        """A one-time token, from the TwiML that answers an incoming call."""
        twiml = ElementTree.fromstring(self.answer_incoming(call_sid, agent))
        parameters = {one.attrib["name"]: one.attrib["value"] for one in twiml.iter("Parameter")}
        return parameters["callapp_token"]

    def record(self, call_sid: str, holds: Callable[[Any], object]) -> Any:
        """What is written down of a call, once something is true of it."""
        seen: list[Any] = []

        def there() -> object:
            answer = self.get(f"/calls/{call_sid}")
            seen.append(answer.json)
            return answer.status == 200 and holds(answer.json)

        assert eventually(there, DEADLINE_S), seen[-1]
        return seen[-1]

    @property
    def signature(self) -> str:
        """What Twilio puts into the header of the stream's upgrade."""
        return str(RequestValidator(AUTH_TOKEN).compute_signature(self.ws_url, {}))

    # What it holds

    @property
    def workers(self) -> list[int]:
        """The process IDs of the workers."""
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def counts(self) -> Counts:
        """What all workers hold; without the tool pool's threads, which stay a while."""
        threads = sum(_entries(worker, "task") for worker in self.workers)
        if self._at_rest is not None and threads > self._at_rest.threads:
            threads -= sum("callapp/tools/pool.py" in stack for stack in self.stacks())
        return Counts(threads, sum(_entries(worker, "fd") for worker in self.workers))

    def stacks(self) -> list[str]:
        """What each thread of the only worker is doing."""
        since = len(self.lines)
        os.kill(self.workers[0], signal.SIGUSR2)
        self.get(f"/written-{since}")
        self.wait_for_line(f"/written-{since}", " 404 ", since=since)
        dump = [line for line in self.lines[since:] if re.match(r'(Current t|T)hread 0x|  File "', line)]
        return re.split(r"\n(?=Current thread|Thread)", "\n".join(dump))

    def warm_up(self) -> None:
        """Let everything come into being that stays: gunicorn's threads, database connections, imports.

        From then on every scene has to leave as many threads and descriptors as there were.
        """
        self._start_all_threads()
        self.get("/calls")  # by the connection to the database that only reads
        with self.scene() as scene:
            call = scene.dial()
            scene.session()
            call.hang_up()
            scene.ending(call)
        self._at_rest = self._steady_counts()

    def _start_all_threads(self) -> None:
        """Keep every thread of gunicorn's busy once, with requests whose bodies do not come."""
        wanted = self._max_concurrent_calls + HTTP_THREADS
        held = (
            b"POST /outgoing-call HTTP/1.1\r\nHost: callapp\r\nContent-Type: application/json\r\n"
            b"Authorization: Bearer %b\r\nContent-Length: 9\r\n\r\n" % API_KEY.encode()
        )
        (worker,) = self.workers
        before = _entries(worker, "task")
        with ExitStack() as stack:
            for _ in range(wanted):
                request = stack.enter_context(socket.create_connection(("127.0.0.1", self.port)))
                request.sendall(held)
            # One is there already: it answered to the first request.
            assert eventually(lambda: _entries(worker, "task") >= before + wanted - 1)

    def _steady_counts(self) -> Counts:
        """The counts, once two looks in a row have shown the same."""
        seen: list[Counts] = []

        def steady() -> bool:
            seen.append(self.counts())
            return len(seen) > 20 and len(set(seen[-20:])) == 1

        assert eventually(steady), seen[-20:]
        return seen[-1]

    def is_at_rest(self) -> bool:
        """Whether no more is held than after the warm-up."""
        if self._at_rest is None:
            return True
        now = self.counts()
        return now.threads <= self._at_rest.threads and now.descriptors <= self._at_rest.descriptors

    # The play

    @contextmanager
    def scene(self, script: Script | None = None, **options: Any) -> Iterator[Scene]:
        """A Twilio and an OpenAI for this server, and at the end the checks that hold for all calls."""
        scene = Scene(self, script, **options)
        try:
            yield scene
            scene.check()
        except BaseException:
            scene.print_all()
            raise
        finally:
            scene.close()


class Scene:
    """Some calls on a server, with a Twilio and an OpenAI of their own.

    Args:
        model: how the model differs from one that knows our key and answers at once.
    """

    def __init__(
        self,
        server: Server,
        script: Script | None = None,
        *,
        latency_ms: float = 0,
        reversed_keys: bool = False,
        **model: Any,
    ) -> None:
        self.server = server
        self.since = len(server.lines)
        self.expects_traceback = False
        """Whether user code is to fail on purpose."""
        self.carrier = Carrier(
            account_sid=ACCOUNT_SID,
            auth_token=AUTH_TOKEN,
            port=server.carrier_port,
            say_ms_per_char=0,
            latency_ms=latency_ms,
            reversed_keys=reversed_keys,
            numbers=[OwnNumber(OUR_NUMBER)],
        )
        model = {"api_key": OPENAI_KEY, "pace": INSTANT} | model
        try:
            self.model = PretendModel(script, port=server.model_port, **model)
        except BaseException:
            self.carrier.close()
            raise

    def close(self) -> None:
        """End all calls and take both companies off the air."""
        try:
            self.carrier.close()
        finally:
            self.model.close()

    @property
    def sessions(self) -> list[ServedSession]:
        """All sessions at OpenAI, of whatever kind."""
        return [*self.model.sessions, *self.model.translations, *self.model.transcriptions]

    # Calls

    def dial(self, callee: Callee | None = None, **body: object) -> Call:
        """Have the server place a call to this person."""
        self.carrier.next_callee(callee or Callee(rings_ms=0))
        answer = self.server.request("POST", "/outgoing-call", {"phoneNumber": THEIR_NUMBER, **body})
        assert answer.status == 201, answer
        call = self.carrier.find_call(answer.json["callSid"])
        assert call is not None
        return call

    def ring(self, callee: Callee | None = None, agent: str = "quiet", method: str = "POST") -> Call:
        """Let this person call our number."""
        return self.carrier.incoming_call(
            f"{self.server.url}/incoming-call?agent={agent}",
            callee=callee,
            from_number=THEIR_NUMBER,
            to_number=OUR_NUMBER,
            method=method,
        )

    def session(self) -> Session:
        """The next session at OpenAI."""
        return self.model.wait_for_session(DEADLINE_S)

    def live(self, callee: Callee | None = None, agent: str = "quiet") -> tuple[Call, Session]:
        """A call whose session stands: the model hears the caller."""
        call = self.ring(callee, agent)
        session = self.session()
        session.wait_for(lambda: session.heard_audio, DEADLINE_S)
        return call, session

    def ending(self, call: Call, within_s: float = DEADLINE_S) -> Ending:
        """Wait until a call is over on all sides; return what the server said of its end."""
        call.wait_ended(within_s)
        line = self.server.wait_for_line(call.sid, "x call ended", since=self.since, within_s=within_s)
        found = END_LINE.search(line)
        assert found, line
        return Ending(found[2], float(found[3]))

    def hang_up(self, *calls: Call) -> None:
        """Let callers put the phone down, and wait until the server has said that they did."""
        for call in calls:
            call.hang_up()
        for call in calls:
            assert self.ending(call).reason == "caller.hung_up"

    def print_all(self) -> None:
        """Print what is known of the scene: it failed, and may not fail again."""
        print(*self.server.lines[self.since :], sep="\n")
        for call in self.carrier.calls:
            print(call.sid, call.summary())
        for session in self.sessions:
            print(session.id, session.summary())

    def warnings(self) -> list[str]:
        """What the server has complained of during this scene."""
        return [line for line in self.server.lines[self.since :] if ": ! " in line]

    # What has to hold of them all

    def check(self) -> None:
        """Check what holds for every scene."""
        for call in self.carrier.calls:
            call.wait_ended(DEADLINE_S)
            assert call.violations == [], call.summary()
            assert [stream.after_close for stream in call.streams if stream.after_close] == []
        for session in self.sessions:
            session.wait_closed(DEADLINE_S)
            assert session.violations == []
            judge = judges.OF_TRANSLATIONS if session in self.model.translations else judges.JUDGE
            assert [fault for one in session.received for fault in judges.faults(one.event, judge)] == []
        server = self.server
        if server.process.poll() is None:
            assert eventually(server.is_at_rest), f"{server.counts()}:\n" + "\n".join(server.stacks())
            assert eventually(lambda: server.get("/readyz").status == 200), "a slot was not given back"

        def told(sign: re.Pattern[str]) -> list[str]:
            return sorted(found[1] for line in server.lines[self.since :] if (found := sign.search(line)))

        assert eventually(lambda: told(LIVE_LINE) == told(END_LINE)), (told(LIVE_LINE), told(END_LINE))
        tokens = [
            stream.parameters.get("callapp_token", "?")
            for call in self.carrier.calls
            for stream in call.streams
        ]
        lines = server.lines[self.since :]
        for line in lines:
            assert self.expects_traceback or "Traceback" not in line, "\n".join(lines)
            assert "! bug" not in line, "\n".join(lines)
            assert not any(secret in line for secret in (*SECRETS, *tokens)), line


def has_heard(call: Call, clip: Clip) -> bool:
    """Whether a recording was heard to its end."""
    return bool(call.streams) and call.stream.heard_ms_of(clip.audio) >= clip.duration_ms


def media_after(call: Call, at_ms: float) -> list[bytes]:
    """The pieces of audio that reached the phone after a moment of its latest stream."""
    return [chunk.audio for chunk in call.stream.playout.chunks if chunk.arrived_ns > at_ms * 1_000_000]


def kinds_received(session: Session) -> list[str]:
    """The types of what a session received, without the caller's audio."""
    kinds = [str(one.event["type"]) for one in session.received]
    return [kind for kind in kinds if kind != "input_audio_buffer.append"]


def open_sockets(pid: int, *ports: int) -> int:
    """How many TCP connections a process has open with one of these ports at either end."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            if found := re.match(r"socket:\[(\d+)\]", str(link.readlink())):
                inodes.add(found[1])
    count = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, *rest = line.split()
        if rest[5] in inodes and state != "0A":  # those that only listen have it
            count += any(int(end.split(":")[1], 16) in ports for end in (local, remote))
    return count


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _entries(pid: int, what: str) -> int:
    return len(list(Path(f"/proc/{pid}/{what}").iterdir()))
