"""The pages of the desk, as a browser sees them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from callapp.simulators.phone import Callee
from tests.browser.conftest import Browser, browser_at
from tests.stage import THEIR_NUMBER, Server

WIDTHS = {"wide": (1100, 900), "phone": (360, 740)}
PAGES = ("/desk/live", "/desk/history", "/desk/numbers", "/desk/phone", "/desk/dial", "/desk/setup")


@pytest.fixture(scope="module")
def browser(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser_at(server, tmp_path_factory.mktemp("pages")) as browser:
        yield browser


@pytest.fixture
def signed_in(browser: Browser) -> Browser:
    browser.open("/desk")
    if browser.driver.current_url.endswith("/desk/sign-in"):  # the door slows down who signs in for each test
        browser.sign_in()
    browser.complaints()
    return browser


def faults(browser: Browser, axe: str) -> list[Any]:
    browser.driver.execute_script(axe)
    found = browser.run("return (await axe.run()).violations")
    return [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]


def overhang(browser: Browser) -> int:
    """By how much the page is wider than its window."""
    width = "const page = document.documentElement; return page.scrollWidth - page.clientWidth"
    return int(browser.driver.execute_script(width))


def presses_that_count(browser: Browser, button: str, times: int) -> int:
    """How many presses of a button would send its form, while the server has not answered the first."""
    press = """
        let sent = 0;
        const count = (event) => {
          if (!event.defaultPrevented) sent++;
          event.preventDefault();
        };
        addEventListener("submit", count);
        const button = document.querySelector(arguments[0]);
        for (let i = 0; i < arguments[1]; i++) button.click();
        removeEventListener("submit", count);
        return sent;
    """
    return int(browser.driver.execute_script(press, button, times))


def test_signing_in(browser: Browser) -> None:
    browser.driver.delete_all_cookies()
    browser.open("/desk/phone")
    assert browser.driver.current_url.endswith("/desk/sign-in")
    assert not browser.find("[name=username]").is_displayed()  # there for those who keep passwords
    browser.sign_in("not-the-key")
    assert "not the key" in browser.text("[role=alert]")
    browser.complaints()  # a console counts the 403 as one
    browser.sign_in()
    assert browser.text("h1").startswith("Live")
    assert browser.complaints() == []


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing(signed_in: Browser, axe: str, dark: bool) -> None:
    signed_in.dark(dark)
    for path in PAGES:
        signed_in.open(path)
        assert faults(signed_in, axe) == [], path
    signed_in.driver.delete_all_cookies()
    signed_in.open("/desk/sign-in")
    assert faults(signed_in, axe) == []
    assert signed_in.complaints() == []


@pytest.mark.parametrize("dark", [False, True])
def test_what_axe_does_not_look_at_can_be_told_apart_too(signed_in: Browser, dark: bool) -> None:
    """Of text that 4.5 to 1, of a picture 3 to 1: https://www.w3.org/TR/WCAG22/#contrast-minimum."""
    contrasts = """
        const light = (color) => {
          const parts = color.match(/[0-9.]+/g).slice(0, 3).map((part) => part / 255);
          const [r, g, b] = parts.map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
          return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
        };
        const contrast = (one, other) => Math.max(light(one) / light(other), light(other) / light(one));
        const number = document.getElementById("number");
        document.body.insertAdjacentHTML("beforeend", '<div class="meter caller"><span></span></div>');
        const meter = document.querySelector(".meter");
        const ground = (element) => getComputedStyle(element).backgroundColor;
        return [
          contrast(getComputedStyle(number, "::placeholder").color, ground(number)),
          contrast(ground(meter.firstChild), ground(meter)),
        ];
    """
    signed_in.dark(dark)
    signed_in.open("/desk/dial")
    placeholder, meter = signed_in.driver.execute_script(contrasts)
    assert placeholder >= 4.5
    assert meter >= 3


def test_the_words_of_a_plot_can_be_read_on_a_phone(signed_in: Browser) -> None:
    height_of = "return document.querySelector(arguments[0]).getBoundingClientRect().height"
    with signed_in.sized(*WIDTHS["phone"]):
        signed_in.open("/desk/numbers")
        assert (
            signed_in.driver.execute_script(height_of, ".plot text") >= 12
        )  # of a line: the letters are less
        assert signed_in.driver.execute_script(height_of, ".periods") < 50  # one line


@pytest.mark.parametrize("size", WIDTHS.values(), ids=WIDTHS)
def test_no_page_is_wider_than_its_window(signed_in: Browser, size: tuple[int, int]) -> None:
    with signed_in.sized(*size):
        for path in PAGES:
            signed_in.open(path)
            assert overhang(signed_in) == 0, path


def test_a_call_is_checked_as_it_is_typed_and_then_placed(signed_in: Browser, server: Server) -> None:
    with server.scene() as scene:
        signed_in.open("/desk/dial")
        number = signed_in.find("#number")
        number.send_keys("+81 90 1")
        signed_in.wait(lambda: "not a number that exists" in signed_in.text("#check"))
        number.clear()
        number.send_keys("+81 90-1234-5678")
        signed_in.click("#agent option[value='named']")
        signed_in.wait(lambda: "name" in signed_in.text("#check"))
        for name, value in {"name": "Tanaka", "age": "41"}.items():
            signed_in.find(f"input[data-name={name}]").send_keys(value)
        signed_in.wait(lambda: signed_in.text("#check") == "")
        scene.carrier.next_callee(Callee(rings_ms=0))
        signed_in.leave_by("button.main")
        assert THEIR_NUMBER in signed_in.text(".notice")
        with signed_in.sized(*WIDTHS["phone"]):
            signed_in.driver.refresh()
            assert overhang(signed_in) == 0
        (call,) = scene.carrier.calls
        assert signed_in.driver.current_url.endswith(f"/desk/calls/{call.sid}")
        update = scene.session().expect("session.update")
        assert "You speak with Tanaka, who is 41." in update["session"]["instructions"]
        call.hang_up()
        scene.ending(call)
    assert signed_in.complaints() == []


def test_a_button_that_is_pressed_twice_calls_once(signed_in: Browser) -> None:
    """While Twilio has not answered the page is still there, and looks as if nothing had happened."""
    signed_in.open("/desk/dial")
    signed_in.find("#number").send_keys(THEIR_NUMBER)
    assert presses_that_count(signed_in, "button.main", 2) == 1


def test_the_number_s_calls_are_led_here_by_a_button(signed_in: Browser, server: Server) -> None:
    with server.scene() as scene:
        (number,) = scene.carrier.account.numbers
        signed_in.open("/desk/setup")
        signed_in.wait(lambda: "1 fault" in signed_in.text(".verdict"))
        assert number.voice_url == ""
        signed_in.leave_by(".findings button")
        assert signed_in.text(".verdict") == "A call can work here."
        assert signed_in.driver.current_url.endswith("/desk/setup")
        assert number.voice_url == f"{server.url}/incoming-call"
    assert signed_in.complaints() == []
