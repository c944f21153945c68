"""``flask doctor``, asked about a healthy installation with one thing wrong at a time."""

from __future__ import annotations

import json
import os
import re
import resource
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from callapp import doctor
from callapp.call_log import schema
from callapp.doctor import cli, house, openai, twilio, way_in
from callapp.doctor.finding import Level
from callapp.errors import CarrierRefused
from callapp.settings import Settings
from callapp.simulators.carrier_account import OwnNumber
from callapp.telephony.rest import OwnNumber as OwnNumberState
from tests.doctor.conftest import API_KEY, NUMBER, OPENAI_KEY, PASSWORD, Patient
from tests.redis import redis_server

ROOT = Path(__file__).parent.parent.parent


def told(result: Result, level: str) -> list[str]:
    """The lines of one level."""
    return [line[9:] for line in result.stdout.splitlines() if line.startswith(f"{level:<8} ")]


def only_fault(result: Result) -> str:
    assert result.exit_code == 1, result.output
    (line,) = told(result, "fault")
    assert "1 fault(s)" in result.stdout
    assert "a call could not work here." in result.stdout
    return line


def only_warning(result: Result) -> str:
    assert result.exit_code == 0, result.output
    assert told(result, "fault") == []
    (line,) = told(result, "warning")
    assert "a call can work here." in result.stdout
    return line


def test_of_a_healthy_installation_there_is_nothing_to_say(patient: Patient) -> None:
    result = patient.ask()
    assert result.exit_code == 0, result.output
    assert told(result, "fault") == told(result, "warning") == []
    assert len(told(result, "ok")) == 14
    assert "0 fault(s), 0 warning(s): a call can work here." in result.stdout


def test_nothing_secret_is_shown(patient: Patient) -> None:
    url = f"postgresql://callapp:{PASSWORD}@127.0.0.1:1/callapp"
    shown = patient.ask().output + patient.ask(DATABASE_URL=url, TWILIO_AUTH_TOKEN="0" * 32).output
    shown += patient.ask(OPENAI_API_KEY="sk-a-wrong-one").output
    shown += patient.ask(OPENAI_API_KEY="two words").output
    for secret in (
        patient.twilio.auth_token,
        OPENAI_KEY,
        API_KEY,
        PASSWORD,
        "0" * 32,
        "sk-a-wrong-one",
        "two words",
    ):
        assert secret not in shown


def test_nobody_is_called_and_nothing_is_left(patient: Patient) -> None:
    assert patient.ask().exit_code == 0
    assert patient.twilio.calls == []
    assert {request.method for request in patient.twilio.requests} == {"GET"}
    (session,) = patient.openai.sessions
    session.wait_closed(5)
    assert session.received == []
    with sqlite3.connect(patient.folder / "server.sqlite") as database:
        assert database.execute("SELECT count(*) FROM calls").fetchone() == (0,)
    database.close()


# -- settings, files, limits ----------------------------------------------------------------------


def test_settings_that_cannot_be_read_are_told_line_by_line(patient: Patient) -> None:
    result = patient.ask(PORT="http", MAX_CONCURRENT_CALLS="many")
    assert result.exit_code == 1
    port, calls = told(result, "fault")
    assert port.startswith("PORT: read 'http', expected a whole number")
    assert calls.startswith("MAX_CONCURRENT_CALLS: read 'many'")
    assert patient.twilio.requests == []


@pytest.mark.parametrize(
    ("environ", "expected"),
    [({}, "OPENAI_API_KEY is not set"), ({"PORT": "http"}, "PORT: read 'http'")],
    ids=["nothing set", "a setting is wrong"],
)
def test_flask_doctor_runs_where_nothing_else_does(
    tmp_path: Path, environ: dict[str, str], expected: str
) -> None:
    """The real command: flask finds it through wsgi.py, whose app would refuse to start."""
    database = {"DATABASE_URL": f"sqlite:///{tmp_path}/none.sqlite", "NO_COLOR": "1"}
    ran = subprocess.run(
        [sys.executable, "-m", "flask", "doctor"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **database, **environ},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ran.returncode == 1, ran.stderr
    assert expected in ran.stdout
    assert ran.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_the_waiting_room_is_for_the_doctor_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for words, expected in [
        (["flask", "doctor"], True),
        (["flask", "--debug", "doctor", "--fix-webhook"], True),
        (["flask", "--app", "wsgi:app", "-e", ".env.test", "doctor"], True),
        (["flask", "--app=wsgi:app", "doctor"], True),
        (["flask", "--app", "doctor", "run"], False),
        (["flask", "call", "+819012345678", "--agent", "doctor"], False),
        (["gunicorn", "wsgi:app"], False),
        (["flask"], False),
    ]:
        monkeypatch.setattr(sys, "argv", words)
        assert doctor.called() is expected, words


def test_a_dotenv_that_others_can_read(patient: Patient) -> None:
    dotenv = patient.folder / ".env"
    dotenv.write_text("LOG_LEVEL=info\n")
    dotenv.chmod(0o644)
    assert "chmod 600 .env" in only_warning(patient.ask())
    dotenv.chmod(0o600)
    assert told(patient.ask(), "warning") == []


def test_agents_and_tools_that_do_not_load(patient: Patient) -> None:
    (patient.folder / "shop.md").write_text("---\nvoise: coral\ntools: [nothing]\n---\nHello.\n")
    result = patient.ask(AGENTS_DIR=str(patient.folder))
    assert result.exit_code == 1
    lines = told(result, "fault")
    assert len(lines) == 2
    assert "shop.md:2" in lines[0]
    assert "'nothing'" in lines[1]


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"WEBHOOK_URL": "https://example.com/hook"}, "WEBHOOK_SECRET: not set, but WEBHOOK_URL is"),
        ({"RECORDINGS_URL": "nowhere://bucket"}, "RECORDINGS_URL: nowhere:// cannot be used here"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL: read 'grpc'",
        ),
        ({"GUNICORN_CMD_ARGS": '--threads "4'}, "GUNICORN_CMD_ARGS: No closing quotation"),
    ],
    ids=["webhooks", "recordings", "traces", "gunicorn"],
)
def test_what_else_keeps_the_server_from_starting(
    patient: Patient, environ: dict[str, Any], expected: str
) -> None:
    """The server that answers began before that was set."""
    line = only_fault(patient.ask(**environ))
    assert line.startswith(expected)
    assert line.endswith("the server does not start before")


def test_a_database_that_is_not_there(patient: Patient) -> None:
    line = only_fault(patient.ask(DATABASE_URL=f"postgresql://callapp:{PASSWORD}@127.0.0.1:1/callapp"))
    assert "127.0.0.1:1/callapp" in line
    assert "DATABASE_URL" in line


def test_a_redis_that_is_not_there(patient: Patient) -> None:
    line = only_fault(patient.ask(REDIS_URL=f"redis://callapp:{PASSWORD}@127.0.0.1:1"))
    assert "127.0.0.1:1" in line
    assert "REDIS_URL" in line


def test_a_redis_that_answers() -> None:
    with redis_server() as redis:
        assert [one.what for one in house.check_redis(Settings(redis_url=redis.url))] == ["Redis: answers"]


def test_databases_of_all_ages(tmp_path: Path) -> None:
    path = tmp_path / "calls.sqlite"
    url = f"sqlite:///{path}"
    assert "is made at the first start" in house.check_database(url).what
    assert not path.exists()
    path.touch()
    empty = house.check_database(url)
    assert (empty.level, "none yet" in empty.what) == (Level.OK, True)
    schema.upgrade(url)
    assert house.check_database(url).what == f"database: SQLite, schema {schema.head()}"
    with sqlite3.connect(path) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    newer = house.check_database(url)
    assert (newer.level, "of a newer callapp" in newer.what) == (Level.FAULT, True)
    path.write_bytes(b"no database, but long enough to be looked at" * 10)
    assert house.check_database(url).level is Level.FAULT


def test_a_folder_that_may_not_be_looked_into_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pretended: root, as whom the tests may run, may look anywhere."""
    there = Path.exists

    def forbidden(path: Path) -> bool:
        if tmp_path in path.parents:
            raise PermissionError
        return there(path)

    monkeypatch.setattr(Path, "exists", forbidden)
    monkeypatch.setattr(os, "access", lambda path, _: path != tmp_path)
    finding = house.check_database(f"sqlite:///{tmp_path}/calls.sqlite")
    assert (finding.level, finding.what) == (Level.FAULT, f"database: {tmp_path} cannot be written")


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_of_recordings_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    """It was told after the first call, by the log."""
    folder = tmp_path / "recordings"
    if there:
        folder.mkdir()
    settings = Settings(recordings_url=str(folder))
    assert list(house.check_recordings(settings)) == []
    closed = folder if there else tmp_path
    monkeypatch.setattr(os, "access", lambda path, _: path != closed)
    (finding,) = house.check_recordings(settings)
    assert (finding.level, finding.what) == (Level.FAULT, f"RECORDINGS_URL: {closed} cannot be written")


def test_a_postgresql_that_wants_an_upgrade(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "revision", lambda url: None)
    finding = house.check_database("postgresql+psycopg://callapp@localhost/callapp")
    assert (finding.level, finding.to_do) == (Level.FAULT, "run `flask db upgrade`")


@pytest.mark.parametrize(
    ("arguments", "level"),
    [
        ("", Level.OK),
        ("--threads 4", Level.FAULT),
        ("--threads=4 --log-level debug", Level.FAULT),
        ("--threads 500", Level.OK),
        ("-k sync", Level.FAULT),
        ("--worker-class=gevent", Level.FAULT),
        ("--access-logfile -", Level.OK),
    ],
)
def test_threads_that_gunicorn_is_given_elsewhere(arguments: str, level: Level) -> None:
    settings = Settings(max_concurrent_calls=100)
    assert house.check_threads(settings, {"GUNICORN_CMD_ARGS": arguments}).level is level


def test_fewer_threads_than_calls_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house, "_most_threads", lambda: 1000)
    assert house.check_threads(Settings(max_concurrent_calls=100), {}).level is Level.OK
    finding = house.check_threads(Settings(max_concurrent_calls=1000), {})
    assert (finding.level, "allows 1000" in finding.what) == (Level.WARNING, True)


def test_fewer_files_than_calls_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (256, 1024))
    assert house.check_files(Settings(max_concurrent_calls=100)).level is Level.OK
    assert house.check_files(Settings(max_concurrent_calls=300)).level is Level.FAULT


def test_the_numbers_are_those_of_gunicorn_conf() -> None:
    text = (ROOT / "gunicorn.conf.py").read_text()
    assert f"HTTP_THREADS = {house.HTTP_THREADS}\n" in text
    assert f"FILES_PER_CALL = {house.FILES_PER_CALL}\n" in text


def test_without_an_api_key_nobody_else_can_place_calls(patient: Patient) -> None:
    assert "CALLAPP_API_KEY" in only_warning(patient.ask(CALLAPP_API_KEY=None))


def test_signatures_that_are_not_checked(patient: Patient) -> None:
    assert "TWILIO_VALIDATE_SIGNATURES" in only_warning(patient.ask(TWILIO_VALIDATE_SIGNATURES="false"))


def test_a_limit_of_cost_that_cannot_hold(make_patient: Callable[..., Patient]) -> None:
    patient = make_patient(openai={"models": ["a-model-of-tomorrow"]})
    environ = {"OPENAI_REALTIME_MODEL": "a-model-of-tomorrow"}
    assert told(patient.ask(**environ), "warning") == []
    assert "MAX_CALL_COST_USD" in only_warning(patient.ask(**environ, MAX_CALL_COST_USD="1"))


# -- OpenAI ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"OPENAI_API_KEY": None}, "set OPENAI_API_KEY"),
        ({"OPENAI_API_KEY": "sk-wrong"}, "set OPENAI_API_KEY"),
        ({"OPENAI_REALTIME_MODEL": "gpt-4o-realtime-preview"}, "correct OPENAI_REALTIME_MODEL"),
        ({"OPENAI_REALTIME_URL": "ws://127.0.0.1:1/v1/realtime"}, "OPENAI_REALTIME_URL"),
    ],
    ids=["no key", "a wrong key", "a model that is gone", "nobody there"],
)
def test_what_openai_refuses(patient: Patient, environ: dict[str, Any], expected: str) -> None:
    assert expected in only_fault(patient.ask(**environ))


def test_an_account_without_credit(make_patient: Callable[..., Patient]) -> None:
    patient = make_patient(openai={"credit": False})
    assert "add credit" in only_fault(patient.ask())


def test_an_endpoint_that_is_none(patient: Patient) -> None:
    patient.openai.refuse_next(404)
    assert "HTTP 404" in only_fault(patient.ask())


def test_the_model_of_each_agent_is_tried(make_patient: Callable[..., Patient]) -> None:
    patient = make_patient()
    (patient.folder / "shop.md").write_text("---\nmodel: gpt-gone\n---\nHello.\n")
    line = only_fault(patient.ask(AGENTS_DIR=str(patient.folder)))
    assert "gpt-gone" in line
    assert "correct the field model of agent shop" in line


@pytest.mark.parametrize("named", ["realtime", "base"])
def test_a_model_that_is_shut_down_soon(monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    """The REST API is of OpenAI's; the pretend one speaks WebSocket only."""
    asked = []

    class Models(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers["Authorization"]))
            body = json.dumps({"id": "gpt-realtime", "shutdown_date": "2027-01-20"}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    monkeypatch.setattr(openai, "_first_event", lambda url, key: {"type": "session.created"})
    with ThreadingHTTPServer(("127.0.0.1", 0), Models) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        place = f"127.0.0.1:{server.server_port}/v1"
        url = {"openai_realtime_url": f"ws://{place}/realtime"} if named == "realtime" else {}
        url |= {"openai_base_url": f"http://{place}"} if named == "base" else {}
        settings = Settings(openai_api_key=OPENAI_KEY, **url)
        findings = list(openai.check_model(settings, OPENAI_KEY, "gpt-realtime", "OPENAI_REALTIME_MODEL"))
        server.shutdown()
        thread.join()
    assert [finding.level for finding in findings] == [Level.OK, Level.WARNING]
    assert "2027-01-20" in findings[1].what
    assert asked == [("/v1/models/gpt-realtime", f"Bearer {OPENAI_KEY}")]


# -- the way in -----------------------------------------------------------------------------------


def test_without_a_public_url_the_way_in_is_not_known(patient: Patient) -> None:
    result = patient.ask(PUBLIC_URL=None)
    assert result.exit_code == 0
    assert [line.split()[0] for line in told(result, "warning")] == ["PUBLIC_URL", "the"]


@pytest.mark.parametrize(
    ("public_url", "api_url", "level"),
    [
        ("https://voice.example.com", "https://api.twilio.com", Level.OK),
        ("http://voice.example.com", "https://api.twilio.com", Level.FAULT),
        ("https://localhost:3000", "https://api.twilio.com", Level.FAULT),
        ("http://127.0.0.1:3000", "http://127.0.0.1:4000", Level.OK),
    ],
)
def test_what_can_be_a_public_url(public_url: str, api_url: str, level: Level) -> None:
    finding, worth_knocking = way_in.check_address(Settings(public_url=public_url, twilio_api_url=api_url))
    assert (finding.level, worth_knocking) == (level, True)


def test_a_server_that_does_not_run(patient: Patient) -> None:
    patient.webhook = "http://127.0.0.1:1/incoming-call"
    line = only_fault(patient.ask(PUBLIC_URL="http://127.0.0.1:1"))
    assert "start the server" in line


def test_another_server_at_our_address(patient: Patient) -> None:
    patient.webhook = f"{patient.twilio.url}/incoming-call"
    assert "is not callapp" in only_fault(patient.ask(PUBLIC_URL=patient.twilio.url))


def behind_a_proxy(app: Any) -> Any:
    """A proxy that asks the server by an inner name and tells the outer one, as nginx does by default."""

    def proxied(environ: dict[str, Any], start_response: Any) -> Any:
        forwarded = {
            "HTTP_HOST": "app:8000",
            "HTTP_X_FORWARDED_HOST": environ["HTTP_HOST"],
            "HTTP_X_FORWARDED_PROTO": "http",
            "HTTP_X_FORWARDED_FOR": "203.0.113.7",
        }
        return app({**environ, **forwarded}, start_response)

    return proxied


@pytest.mark.parametrize("hops", [0, 1])
def test_a_server_behind_a_proxy_knows_its_address_from_trusted_proxies(patient: Patient, hops: int) -> None:
    """The server has no PUBLIC_URL: what it takes for the URL that was signed depends on the hops."""
    patient.serve(behind_a_proxy, trusted_proxies=hops)
    result = patient.ask()
    if hops:
        assert result.exit_code == 0, result.output
        return
    webhook, socket = told(result, "fault")
    assert "TRUSTED_PROXIES" in webhook
    assert "TRUSTED_PROXIES" in socket


def test_a_server_with_another_public_url(patient: Patient) -> None:
    patient.serve(public_url="https://old.example.com")
    result = patient.ask()
    assert result.exit_code == 1
    webhook, socket = told(result, "fault")
    assert "PUBLIC_URL set to this address" in webhook
    assert "TRUSTED_PROXIES" in socket


def test_a_server_with_another_token(patient: Patient) -> None:
    patient.serve(twilio_auth_token="another")
    assert len(told(patient.ask(), "fault")) == 2


def test_a_server_that_takes_every_signature(patient: Patient) -> None:
    patient.serve(twilio_validate_signatures=False)
    assert "anybody can pretend to be Twilio" in only_warning(patient.ask())


def test_a_proxy_that_passes_no_websocket_on(patient: Patient) -> None:
    def without_upgrades(app: Any) -> Any:
        def proxied(environ: dict[str, Any], start_response: Any) -> Any:
            kept = {k: v for k, v in environ.items() if k not in ("HTTP_UPGRADE", "HTTP_CONNECTION")}
            return app(kept, start_response)

        return proxied

    patient.serve(without_upgrades)
    assert "pass upgrades on" in only_fault(patient.ask())


# -- Twilio ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"TWILIO_ACCOUNT_SID": None}, "not set: TWILIO_ACCOUNT_SID"),
        ({"TWILIO_ACCOUNT_SID": "AC" + "9" * 32}, "copy TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN"),
        ({"TWILIO_API_URL": "http://127.0.0.1:1"}, "TWILIO_API_URL"),
        ({"FROM_PHONE_NUMBER": None}, "FROM_PHONE_NUMBER is not set"),
        ({"FROM_PHONE_NUMBER": "+14155550199"}, "is not a number of this Twilio account"),
        ({"FROM_PHONE_NUMBER": "+14155550101"}, "buy a number with voice"),
    ],
)
def test_what_twilio_does_not_know(patient: Patient, environ: dict[str, Any], expected: str) -> None:
    assert expected in only_fault(patient.ask(**environ))


def test_no_token(patient: Patient) -> None:
    assert "TWILIO_AUTH_TOKEN" in only_fault(patient.ask(TWILIO_AUTH_TOKEN=None))


def test_a_trial_account_cannot_have_a_stream(make_patient: Callable[..., Patient]) -> None:
    line = only_fault(make_patient(account_kind="Trial").ask())
    assert "<Stream> does not work" in line
    assert "upgrade the account" in line


def test_an_account_that_is_suspended(make_patient: Callable[..., Patient]) -> None:
    assert "suspended" in only_fault(make_patient(account_status="suspended").ask())


@pytest.mark.parametrize("how", ["nonsense", "drop"])
def test_a_twilio_that_talks_nonsense(patient: Patient, how: Any) -> None:
    patient.twilio.break_next(how)
    assert "asking Twilio failed" in only_fault(patient.ask())


def test_a_webhook_that_leads_elsewhere_is_set_when_asked_for(patient: Patient) -> None:
    patient.webhook = "https://demo.twilio.com/welcome/voice/"
    line = only_fault(patient.ask())
    assert "flask doctor --fix-webhook" in line
    result = patient.ask("--fix-webhook")
    assert result.exit_code == 0, result.output
    assert told(result, "fault") == []
    assert patient.webhook == f"{patient.environ['PUBLIC_URL']}/incoming-call"


def test_a_webhook_that_is_right_is_left_alone(patient: Patient) -> None:
    patient.webhook += "?agent=operator"
    assert patient.ask("--fix-webhook").exit_code == 0
    assert patient.webhook.endswith("?agent=operator")


def test_a_webhook_for_an_agent_that_there_is_not(patient: Patient) -> None:
    patient.webhook += "?agent=nobody"
    assert "nobody" in only_fault(patient.ask())


@pytest.mark.parametrize("answer", [True, False])
def test_somebody_at_a_terminal_is_asked(
    patient: Patient, monkeypatch: pytest.MonkeyPatch, answer: bool
) -> None:
    asked = []

    def confirm(text: str, default: bool) -> bool:
        asked.append(text)
        return answer

    monkeypatch.setattr(cli.click, "confirm", confirm)
    monkeypatch.setattr(cli, "_somebody_there", lambda: True)
    patient.webhook = ""
    result = patient.ask()
    wanted = f"{patient.environ['PUBLIC_URL']}/incoming-call"
    assert asked == [f"the number's webhook is not set, so calls to it do not come here. Set it to {wanted}?"]
    assert result.exit_code == (0 if answer else 1)
    assert patient.webhook == (wanted if answer else "")


def test_a_webhook_that_cannot_be_set() -> None:
    finding = twilio.set_webhook(
        Settings(public_url="https://voice.example.com"),
        OwnNumberState("PN1", voice=True, voice_url="", handled_by=None),
        _RefusingCarrier(),  # type: ignore[arg-type]
    )
    assert (finding.level, "not found" in finding.what) == (Level.FAULT, True)


class _RefusingCarrier:
    def set_webhook(self, sid: str, url: str) -> None:
        raise CarrierRefused(400, 20404, "not found", None)


def test_calls_that_something_else_takes(patient: Patient) -> None:
    patient.twilio.account.numbers[0].changes["voice_application_sid"] = "AP" + "1" * 32
    assert "a TwiML app" in only_warning(patient.ask())


def test_a_number_longer_than_ours_is_not_ours(make_patient: Callable[..., Patient]) -> None:
    patient = make_patient(numbers=[OwnNumber(NUMBER + "1")])
    assert "is not a number of this Twilio account" in only_fault(patient.ask())


def test_every_line_with_a_fault_says_what_to_do(make_patient: Callable[..., Patient]) -> None:
    patient = make_patient(account_kind="Trial", openai={"credit": False})
    patient.webhook = ""
    result = patient.ask(PUBLIC_URL="http://127.0.0.1:1", CALLAPP_API_KEY=None)
    lines = told(result, "fault") + told(result, "warning")
    assert len(lines) >= 5
    for line in lines:
        assert re.search(r": .*\b(set|add|upgrade|start|choose|run|correct)\b", line), line


def test_a_model_that_translates_is_asked_for_where_it_is(patient: Patient, tmp_path: Path) -> None:
    """It has no session among those of the models that talk, and is priced by the minute."""
    (tmp_path / "voices.md").write_text(
        "---\nkind: interpreter\nlanguages: [ja, en]\nmodel: gpt-realtime-translate\n---\nTwo people talk.\n"
    )
    result = patient.ask(AGENTS_DIR=str(tmp_path), MAX_CALL_COST_USD="0.50")
    assert told(result, "fault") == told(result, "warning") == []
    assert "OpenAI opens a session of gpt-realtime-translate" in told(result, "ok")
    assert [session.received for session in patient.openai.translations] == [[]]
