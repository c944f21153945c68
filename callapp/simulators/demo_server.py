"""The real server of a demo: gunicorn, as anybody would start it, on a loopback port of its own."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from callapp.simulators.carrier import Carrier
from callapp.simulators.model import PretendModel
from callapp.simulators.shelter import sheltered

PROJECT = Path(__file__).resolve().parents[2]
OUR_NUMBER = "+15005550006"
MODEL_KEY = "sk-demo"
_READY_S = 20
_ANSWER_S = 15
_STOP_S = 8
_ENDED = re.compile(r"x call ended: (\S+) after ")


def pretended(carrier: Carrier, model: PretendModel) -> dict[str, str]:
    """The settings of a server whose companies are pretended, for the few calls of a demo."""
    return {
        "TWILIO_ACCOUNT_SID": carrier.account_sid,
        "TWILIO_AUTH_TOKEN": carrier.auth_token,
        "TWILIO_API_URL": carrier.url,
        "FROM_PHONE_NUMBER": OUR_NUMBER,
        "OPENAI_API_KEY": MODEL_KEY,
        "OPENAI_REALTIME_URL": model.url,
        "ANALYSIS_MODEL": "off",
        "MAX_CONCURRENT_CALLS": "4",
        "LOG_LEVEL": "info",
    }


class ServerFailed(Exception):
    """The server did not start, or did not answer."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; ``body`` is an empty object when it was not one of JSON."""

    status: int
    body: Mapping[str, Any]


class Server:
    """A gunicorn process and its log.

    Args:
        folder: for its database and its log.
        settings: by environment name. All others are hidden, also those of a ``.env``.

    The listening socket is made here and handed over, so nobody can take the port in between, and
    requests wait in it until the server is ready. Use it in a ``with`` block: no process is left.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.log_path = folder / "server.log"
        self.database = folder / "demo.db"
        with socket.create_server(("127.0.0.1", 0)) as listener, self.log_path.open("wb") as log:
            self.port = int(listener.getsockname()[1])
            self.url = f"http://127.0.0.1:{self.port}"
            own = {
                "PORT": str(self.port),
                "PUBLIC_URL": self.url,
                "DATABASE_URL": f"sqlite:///{self.database}",
                "WEB_CONCURRENCY": "1",
                "DRAIN_SECONDS": "1",
                "PYTHONUTF8": "1",
                "TMPDIR": str(folder),  # what is killed leaves its files behind
            }
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
                [sys.executable, "-m", "gunicorn", "--bind", f"fd://{listener.fileno()}", "wsgi:app"],
                cwd=PROJECT,
                env=sheltered({**own, **settings}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[listener.fileno()],
                start_new_session=True,  # Ctrl-C is for the demo, which then stops the server itself
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # By force: whoever wants it to end well has called ``stop``. Workers are of their master's group.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def wait_ready(self) -> str:
        """Wait until requests are served; return the name of the software that serves them.

        Raises:
            ServerFailed: it ended, or was not ready in time.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_READY_S)
        try:
            connection.request("GET", "/readyz")
            response = connection.getresponse()
            if response.status != 200:
                raise ServerFailed(f"The server says it is not ready: HTTP {response.status}.")
            return response.getheader("Server") or "a server"
        except (OSError, http.client.HTTPException) as error:
            status = self._exit_status(1)
            how = "did not answer" if status is None else "did not start"
            raise ServerFailed(f"The server {how}.") from error
        finally:
            connection.close()

    def dial(self, order: Mapping[str, Any]) -> Mapping[str, Any]:
        """Have it place a call; return what it answers.

        Raises:
            ServerFailed: it did not, or there was no answer.
        """
        headers = {"Content-Type": "application/json"}
        answer = self._ask("POST", "/outgoing-call", json.dumps(order), headers)
        if answer.status != 201:
            raise ServerFailed(
                f"POST /outgoing-call was answered {answer.status}: {answer.body.get('detail')}"
            )
        return answer.body

    def get(self, path: str) -> Answer:
        """Ask for something.

        Raises:
            ServerFailed: there was no answer.
        """
        return self._ask("GET", path)

    def _ask(
        self, method: str, path: str, body: str | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_ANSWER_S)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise ServerFailed(f"No answer to {method} {path}: {error!r}.") from error
        finally:
            connection.close()
        with suppress(ValueError):
            answered = json.loads(text)
            if isinstance(answered, dict):
                return Answer(response.status, answered)
        return Answer(response.status, {})

    def log(self) -> list[str]:
        """Return the whole lines it has logged so far."""
        text = self.log_path.read_bytes().decode(errors="replace")
        return text[: text.rfind("\n") + 1].splitlines()

    def stop(self) -> int | None:
        """Ask it to end; return its exit status, None when it does not end in time."""
        self._process.terminate()
        return self._exit_status(_STOP_S)

    def _exit_status(self, within_s: float) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(within_s)
        return None


def ended_by(log: Sequence[str]) -> str | None:
    """Return why the call ended, as the server's own log line has it; None without one."""
    return next((found.group(1) for line in log if (found := _ENDED.search(line))), None)
