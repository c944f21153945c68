"""``flask demo``, as people run it, and what it says when something is wrong."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import wave
from array import array
from contextlib import closing
from pathlib import Path

import pytest
from rich.console import Console

from callapp.simulators import demo_captions, demo_interpreter
from callapp.simulators.demo import _ended_by_signals, demo
from callapp.simulators.demo_captions import perform_captioned, pretend_transcriber
from callapp.simulators.demo_cost import model_usd, transcription_usd
from callapp.simulators.demo_interpreter import perform_interpreted, pretend_translator
from callapp.simulators.demo_plays import PLAYS, RESERVATION
from callapp.simulators.demo_scene import perform, pretend_model
from callapp.simulators.demo_screen import Screen, open_console
from callapp.simulators.demo_watch import Line
from callapp.simulators.model import PretendModel
from callapp.simulators.model_translation import Translating
from callapp.simulators.speech import Speech, babble_clip

ROOT = Path(__file__).parents[2]
LONGEST_S = 45
"""For the whole of it; on a machine that does nothing else it takes about 25 s."""

# What an operator may have in a .env; with any of these in force the demo could not work.
DOTENV = """
CALLAPP_API_KEY=a-key-of-the-operator
OPENAI_REALTIME_MODEL=gpt-of-the-operator
ALLOWED_DESTINATIONS=+1
TWILIO_ACCOUNT_SID=ACoperator
MAX_CALL_SECONDS=1
PUBLIC_URL=https://callapp.example.com
LOG_FORMAT=json
"""

TRANSCRIPT = r"""
A whole call on this machine
gunicorn serves http://127\.0\.0\.1:\d+
callapp  POST /outgoing-call → 201, calls \+819012345678
Twilio   ringing
Twilio   answered
Twilio   こんにちは。オペレーターにお繋ぎします。
model    session of gpt-realtime-2\.1-mini, audio/pcmu both ways
agent    もしもし、こんにちは。
caller   あの、注文した商品は、いつ届きますか。
agent    少々、お待ちください。
agent    ご注文の商品は、.*—
interrupted: \d+ ms sent, \d+ heard, truncated at \d+
caller   あ、すみません。明後日に変更できますか。
agent    はい、明後日に変更しました。ほかにご用件はございますか。
caller   いえ、大丈夫です。ありがとうございました。
agent    お電話ありがとうございました。
model    calls end_call\(reason="用件が済んだ"\) → \{.*\}
callapp  POST …/Calls/CA[0-9a-f]{4}….json Status=completed → 200
Twilio   completed
Duration +[\d.]+ s
Voice to voice +\d+ · \d+ · \d+ ms
Barge-in +[\d.]+ ms
Interrupted +\d+ ms sent
Cost +\$0\.\d+
Ended by +agent\.ended
Recording +instance/demo/demo-\d{8}-\d{6}\.wav
""".strip().splitlines()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project in a folder of its own, with a .env in it."""
    folder = tmp_path / "project"
    shutil.copytree(ROOT / "callapp", folder / "callapp", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("wsgi.py", "gunicorn.conf.py", ".flaskenv"):
        shutil.copy(ROOT / name, folder)
    (folder / ".env").write_text(DOTENV)
    return folder


@pytest.fixture
def no_folder(tmp_path: Path) -> Path:
    """Where nothing can be written: a file, also for root."""
    (tmp_path / "no-folder").touch()
    return tmp_path / "no-folder"


def start(project: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "flask", "demo"],
        cwd=project,
        env={**os.environ, "PYTHONUTF8": "1", "COLUMNS": "80", "TMPDIR": str(project)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def assert_nobody_serves(output: str) -> None:
    """The server's port, and with it every process that had it, is gone."""
    found = re.search(r"http://127\.0\.0\.1:(\d+)", output)
    assert found
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(found.group(1))), 5)


def assert_told(lines: list[str], output: str) -> None:
    """These, as patterns, stand in the output, one after the other."""
    at = 0
    for line in lines:
        found = re.compile(line).search(output, at)
        assert found, f"no {line!r} after {output[:at]!r} in:\n{output}"
        at = found.end()


def assert_voice(samples: array[int]) -> None:
    assert max(samples) > 3000
    assert min(samples) < -3000


def test_a_whole_call_is_made_told_and_recorded_whatever_is_in_dotenv(project: Path) -> None:
    began_s = time.monotonic()
    with start(project) as process:
        output, errors = process.communicate(timeout=LONGEST_S)
    took_s = time.monotonic() - began_s
    assert process.returncode == 0, output + errors
    assert took_s < LONGEST_S
    assert_told(TRANSCRIPT, output)
    assert output.count("session of") == 1
    assert max(map(len, output.splitlines())) <= 80
    assert "\x1b" not in output
    assert_nobody_serves(output)
    (recording,) = (project / "instance" / "demo").iterdir()
    with wave.open(str(recording)) as wav:
        assert (wav.getnchannels(), wav.getsampwidth(), wav.getframerate()) == (2, 2, 8000)
        assert 15 < wav.getnframes() / 8000 < LONGEST_S
        samples = array("h", wav.readframes(wav.getnframes()))
    assert_voice(samples[0::2])
    assert_voice(samples[1::2])


BOOKING = r"""
Twilio   \+819012345678 calls the number whose webhook is
agent    はい、レストラン、オリーブでございます。
caller   明日の夜七時に、二人で予約をお願いします。
agent    確認いたします。
model    calls check_availability\(
"available":true
agent    はい、明日の夜七時、二名様でお取りできます。
caller   田中です。
model    calls book_table\(
agent    田中様で承りました。予約番号は、\d{6}です。
caller   いえ、大丈夫です。ありがとうございました。
agent    お電話ありがとうございました。
model    calls end_call\(
Ended by +agent\.ended
Booked +\d{4}-\d\d-\d\d 19:00, 2 people, 田中, code \d{6}
read from the server's database
""".strip().splitlines()


def test_a_table_is_booked_and_stands_in_the_database(tmp_path: Path) -> None:
    console = Console(file=(screen := io.StringIO()), width=200)
    status = perform(console, tmp_path / "booking.wav", pretend_model(RESERVATION), RESERVATION)
    output = screen.getvalue()
    assert status == 0, output
    assert_told(BOOKING, output)
    codes = set(re.findall(r"(?<!\d)\d{6}(?!\d)", re.sub(r"\d{8}-\d{6}", "", output)))
    assert len(codes) == 1, "what the tool gave is what was said and what is in the database"


def test_two_people_are_interpreted_and_what_each_heard_is_recorded(tmp_path: Path) -> None:
    screen = io.StringIO()
    console = Console(file=screen, width=80)
    assert perform_interpreted(console, tmp_path / "demo.wav", pretend_translator()) == 0, screen.getvalue()
    shown = screen.getvalue()
    for line in (
        "caller   Tokyo: もしもし、注文した本は、いつ届きますか。",
        "agent    → London: Hello, when will the book that I ordered arrive?",
        "agent    → Tokyo: 本日お送りしました。明日の午後に届きます。",
        "agent    → London: Thank you, that is a great help.",
    ):
        assert line in shown
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo-london.wav", "demo-tokyo.wav"]


def test_a_line_that_is_never_heard_and_a_recording_that_cannot_be_written_are_told_beside_the_figures(
    no_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the talk goes on."""
    monkeypatch.setattr(demo_interpreter, "_PLAY", demo_interpreter._PLAY[:1])
    monkeypatch.setattr(demo_interpreter, "_UNHEARD_S", 1.0)
    screen = io.StringIO()
    console = Console(file=screen, width=120)
    knows_nothing = PretendModel(api_key="sk-demo", translating=Translating(Speech.bundled(), {}))
    assert perform_interpreted(console, no_folder / "demo.wav", knows_nothing) == 1
    assert "London did not hear: Hello, when will the book that I ordered arrive?" in screen.getvalue()
    assert "was not over" not in screen.getvalue()
    assert "The recording could not be written:" in screen.getvalue()
    assert "Duration" in screen.getvalue()


def test_the_demo_of_captions_writes_down_two_people_and_keeps_a_recording(tmp_path: Path) -> None:
    screen = io.StringIO()
    console = Console(file=screen, width=80)
    assert perform_captioned(console, tmp_path / "demo.wav", pretend_transcriber()) == 0, screen.getvalue()
    for line in (
        "caller   もしもし、注文した本は、いつ届きますか。",
        "other    We sent it today. It will be with you tomorrow afternoon.",
        "caller   ありがとうございます。助かります。",
    ):
        assert line in screen.getvalue()
    assert [path.name for path in tmp_path.iterdir()] == ["demo.wav"]


def test_a_recording_of_captions_that_cannot_be_written_is_told_beside_the_figures(
    no_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was said, here not much."""
    monkeypatch.setattr(demo_captions, "clip", lambda name: babble_clip(name, name, 200))
    console = Console(file=(screen := io.StringIO()), width=120)
    assert perform_captioned(console, no_folder / "demo.wav", pretend_transcriber()) == 1
    assert "The recording could not be written:" in screen.getvalue()
    assert "Duration" in screen.getvalue()


def test_every_play_can_be_asked_for() -> None:
    (option,) = [option for option in demo.params if option.name == "agent"]
    assert list(option.type.choices) == [*PLAYS, "interpreter", "captions"]  # type: ignore[attr-defined]


def test_a_booking_that_is_not_in_the_database_is_a_failure(tmp_path: Path) -> None:
    """As when a tool only said that it had worked."""
    database = tmp_path / "demo.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(
            "CREATE TABLE reservations (code, day, starts_at, party_size, name, phone, status)"
        )
    assert RESERVATION.outcome is not None
    assert RESERVATION.outcome(database).faults == ("There are 0 reservations in the database, not one.",)


def test_a_demo_that_is_stopped_leaves_no_process_and_no_file(project: Path) -> None:
    with start(project) as process:
        assert process.stdout is not None
        output = ""
        while "session of" not in output:
            line = process.stdout.readline()
            assert line, output
            output += line
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=LONGEST_S)
    assert process.returncode == 130
    assert "Stopped." in rest
    assert "Traceback" not in rest
    assert_nobody_serves(output)
    assert list(project.glob("callapp-*")) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_demo_is_stopped_by_ctrl_c_a_platform_and_a_closed_terminal_alike(number: signal.Signals) -> None:
    # Whatever the tests run under may have ignored some.
    before = {
        one: signal.signal(one, signal.SIG_DFL) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        with pytest.raises(KeyboardInterrupt), _ended_by_signals():
            os.kill(os.getpid(), number)
        assert {signal.getsignal(one) for one in before} == {signal.SIG_IGN}, "cleaning up is not interrupted"
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def test_a_demo_under_nohup_goes_on_without_its_terminal() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with _ended_by_signals():
            os.kill(os.getpid(), signal.SIGHUP)
    except KeyboardInterrupt:
        pytest.fail("It ended.")
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_model_that_refuses_is_a_failure_with_its_reason_and_the_servers_log(tmp_path: Path) -> None:
    """No thread is left either: see conftest."""
    console = Console(file=io.StringIO(), width=80)
    wav = tmp_path / "refused.wav"
    assert perform(console, wav, pretend_model(credit=False)) == 1
    output = console.file.getvalue()  # type: ignore[attr-defined]
    assert "The model refused: credit_balance_exhausted" in output
    assert "The server says the call ended by openai.refused, not agent.ended." in output
    assert "x call ended: openai.refused" in output
    assert_nobody_serves(output)


def shown(lines: list[Line], **how: object) -> str:
    console = Console(file=io.StringIO(), width=40, **how)  # type: ignore[arg-type]
    with Screen(console) as screen:
        screen.show(lines)
        screen.show_rest(lines)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_lines_are_printed_in_order_of_time_once_all_before_them_are_done() -> None:
    lines = [Line(2.0, "model", "second"), Line(1.0, "agent", "first", done=False)]
    console = Console(file=io.StringIO(), width=40)
    with Screen(console) as screen:
        screen.show(lines)
        assert console.file.getvalue() == ""  # type: ignore[attr-defined]
        next(line for line in lines if line.who == "agent").done = True
        screen.show(lines)
    first, second = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert "first" in first
    assert "second" in second


def test_long_lines_hang_beside_their_speaker() -> None:
    line = Line(61.25, "caller", "あの、注文した商品は、いつ届きますか。", speech=True)
    assert shown([line]).splitlines() == [
        "  1:01.2  caller   あの、注文した商品は",
        "                   、いつ届きますか。",
    ]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "shift_jis", "euc_jp", "utf-8"])
def test_no_encoding_can_break_the_output(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written := io.BytesIO(), encoding=encoding))
    open_console().print("もしもし → 3 · … — ▅")
    sys.stdout.flush()
    text = written.getvalue().decode(encoding)
    assert ("もしもし" in text) == (encoding in ("shift_jis", "euc_jp", "utf-8"))


def test_cost_is_priced_by_kind_and_cached_tokens_cost_their_own_price() -> None:
    usage = {
        "input_token_details": {
            "text_tokens": 3000,
            "audio_tokens": 500,
            "cached_tokens_details": {"text_tokens": 1000, "audio_tokens": 100},
        },
        "output_token_details": {"text_tokens": 50, "audio_tokens": 200},
    }
    expected = (2000 * 0.60 + 1000 * 0.06 + 50 * 2.40 + 400 * 10 + 100 * 0.30 + 200 * 20) / 1e6
    assert model_usd("gpt-realtime-2.1-mini", [usage, usage]) == pytest.approx(2 * expected)
    assert model_usd("a-model-of-tomorrow", [usage]) is None
    spoken = [{"type": "duration", "seconds": 30.0}, {"type": "duration", "seconds": 90.0}]
    assert transcription_usd("gpt-transcribe", spoken) == pytest.approx(0.009)
