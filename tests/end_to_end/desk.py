"""A browser that has signed in at the desk of a server, as far as HTTP goes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import requests

from tests.stage import API_KEY, DEADLINE_S, Server


def csrf_token(page: requests.Response) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
    assert found
    return found[1]


@contextmanager
def desk(server: Server) -> Iterator[requests.Session]:
    """Each of its requests takes a connection of its own."""
    with requests.Session() as browser:
        browser.headers.update({"Accept": "text/html", "Connection": "close"})
        door = f"{server.url}/desk/sign-in"
        form = {"csrf_token": csrf_token(browser.get(door, timeout=DEADLINE_S)), "key": API_KEY}
        browser.post(door, form, timeout=DEADLINE_S).raise_for_status()
        yield browser


def cookie_of(server: Server) -> str:
    """The session of one that has signed in."""
    with desk(server) as browser:
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.cookies)
