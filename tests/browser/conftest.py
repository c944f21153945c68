"""A real browser: Debian's Chromium, with a recording for a microphone. Skipped where there is none."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from callapp.simulators import ulaw
from tests.stage import API_KEY, DEADLINE_S, Server

AXE = "axe-core@4.14.1"
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
TAPED = (
    "---\nlanguage: en-US\ntools: [end_call, opening_hours]\n"
    "record: {by: ours, notice: This call is recorded.}\n---\nYou answer the phone.\n"
)
ARGUMENTS = (
    "--no-sandbox",
    "--headless=new",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--lang=en-US",
)


@pytest.fixture(scope="session", autouse=True)
def chromium() -> None:
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("there is no chromium, or no chromedriver")


class Browser:
    """A browser at the desk of a server."""

    def __init__(self, driver: Chrome, server: Server, downloads: Path) -> None:
        self.driver = driver
        self.server = server
        self.downloads = downloads

    def open(self, path: str) -> None:
        self.driver.get(self.server.url + path)

    def sign_in(self, key: str = API_KEY) -> None:
        self.open("/desk/sign-in")
        self.find("#key").send_keys(key)
        self.leave_by("button.main")

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        """What is shown; in one step, for a page may be about to change."""
        read = "return document.querySelector(arguments[0])?.innerText ?? ''"
        return str(self.driver.execute_script(read, selector))

    def click(self, selector: str) -> None:
        self.find(selector).click()

    def leave_by(self, selector: str) -> None:
        """Click what leads to another page, and wait for it."""
        # Not by an element that goes stale: while one page takes the other's place, chromedriver may not know
        # of it yet, and fail by its own fault.
        self.driver.execute_script("window.beforeLeaving = true")
        self.click(selector)
        self.wait(lambda: self.driver.execute_script("return window.beforeLeaving === undefined"))

    def wait(self, holds: Callable[[], object], within_s: float = DEADLINE_S) -> None:
        WebDriverWait(self.driver, within_s, 0.05).until(lambda _: holds())

    def complaints(self) -> list[str]:
        """What the console has: violations of the policy, exceptions, files that did not come."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] != "INFO"]

    def run(self, script: str, *arguments: object) -> Any:
        """Run the body of an async function in the page; return what it comes to."""
        return self.driver.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            f"(async (args) => {{ {script} }})(arguments).then(done, (error) => done(String(error)));",
            *arguments,
        )

    @contextmanager
    def kept_from(self, *urls: str) -> Iterator[None]:
        """Meanwhile nothing comes from these."""
        self.driver.execute_cdp_cmd("Network.enable", {})
        self.driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": urls})
        try:
            yield
        finally:
            self.driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})

    @contextmanager
    def sized(self, width: int, height: int) -> Iterator[None]:
        """Meanwhile its window is so large."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        try:
            yield
        finally:
            self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    def dark(self, wanted: bool = True) -> None:
        theme = {"name": "prefers-color-scheme", "value": "dark" if wanted else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [theme]})


@contextmanager
def browser_at(server: Server, folder: Path, microphone: bytes = b"") -> Iterator[Browser]:
    """Start a browser.

    Args:
        microphone: mu-law that it hears, once, from when the microphone is opened.
    """
    options = ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for argument in ARGUMENTS:
        options.add_argument(argument)
    sound = folder / "microphone.wav"
    with wave.open(str(sound), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(24_000)
        file.writeframes(ulaw.from_ulaw(microphone or ulaw.silence(1000), "audio/pcm"))
    options.add_argument(f"--use-file-for-fake-audio-capture={sound}%noloop")
    options.add_argument(f"--user-data-dir={folder / 'profile'}")
    options.add_experimental_option("prefs", {"download.default_directory": str(folder)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=ChromeService(DRIVER))
    try:
        driver.set_window_size(1100, 900)
        yield Browser(driver, server, folder)
    finally:
        driver.quit()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "agents").mkdir()
    (folder / "agents" / "taped.md").write_text(TAPED)
    server = Server(folder, RECORDINGS_URL=str(folder / "recordings"))
    try:
        yield server
    finally:
        server.terminate()
        assert server.wait(DEADLINE_S) == 0
        server.close()


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """axe-core's source, of npm."""
    folder = tmp_path_factory.mktemp("axe")
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("there is no npm to fetch axe-core with")
    fetched = subprocess.run([npm, "pack", AXE, "--silent"], cwd=folder, capture_output=True, timeout=50)
    if fetched.returncode != 0:
        pytest.skip("axe-core could not be fetched")
    (packed,) = folder.glob("*.tgz")
    with tarfile.open(packed) as archive:
        member = archive.extractfile("package/axe.min.js")
        assert member
        return member.read().decode()
