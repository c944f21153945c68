"""The browser phone, in a real browser: a whole call, and what its parts make of sound."""

from __future__ import annotations

import json
import math
import os
import signal
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from callapp.simulators import stand_in, ulaw
from callapp.simulators.clips import clip
from callapp.simulators.model_script import Say, Script
from callapp.simulators.speech import Speech
from tests.browser.conftest import Browser, browser_at
from tests.stage import DEADLINE_S, Server, eventually, words

GREETING_S = 1.6
SILENT = b"\xff"
FRAME = 160

pytestmark = pytest.mark.timeout(90)


def silence(seconds: float) -> bytes:
    return ulaw.silence(int(seconds * 1000))


def tracks(wav: Path) -> tuple[bytes, bytes]:
    """What the page sent, and what its ear got: mu-law."""
    data = wav.read_bytes()
    form, channels, rate = struct.unpack_from("<HHI", data, 20)
    assert (data[:4], data[8:12], form, channels, rate) == (b"RIFF", b"WAVE", 7, 2, 8000)
    assert len(data) == 8 + struct.unpack_from("<I", data, 4)[0]
    return data[58::2], data[59::2]


def lost(audio: bytes) -> int:
    """How many frames are silence, of a caller who never is."""
    begin = len(audio) - len(audio.lstrip(SILENT))  # the microphone takes a moment
    frames = [audio[at : at + FRAME // 2] for at in range(begin, len(audio), FRAME // 2)]
    return sum(frame == SILENT * (FRAME // 2) for frame in frames)


def seconds(browser: Browser) -> int:
    """How old the call is, by the page's own clock."""
    minutes, past = browser.text("#clock").split(":")
    return 60 * int(minutes) + int(past)


def end_of(server: Server, call_sid: str) -> str:
    return (
        server.wait_for_line(call_sid, "x call ended", within_s=2 * DEADLINE_S)
        .split("x call ended: ")[1]
        .split()[0]
    )


@pytest.mark.alone
def test_a_whole_call_is_had_in_the_browser(server: Server, tmp_path: Path) -> None:
    """Greeting, keys, question, answer, barge-in, goodbye; on the way of a phone's call, byte for byte."""
    said = ("caller-question", "caller-name", "caller-goodbye")
    speech = [clip(name).audio for name in said]
    microphone = silence(4.5) + speech[0] + silence(3.4) + speech[1] + silence(5) + speech[2] + silence(9)
    with (
        server.scene(stand_in.script(), speech=Speech.bundled()) as scene,
        browser_at(server, tmp_path, microphone) as browser,
    ):
        browser.sign_in()
        browser.open("/desk/phone")
        browser.click("#call")
        session = scene.session()
        browser.wait(lambda: browser.text("#first-sound") != "–")
        begun = seconds(browser)
        browser.wait(lambda: seconds(browser) > begun + GREETING_S)  # keys cut it short, as a voice does
        browser.click("[data-key='5']")
        browser.find("body").send_keys("#")  # the computer's own keyboard
        call_sid = browser.text("#call-sid")
        assert end_of(server, call_sid) == "agent.ended"
        browser.wait(lambda: browser.text("#state") == "The call is over")
        browser.click("#recording")
        saved = tmp_path / f"{call_sid}.wav"
        assert eventually(saved.exists)
        sent, heard = tracks(saved)

        # The agent is heard byte for byte, and to its end where nobody interrupted it.
        for name in ("agent-greeting", "agent-digit-5", "agent-preamble", "agent-change", "agent-goodbye"):
            assert clip(name).audio.rstrip(SILENT) in heard, name
        # The model heard just what was sent, in order, and took each utterance for speech.
        assert session.heard_audio in sent
        spoken = session.sent_events("input_audio_buffer.speech_started")
        assert len(spoken) == len(said)
        stopped = session.sent_events("input_audio_buffer.speech_stopped")
        for begin, end, audio in zip(spoken, stopped, speech, strict=True):
            lasted_ms = end["audio_end_ms"] - begin["audio_start_ms"]
            wanted_ms = len(audio) / ulaw.BYTES_PER_MS
            assert 0.7 * wanted_ms < lasted_ms < wanted_ms + 1000  # with some silence around it
        # The barge-in: what was cut is what the ear did not get.
        (cut,) = session.received_events("conversation.item.truncate")
        answer = clip("agent-answer").audio
        played = next(n for n in range(len(answer), 0, -80) if answer[:n] in heard)
        assert played < len(answer) / 2
        assert cut["audio_end_ms"] == pytest.approx(played / ulaw.BYTES_PER_MS, abs=150)
        # The figures that the page tells; by how much they may differ is not this machine's to say.
        waits = json.loads(f"[{browser.text('#voice-to-voice').removesuffix(' ms').replace(' · ', ',')}]")
        assert len(waits) == 3
        assert all(300 < wait < 5000 for wait in waits)
        assert browser.text("#barge-in").endswith("ms")
        print(f"voice to voice {waits} ms, barge-in {browser.text('#barge-in')}")
        # What was said stands on the page, too.
        browser.wait(lambda: "agent.ended" in browser.text("#facts"))
        story = browser.text("#story")
        for name in ("agent-greeting", "agent-preamble", "agent-change", "agent-goodbye"):
            assert clip(name).text in story
        # No phone company has a part in it, and the page kept to its policy.
        assert scene.carrier.calls == []
        assert browser.complaints() == []


def test_the_agent_knows_who_calls_muted_is_silent_and_hanging_up_ends_it(
    server: Server, tmp_path: Path
) -> None:
    noise = ulaw.babble("a room full of people", 20_000)
    with server.scene() as scene, browser_at(server, tmp_path, noise) as browser:
        browser.sign_in()
        browser.open("/desk/phone")
        browser.click("#agent option[value='named']")
        browser.find("input[name='age']").send_keys("41")
        browser.find("input[name='name']").send_keys("Tanaka")
        browser.click("#call")
        session = scene.session()
        update = session.expect("session.update", DEADLINE_S)
        assert "You speak with Tanaka, who is 41." in update["session"]["instructions"]
        session.wait_for(lambda: len(session.heard_audio.replace(SILENT, b"")) > 4000, DEADLINE_S)
        browser.click("#mute")
        session.wait_for(lambda: session.heard_audio.endswith(silence(0.4)), DEADLINE_S)
        browser.click("#noise")  # muted is muted
        browser.click("#mute")
        session.wait_for(lambda: not session.heard_audio.endswith(silence(0.02)), DEADLINE_S)
        call_sid = browser.text("#call-sid")
        browser.click("#hang-up")
        assert end_of(server, call_sid) == "caller.hung_up"
        browser.wait(lambda: browser.text("#state") == "The call is over")
        assert browser.complaints() == []


@contextmanager
def in_a_call(server: Server, tmp_path: Path) -> Iterator[Browser]:
    """A browser whose phone has reached the agent."""
    with server.scene(), browser_at(server, tmp_path) as browser:
        browser.sign_in()
        browser.open("/desk/phone")
        browser.click("#call")
        browser.wait(lambda: browser.text("#state") == "In the call")
        yield browser


def test_who_hangs_up_waits_for_no_server(server: Server, tmp_path: Path) -> None:
    """One that is out of reach says nothing; a browser would keep line and microphone open for a minute."""
    with in_a_call(server, tmp_path) as browser:
        (worker,) = server.workers
        os.kill(worker, signal.SIGSTOP)
        try:
            browser.click("#hang-up")
            browser.wait(lambda: browser.text("#state") == "The call is over")
        finally:
            os.kill(worker, signal.SIGCONT)
        assert browser.text("#fault") == ""
        assert end_of(server, browser.text("#call-sid")) == "caller.hung_up"


def test_a_call_that_ended_at_once_is_not_followed_into_the_next(server: Server, tmp_path: Path) -> None:
    """What was said in it came up on the page of that one."""
    with server.scene(credit=False), browser_at(server, tmp_path) as browser:
        browser.sign_in()
        browser.open("/desk/phone")
        browser.run("""
            const phone = document.getElementById("phone"), call = document.getElementById("call");
            window.callSids = [];
            new MutationObserver(() => {
                if (phone.dataset.state !== "idle") return;
                callSids.push(document.getElementById("call-sid").textContent);
                if (callSids.length === 1) call.click();
            }).observe(phone, { attributeFilter: ["data-state"] });
        """)
        browser.click("#call")

        def followed() -> set[str]:
            asked = "performance.getEntriesByType('resource').map((one) => one.name)"
            names = browser.driver.execute_script(f"return {asked}.filter((name) => name.endsWith('/now'))")
            return {name.split("/")[-2] for name in names}

        browser.wait(followed, 2 * DEADLINE_S)
        browser.wait(lambda: browser.text("#call-sid") in followed(), 2 * DEADLINE_S)
        first, second = browser.driver.execute_script("return callSids")
        assert followed() == {second} != {first}


def test_who_reads_what_was_said_as_the_call_ends_reads_on(server: Server, tmp_path: Path) -> None:
    with server.scene() as scene, browser_at(server, tmp_path) as browser:
        browser.sign_in()
        browser.driver.set_window_size(500, 500)
        browser.open("/desk/phone")
        browser.click("#call")
        scene.session()
        browser.wait(lambda: browser.text("#story"))
        browser.driver.execute_script("document.getElementById('story').scrollIntoView()")
        scene.model.close()
        browser.wait(lambda: browser.text("#state") == "The call is over", 2 * DEADLINE_S)
        assert browser.driver.execute_script("return document.activeElement.id") == "call"
        top = browser.driver.execute_script(
            "return document.getElementById('story').getBoundingClientRect().top"
        )
        assert abs(top) < 250, "it is out of sight"


def test_a_server_that_is_gone_is_not_taken_for_a_missing_microphone(page: Browser) -> None:
    """The worklets are asked for at each call, so they are the first to be missed."""
    page.open("/desk/phone")
    page.driver.execute_script("document.getElementById('phone').dataset.capture = '/nowhere.js'")
    page.click("#call")
    page.wait(lambda: page.text("#fault"))
    assert page.text("#fault") == "The server does not answer."


# What the browser waits for, one after the other: worklets, the order of the call, its line.
HURRY = """
    const set = setTimeout, patience = AbortSignal.timeout, ask = fetch;
    window.setTimeout = (done, ms, ...more) => set(done, ms / 20, ...more);
    AbortSignal.timeout = (ms) => patience.call(AbortSignal, ms / 20);
    const shown = (moment) => {
      window.reached = moment;
      return new Promise((go) => (window.goOn = go));
    };
    const media = navigator.mediaDevices, open = media.getUserMedia;
    media.getUserMedia = async (...what) => {
      const microphone = await open.apply(media, what);
      await shown("worklets");
      return microphone;
    };
    window.fetch = async (...what) => {
      await shown("order");
      const answer = await ask(...what);
      await shown("line");
      return answer;
    };
"""


@pytest.mark.parametrize("silent_from", ["worklets", "order", "line"])
def test_a_server_that_says_nothing_is_not_waited_for_for_ever(
    server: Server, page: Browser, silent_from: str
) -> None:
    """A browser does, for minutes, and a call that is not there yet cannot be hung up."""
    page.open("/desk/phone")
    page.driver.execute_script(HURRY)
    page.click("#call")
    (worker,) = server.workers
    try:
        for moment in ("worklets", "order", "line"):
            page.wait(lambda moment=moment: page.driver.execute_script("return window.reached") == moment)  # type: ignore[misc]
            if moment == silent_from:
                os.kill(worker, signal.SIGSTOP)
            page.driver.execute_script("window.goOn()")
            if moment == silent_from:
                break
        page.wait(lambda: page.text("#fault"))
    finally:
        os.kill(worker, signal.SIGCONT)
    assert page.text("#fault") == "The server does not answer."
    assert page.text("#state") == "Ready"
    assert page.find("#call").is_enabled()


def test_a_hang_up_that_is_pressed_twice_does_not_call_again(server: Server, tmp_path: Path) -> None:
    with in_a_call(server, tmp_path) as browser:
        call_sid = browser.text("#call-sid")
        press = ActionChains(browser.driver, duration=0)
        press.move_to_element(browser.find("#hang-up")).click().pause(0.1).click().send_keys(
            Keys.ENTER
        ).perform()
        assert end_of(server, call_sid) == "caller.hung_up"
        assert browser.text("#state") == "The call is over"
        assert browser.text("#call-sid") == call_sid


def test_a_bad_line_is_one_for_both_sides(server: Server, tmp_path: Path) -> None:
    """Frames get lost on the way from the agent, and to it; there it is silent for as long."""
    greeting = words("A long greeting.", 10_000)
    microphone = silence(13) + ulaw.tone(500, 60_000)
    with (
        server.scene(Script(otherwise=Say(greeting))) as scene,
        browser_at(server, tmp_path, microphone) as browser,
    ):
        browser.sign_in()
        browser.open("/desk/phone")
        browser.click("#agent option[value='host']")  # who speaks first
        browser.click("#loss")
        browser.click("#call")
        session = scene.session()
        # Only a burst of five frames or more is filled with silence, and one in five is as long: in half a
        # minute there can be none.
        session.wait_for(lambda: lost(session.heard_audio), 3 * DEADLINE_S)
        browser.click("#loss")
        told = len(session.heard_audio) + 8 * 500  # what is on its way
        session.wait_for(lambda: len(session.heard_audio) > told + 8 * 2_000, DEADLINE_S)
        assert not lost(session.heard_audio[told:])
        browser.click("#hang-up")
        browser.wait(lambda: browser.text("#state") == "The call is over")
        call_sid = browser.text("#call-sid")
        browser.click("#recording")
        saved = tmp_path / f"{call_sid}.wav"
        assert eventually(saved.exists)
        _, heard = tracks(saved)
        pieces = [greeting.audio[at : at + FRAME] for at in range(0, len(greeting.audio), FRAME)]
        whole = sum(piece in heard for piece in pieces)
        assert len(pieces) * 0.7 < whole < len(pieces)
        assert browser.complaints() == []


def test_noise_is_heard_around_a_caller_who_is_silent(server: Server, tmp_path: Path) -> None:
    with server.scene() as scene, browser_at(server, tmp_path) as browser:
        browser.sign_in()
        browser.open("/desk/phone")
        browser.click("#agent option[value='quiet']")
        browser.click("#call")
        session = scene.session()
        session.wait_for(lambda: session.heard_audio.endswith(silence(0.4)), DEADLINE_S)
        browser.click("#noise")
        session.wait_for(lambda: SILENT * 4 not in session.heard_audio[-1600:], DEADLINE_S)
        loudest = max(abs(ulaw.SAMPLES[byte]) for byte in session.heard_audio)
        assert 200 < loudest < 4000  # of 32,768: no voice
        browser.click("#noise")
        session.wait_for(lambda: session.heard_audio.endswith(silence(0.4)), DEADLINE_S)
        browser.click("#hang-up")
        browser.wait(lambda: browser.text("#state") == "The call is over")
        assert browser.complaints() == []


def test_without_a_key_a_pretend_model_answers(tmp_path: Path) -> None:
    server = Server(tmp_path / "server", OPENAI_API_KEY="")
    try:
        with browser_at(server, tmp_path) as browser:
            browser.sign_in()
            browser.open("/desk/phone")
            assert eventually(lambda: "pretend model" in browser.text(".notice"))
            browser.click("#call")
            browser.wait(lambda: browser.text("#first-sound") != "–")
            browser.click("#hang-up")
            assert end_of(server, browser.text("#call-sid")) == "caller.hung_up"
    finally:
        server.terminate()
        assert server.wait(DEADLINE_S) == 0
        server.close()


# -- what its parts make of sound ---------------------------------------------------------------


@pytest.fixture(scope="module")
def page(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Any:
    with browser_at(server, tmp_path_factory.mktemp("page")) as browser:
        browser.sign_in()
        browser.open("/desk/phone")
        yield browser


def test_a_twentieth_of_all_frames_is_lost_in_bursts(page: Browser) -> None:
    script = """
        const { Loss } = await import("/static/desk/bad-line.js");
        const loss = new Loss();
        const quiet = Array.from({ length: 1000 }, () => loss.next()).includes(true);
        loss.on = true;
        const lost = Array.from({ length: 200000 }, () => loss.next());
        const bursts = lost.filter((is, n) => is && !lost[n - 1]).length;
        const all = lost.filter(Boolean).length;
        return [quiet, all / lost.length, all / bursts];
    """
    quiet, share, burst = page.run(script)
    assert not quiet
    assert share == pytest.approx(0.05, abs=0.01)
    assert burst == pytest.approx(3, abs=0.3)


def test_mu_law_is_that_of_the_standard(page: Browser) -> None:
    """Judged by the simulators' codec, which shares nothing with the page's."""
    script = """
        const { decode, encode } = await import("/static/desk/mulaw.js");
        return args[0].map((sample) => encode(sample / 32768))
            .concat([...Array(256).keys()].map((byte) => decode(byte) * 32768));
    """
    samples = list(range(-32768, 32768, 61))
    answer = page.run(script, samples)
    encoded, decoded = answer[: len(samples)], answer[len(samples) :]
    pcm24 = b"".join(struct.pack("<h", sample) * 3 for sample in samples)
    assert bytes(encoded) == ulaw.to_ulaw(pcm24, "audio/pcm")
    assert decoded == [ulaw.SAMPLES[byte] for byte in range(256)]


@pytest.mark.parametrize("rate_hz", [48_000, 44_100, 16_000])
@pytest.mark.parametrize(
    ("tone_hz", "passes"), [(300, True), (1000, True), (3000, True), (4600, False), (7000, False)]
)
def test_what_a_phone_cannot_carry_is_filtered_out(
    page: Browser, rate_hz: int, tone_hz: int, passes: bool
) -> None:
    """Without the filter a tone above 4 kHz would come back as another one below."""
    script = """
        const { Resampler } = await import("/static/desk/resampler.js");
        const [rate, tone] = args;
        const resampler = new Resampler(rate, 8000);
        const out = [];
        for (let n = 0; n < rate / 4; n += 128) {
          const wave = (_, i) => Math.sin(2 * Math.PI * tone * (n + i) / rate);
          out.push(...resampler.push(Float32Array.from({ length: 128 }, wave)));
        }
        const kept = out.slice(400, 1600);
        return [out.length, Math.sqrt(kept.reduce((sum, x) => sum + x * x, 0) / kept.length) * Math.SQRT2];
    """
    length, amplitude = page.run(script, rate_hz, tone_hz)
    assert length == pytest.approx(2000, abs=70)  # of blocks that do not end with the tone
    gain_db = 20 * math.log10(amplitude + 1e-9)
    assert abs(gain_db) < 0.5 if passes else gain_db < -45
