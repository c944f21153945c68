"""Calls at the desk: as they go on, and afterwards."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from callapp.simulators.clips import Clip
from callapp.simulators.model_faults import Reset
from callapp.simulators.model_script import Call as Tool
from callapp.simulators.model_script import Say, Script
from callapp.simulators.model_session import Session
from callapp.simulators.phone import Call, Callee, HearPause, WaitForEnd
from callapp.simulators.phone import Say as Speak
from callapp.simulators.speech import Speech
from tests.browser.conftest import Browser, browser_at
from tests.browser.test_pages import WIDTHS, faults, overhang, presses_that_count
from tests.stage import DEADLINE_S, Scene, Server, eventually, words

QUESTION = words("When are you open?", 900)
ANSWER = words("From ten to seven.", 600)
DURATION = "return document.querySelector('audio').duration || 0"
SHOWN = "+81 90-1234-5678"
# A page that is looked at again asks at once.
COME_BACK = "document.dispatchEvent(new Event('visibilitychange'))"


@pytest.fixture(scope="module")
def desk(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser_at(server, tmp_path_factory.mktemp("calls")) as browser:
        browser.sign_in()
        yield browser


def asker() -> Callee:
    return Callee([Speak(QUESTION), WaitForEnd()], rings_ms=0)


def script(*more: Any) -> Script:
    return Script([Tool("opening_hours", {"day": "Monday"})], Say(ANSWER), *more)


def has_moved(desk: Browser, meter: str) -> bool:
    """Whether a meter was ever set, also if it has fallen since."""
    shown = "return document.querySelector(arguments[0])?.firstElementChild.style.transform ?? ''"
    return bool(desk.driver.execute_script(shown, meter))


def asked(desk: Browser, path: str) -> int:
    """How often the page has asked for something."""
    count = (
        "return performance.getEntriesByType('resource').filter((e) => e.name.endsWith(arguments[0])).length"
    )
    return int(desk.driver.execute_script(count, path))


def known(*clips: Clip) -> dict[str, Any]:
    """A model that knows these recordings."""
    return {"speech": Speech(clips), "transcript_after_ms": 0}


def watched(desk: Browser, scene: Scene, agent: str = "quiet") -> tuple[Call, Session]:
    """A call whose session stands, with the desk at its page."""
    call, session = scene.live(agent=agent)
    assert eventually(lambda: desk.server.get(f"/calls/{call.sid}").status == 200)
    desk.open(f"/desk/calls/{call.sid}")
    return call, session


def test_a_call_is_seen_as_it_goes_on_and_is_ended_by_the_button(
    server: Server, desk: Browser, axe: str
) -> None:
    with server.scene(script(), **known(QUESTION, ANSWER)) as scene:
        desk.open("/desk/live")
        desk.wait(lambda: desk.find("#none").is_displayed())
        assert "Nobody is on the line" in desk.text("#none")
        call = scene.dial(asker(), agent="handy")
        desk.wait(lambda: SHOWN in desk.text("#calls"))
        assert desk.text("#count") == "1"
        desk.wait(lambda: "From ten to seven." in desk.text("#calls .said"))
        desk.wait(lambda: has_moved(desk, "#calls .meter.caller"))
        assert asked(desk, "/live/calls") <= 2  # it is told by itself
        assert faults(desk, axe) == []
        desk.leave_by("#calls a")
        desk.wait(lambda: "From ten to seven." in desk.text("#story"))
        story = desk.text("#story")
        for text in ("When are you open?", "opening_hours", "Monday: 10:00-19:00"):
            assert text in story, text
        assert faults(desk, axe) == []
        desk.leave_by("#orders .end")
        call.wait_ended(20)
        desk.wait(lambda: "server.hung_up" in desk.text("#facts"))
        desk.wait(lambda: desk.text("#orders") == "")
    assert desk.complaints() == []


def test_a_page_that_is_told_nothing_asks(server: Server, desk: Browser) -> None:
    """Some platforms keep back what is not complete."""
    with desk.kept_from("*/events"), server.scene(script(), **known(QUESTION, ANSWER)) as scene:
        desk.open("/desk/live")
        call = scene.dial(asker(), agent="handy")
        desk.wait(lambda: SHOWN in desk.text("#calls"))
        desk.wait(lambda: "From ten to seven." in desk.text("#calls .said"))
        desk.wait(lambda: asked(desk, "/live/calls") > 1)
        assert not desk.find("#calls .meter").is_displayed()
        desk.leave_by("#calls a")
        desk.wait(lambda: "From ten to seven." in desk.text("#story"))
        call.hang_up()
        desk.wait(lambda: desk.text("#orders") == "")
        scene.ending(call)
    assert [one for one in desk.complaints() if "/events" not in one] == []


def test_a_page_of_a_call_says_when_the_server_does_not_answer(server: Server, desk: Browser) -> None:
    """Its clock goes on, and the call may be over."""
    with server.scene(script(), **known(QUESTION, ANSWER)) as scene:
        with desk.kept_from("*/events"):
            call, _ = watched(desk, scene)
            desk.wait(lambda: asked(desk, "/now") > 1)
            assert not desk.find("#fault").is_displayed()
        with desk.kept_from("*/events", "*/now"):
            desk.wait(lambda: desk.find("#fault").is_displayed())
            assert "does not answer" in desk.text("#fault")
        desk.wait(lambda: not desk.find("#fault").is_displayed())
        scene.hang_up(call)
    desk.complaints()  # of what was kept from it


def test_a_page_says_so_when_the_server_takes_a_question_and_never_answers(desk: Browser) -> None:
    """A process that hangs, or a network that is gone: the browser would wait for minutes."""
    desk.open("/desk/phone")
    ask = """
        const patience = AbortSignal.timeout;
        AbortSignal.timeout = (ms) => patience.call(AbortSignal, ms / 100);
        window.fetch = (_url, { signal } = {}) =>
          new Promise((_answer, fail) => signal?.addEventListener("abort", () => fail(signal.reason)));
        const { watch } = await import("/static/desk/watch.js");
        return new Promise((failed) => watch("calls/none/now", () => null, failed));
    """
    assert desk.run(ask) is True


def test_a_page_that_is_told_of_news_while_it_asks_asks_once_more(desk: Browser) -> None:
    """And not for ever, as fast as it can, where nothing has changed since."""
    desk.open("/desk/phone")
    ask = """
        let asked = 0;
        window.fetch = async () => {
          if (++asked > 1) return new Response(null, { status: 304 });
          await null;
          asking.look();
          return new Response();
        };
        const { watch } = await import("/static/desk/watch.js");
        const asking = watch("calls/none/now", () => 60000);
        await new Promise((resolve) => setTimeout(resolve, 300));
        return asked;
    """
    assert desk.run(ask) == 2


def test_a_page_whose_call_was_deleted_says_so(server: Server, desk: Browser) -> None:
    """It said that the server does not answer, and asked for ever."""
    with server.scene(script(), **known(QUESTION, ANSWER)) as scene:
        call, _ = watched(desk, scene)
        with desk.kept_from("*/events", "*/now"):  # it does not see the end
            scene.hang_up(call)
            assert eventually(lambda: server.request("DELETE", f"/calls/{call.sid}").status == 204)
        desk.wait(lambda: "There is no such call" in desk.text("main"))
    desk.complaints()  # of what is not there


def test_a_model_that_is_lost_and_comes_back_is_seen_to(server: Server, desk: Browser, axe: str) -> None:
    with server.scene(script(), **known(QUESTION, ANSWER)) as scene:
        call, session = watched(desk, scene)
        session.strike(Reset())
        scene.session()
        desk.wait(lambda: "the model is back" in desk.text("#story"))
        story = desk.text("#story")
        assert story.index("the model is lost") < story.index("the model is back")
        assert faults(desk, axe) == []
        call.speak(QUESTION)
        desk.wait(lambda: desk.find("#levels .meter.caller").get_attribute("aria-valuenow") != "0")
        scene.hang_up(call)
        desk.wait(lambda: desk.text("#levels") == "")
    assert desk.complaints() == []


def test_what_is_whispered_reaches_the_model_and_not_the_caller(server: Server, desk: Browser) -> None:
    with server.scene(script(), **known(QUESTION, ANSWER)) as scene:
        call, session = watched(desk, scene)
        desk.find("#whisper").send_keys("Offer them a discount.")
        desk.leave_by(".whisper button")
        created = session.expect("conversation.item.create")["item"]
        assert created["role"] == "system"
        assert "Offer them a discount." in created["content"][0]["text"]
        scene.hang_up(call)
    assert desk.complaints() == []


def test_a_caller_is_put_through_by_a_button(server: Server, desk: Browser) -> None:
    """Where the call is carried here, the agent says so first."""
    with server.scene(Script(Say(words("One moment, please.", 400)))) as scene:
        call, session = watched(desk, scene, "clerk")
        scene.carrier.next_callee(Callee(rings_ms=0))
        desk.leave_by("[name=destination][value=support]")
        session.expect("response.create")
        assert "put through" in desk.text(".notice")
        assert eventually(lambda: len(scene.carrier.calls) == 2, DEADLINE_S)  # somebody's phone rings
        for one in scene.carrier.calls:
            one.hang_up()
        scene.ending(call)
    assert desk.complaints() == []


@pytest.mark.parametrize(("width", "height"), [(320, 640), (640, 400)], ids=["phone", "zoomed"])
def test_on_a_small_window_the_buttons_of_a_call_leave_room_for_what_is_said(
    server: Server, desk: Browser, width: int, height: int
) -> None:
    """They stay in sight, too; and where they are in two rows, these do not touch."""
    measure = """
        scrollTo(0, document.documentElement.scrollHeight);
        const { height } = document.getElementById("orders").getBoundingClientRect();
        const all = [...document.querySelectorAll("[name=destination]")];
        const [one, other] = all.map((button) => button.getBoundingClientRect());
        return [height / innerHeight, other.top === one.top || other.top - one.bottom > 4];
    """
    with desk.sized(width, height), server.scene(script()) as scene:
        call, _ = watched(desk, scene, "clerk")
        share, apart = desk.driver.execute_script(measure)
        assert share < 0.5
        assert apart
        assert overhang(desk) == 0
        scene.hang_up(call)
    assert desk.complaints() == []


@pytest.mark.parametrize("button", [".whisper button", "[name=destination]"])
def test_what_is_pressed_twice_is_asked_for_once(server: Server, desk: Browser, button: str) -> None:
    """The model was told twice; and a caller who was being put through was told of as a call that is over."""
    with server.scene(script()) as scene:
        call, _ = watched(desk, scene, "clerk")
        desk.find("#whisper").send_keys("Offer them a discount.")
        assert presses_that_count(desk, button, 2) == 1
        assert presses_that_count(desk, ".end", 1) == 1
        scene.hang_up(call)
    assert desk.complaints() == []


def test_a_call_is_found_by_its_words_and_heard_again(server: Server, desk: Browser, axe: str) -> None:
    ends = [Say(words("Goodbye then.", 500)), Tool("end_call", {"reason": "done"})]
    with server.scene(script(ends), **known(QUESTION, ANSWER)) as scene:
        person = Callee([Speak(QUESTION), HearPause(300), Speak(QUESTION), WaitForEnd()], rings_ms=0)
        call = scene.dial(person, agent="taped")
        assert scene.ending(call).reason == "agent.ended"
        assert eventually(lambda: server.get(f"/calls/{call.sid}").json["status"] == "completed")
        assert eventually(lambda: server.get(f"/calls/{call.sid}").json["recording"])
        desk.open("/desk/history")
        desk.find("[name=words]").send_keys("Goodbye then")
        desk.leave_by(".filters button")
        assert re.search(r"[?&]zone=\w", desk.driver.current_url)
        assert desk.text(".calls").count(SHOWN) == 1
        assert "agent.ended" in desk.text(".calls")
        assert faults(desk, axe) == []
        desk.leave_by(".calls a")
        assert "Goodbye then." in desk.text("#story")
        assert "ms" in desk.text("#facts")
        desk.wait(lambda: desk.driver.execute_script(DURATION) > 2)
        desk.wait(lambda: len(desk.driver.find_elements("css selector", ".wave path")) == 2)
        (goodbye,) = (
            u for u in server.get(f"/calls/{call.sid}").json["utterances"] if "Goodbye" in u["text"]
        )
        desk.click(f"[data-at='{goodbye['startMs']}']")
        desk.wait(lambda: "Goodbye then." in desk.text("[data-now]"))
        desk.click("summary")
        assert faults(desk, axe) == []
        desk.click("details a")
        saved = desk.downloads / f"{call.sid}.json"
        assert eventually(saved.exists)
        assert json.loads(saved.read_text()) == server.get(f"/calls/{call.sid}").json
        desk.open("/desk/history?words=never+said")
        assert "No call was found" in desk.text("main")
    assert desk.complaints() == []


def test_a_page_that_was_open_as_a_call_ended_has_no_times_that_lead_nowhere(
    server: Server, desk: Browser
) -> None:
    """Its recording can be there before its end is told; the player comes with the next load."""
    with server.scene(script(), **known(QUESTION, ANSWER)) as scene:
        call = scene.dial(asker(), agent="taped")
        assert eventually(lambda: server.get(f"/calls/{call.sid}").status == 200)
        desk.open(f"/desk/calls/{call.sid}")
        desk.wait(lambda: "From ten to seven." in desk.text("#story"))
        leave = "Object.defineProperty(document, 'hidden', {configurable: true, get: () => arguments[0]})"
        desk.driver.execute_script(f"{leave}; {COME_BACK}", True)
        call.hang_up()
        scene.ending(call)
        assert eventually(lambda: server.get(f"/calls/{call.sid}").json["recording"])
        desk.driver.execute_script(f"delete document.hidden; {COME_BACK}")
        desk.wait(lambda: desk.text("#orders") == "")
        assert desk.driver.find_elements("css selector", "#story button") == []
        desk.open(f"/desk/calls/{call.sid}")
        assert desk.find("#player").is_displayed()
        assert desk.find("#story button").is_displayed()
    assert desk.complaints() == []


def test_what_has_no_place_to_break_makes_no_page_wider(server: Server, desk: Browser) -> None:
    """Parameters and tools have names like that."""
    with desk.sized(*WIDTHS["phone"]):
        with server.scene(Script([Tool("w" * 64, {})], Say(ANSWER)), **known(QUESTION, ANSWER)) as scene:
            call = scene.dial(asker(), agent="handy", parameters={"n" * 64: "v" * 64})
            assert eventually(lambda: "From ten" in server.get(f"/calls/{call.sid}").text, DEADLINE_S)
            desk.open(f"/desk/calls/{call.sid}")
            assert overhang(desk) == 0
            call.hang_up()
            scene.ending(call)
        desk.open("/desk/numbers")
        assert "w" * 64 in desk.text("main")
        assert overhang(desk) == 0


def test_what_ended_a_call_is_broken_where_a_word_of_it_ends(server: Server, desk: Browser) -> None:
    """On a phone it was "caller.hung_u", and a "p" below."""
    words = """
        const lines = (word) => {
          const range = document.createRange();
          range.selectNodeContents(word);
          return new Set([...range.getClientRects()].map(({ top }) => top)).size;
        };
        const codes = [...document.querySelectorAll(arguments[0])];
        const code = codes.find(({ textContent }) => textContent.includes("hung_up"));
        return [...code.childNodes].filter(({ nodeType, data }) => nodeType === 3 && data.trim())
          .map((word) => [word.data.trim(), lines(word)]);
    """
    with server.scene(script()) as scene:
        call, _ = scene.live(agent="quiet")
        scene.hang_up(call)
    assert eventually(lambda: "caller.hung_up" in server.get(f"/calls/{call.sid}").text)
    with desk.sized(320, 700):
        for path, where in ((f"/desk/calls/{call.sid}", "#facts dd"), ("/desk/numbers", ".shares th")):
            desk.open(path)
            desk.wait(lambda: "caller.hung_up" in desk.text("main"))
            told = desk.driver.execute_script(words, where)
            assert told == [["caller.", 1], ["hung_", 1], ["up", 1]], path
            assert overhang(desk) == 0


def test_what_is_told_late_is_put_where_it_belongs(desk: Browser) -> None:
    """A tool is told of when it is done: a quick one before the slow one that had begun earlier."""
    desk.open("/desk/phone")
    follow = """
        const [stories] = args;
        window.fetch = async () => {
          const lines = stories.shift().map(([id, words]) => `<li id="${id}">${words}</li>`).join("");
          const over = stories.length === 0;
          const facts = `<section id="facts" data-over="${over}"></section>`;
          return new Response(`${facts}<ol id="story">${lines}</ol>`);
        };
        const { follow } = await import("/static/desk/story.js");
        const read = () => [...document.querySelectorAll("#story li")].map((line) => line.innerText);
        const now = document.getElementById("now");
        await new Promise((over) => follow(now, "calls/none/now", { over }));
        return read();
    """
    stories = [
        [("said-1", "When?"), ("tool-0", "quick")],
        [("tool-0", "slow"), ("said-1", "When?"), ("tool-1", "quick"), ("said-2", "At ten.")],
    ]
    assert desk.run(follow, stories) == ["slow", "When?", "quick", "At ten."]
    desk.complaints()  # there is no such call to listen to


def test_a_page_whose_session_is_over_leads_to_the_sign_in(server: Server, desk: Browser) -> None:
    """It would show for ever what went on when the session ended: a call, say, that is long over."""
    with server.scene(script(), **known(QUESTION, ANSWER)) as scene:
        call, _ = scene.live(agent="quiet")
        assert eventually(lambda: server.get(f"/calls/{call.sid}").status == 200)
        for path in ("/desk/live", f"/desk/calls/{call.sid}"):
            desk.open(path)
            desk.wait(lambda: desk.text("#calls a, #facts") != "")
            desk.driver.delete_all_cookies()
            desk.driver.execute_script(COME_BACK)
            desk.wait(lambda: desk.driver.current_url.endswith("/desk/sign-in"))
            desk.sign_in()
        scene.hang_up(call)
    assert [one for one in desk.complaints() if "/events" not in one] == []


def test_a_page_that_is_told_no_more_asks_for_all(desk: Browser) -> None:
    """What it had asked for before may be what is so again, and not what it was told meanwhile."""
    desk.open("/desk/phone")
    ask = """
        const known = [];
        let answered;
        window.fetch = async (_url, { headers }) => {
          known.push(headers["If-None-Match"] ?? null);
          answered();
          return new Response("", { headers: { ETag: '"nobody"' } });
        };
        const { watch } = await import("/static/desk/watch.js");
        const next = () => new Promise((resolve) => (answered = resolve));
        const first = next();
        const asking = watch("", async () => 50);
        await first;
        await next();
        asking.rest(true);
        await new Promise((resolve) => setTimeout(resolve, 200)); // it asks no more
        const third = next();
        asking.rest(false);
        await third;
        asking.stop();
        return known;
    """
    assert desk.run(ask) == [None, '"nobody"', None]
