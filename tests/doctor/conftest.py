"""A healthy patient: a server that runs, a Twilio and an OpenAI that know it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from click.testing import Result
from werkzeug.serving import make_server

from callapp import create_app, doctor
from callapp.settings import SETTINGS, Settings
from callapp.simulators.carrier import Carrier
from callapp.simulators.carrier_account import OwnNumber
from callapp.simulators.model import PretendModel
from tests.databases import sqlite_at

NUMBER = "+14155550100"
OPENAI_KEY = "sk-patient-0123456789"
API_KEY = "patient-api-key"
PASSWORD = "patient-password"


@dataclass
class Patient:
    """What ``flask doctor`` is asked to look at."""

    folder: Path
    twilio: Carrier
    openai: PretendModel
    stack: ExitStack
    environ: dict[str, str]

    def serve(self, wrap: Callable[[Any], Any] = lambda app: app, **changes: Any) -> None:
        """Start a server with these settings, behind what ``wrap`` puts before it; calls lead there now."""
        given = {
            "twilio_auth_token": self.twilio.auth_token,
            "database_url": sqlite_at(self.folder / "server.sqlite"),
            **changes,
        }
        app = create_app(Settings(**given))
        self.stack.callback(app.extensions["callapp"].close)
        server = make_server("127.0.0.1", 0, wrap(app.wsgi_app), threaded=True)
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        self.stack.callback(thread.join)
        self.stack.callback(server.server_close)
        self.stack.callback(server.shutdown)
        origin = f"http://127.0.0.1:{server.server_port}"
        self.environ["PUBLIC_URL"] = origin
        self.webhook = f"{origin}/incoming-call"

    def ask(self, *args: str, **environ: str | None) -> Result:
        """Run the command; a setting that is given replaces the healthy one, None takes it away."""
        env = {**dict.fromkeys((setting.name for setting in SETTINGS), ""), **self.environ, **environ}
        runner = doctor.waiting_room().test_cli_runner()
        return runner.invoke(args=["doctor", *args], env=env)

    @property
    def webhook(self) -> str:
        """Where Twilio asks what to do with a call to the number."""
        return self.twilio.account.numbers[0].voice_url

    @webhook.setter
    def webhook(self, url: str) -> None:
        self.twilio.account.numbers[0].changes["voice_url"] = url


@pytest.fixture
def make_patient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Patient]]:
    """Make one; keywords are those of the pretend Twilio and, in ``openai``, of the pretend OpenAI."""
    monkeypatch.chdir(tmp_path)
    with ExitStack() as stack:

        def make(openai: Mapping[str, Any] | None = None, **twilio: Any) -> Patient:
            numbers = [OwnNumber(NUMBER), OwnNumber("+14155550101", voice=False)]
            carrier = stack.enter_context(Carrier(**{"numbers": numbers, **twilio}))
            model = stack.enter_context(PretendModel(**{"api_key": OPENAI_KEY, **(openai or {})}))
            environ = {
                "TWILIO_ACCOUNT_SID": carrier.account_sid,
                "TWILIO_AUTH_TOKEN": carrier.auth_token,
                "TWILIO_API_URL": carrier.url,
                "FROM_PHONE_NUMBER": NUMBER,
                "OPENAI_API_KEY": OPENAI_KEY,
                "OPENAI_REALTIME_URL": model.url,
                "CALLAPP_API_KEY": API_KEY,
                "DATABASE_URL": sqlite_at(tmp_path / "server.sqlite"),
            }
            patient = Patient(tmp_path, carrier, model, stack, environ)
            patient.serve()
            return patient

        yield make


@pytest.fixture
def patient(make_patient: Callable[..., Patient]) -> Patient:
    return make_patient()
