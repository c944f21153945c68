"""The desk's door: who gets in, what their pages are sent with, and the languages it speaks."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text, update
from werkzeug.test import TestResponse

from callapp import create_app
from callapp.call_log.models import CallRow
from callapp.call_log.records import PlacedCall
from callapp.call_log.usage import write_analysis_usage
from callapp.conversation.facts import (
    BargedIn,
    Began,
    Closed,
    Ended,
    Fault,
    KeysPressed,
    ModelConnected,
    Recorded,
    ToolRan,
    Uttered,
)
from callapp.prices import TextTokens
from callapp.recording.reel import wav_header
from callapp.settings import Settings
from callapp.web.desk.sign_in import signing_key
from tests.databases import sqlite_at
from tests.web.test_calls import CALL, CALL_SID, tell

KEY = "a-long-api-key"
ORIGIN = "https://voice.example.com"
WEB = Path(__file__).parents[2] / "callapp" / "web"
HTML = {"Accept": "text/html"}

MakeApp = Callable[..., Flask]


@pytest.fixture
def make_app(tmp_path: Path) -> Iterator[MakeApp]:
    apps = []

    def make(**settings: object) -> Flask:
        given = {"callapp_api_key": KEY, "database_url": sqlite_at(tmp_path / "calls.sqlite"), **settings}
        apps.append(create_app(Settings(**given)))
        return apps[-1]

    yield make
    for app in apps:
        app.extensions["callapp"].close()


@pytest.fixture
def client(make_app: MakeApp) -> FlaskClient:
    return make_app().test_client()


def csrf_token(page: TestResponse) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
    assert found
    return found[1]


def sign_in(client: FlaskClient, key: str = KEY, origin: str = "http://localhost") -> TestResponse:
    page = client.get("/desk/sign-in", base_url=origin, headers=HTML)
    form = {"csrf_token": csrf_token(page), "key": key}
    referrer = {"Referer": f"{origin}/desk/sign-in"}
    return client.post("/desk/sign-in", data=form, base_url=origin, headers=HTML | referrer)


def signed_in(app: Flask) -> FlaskClient:
    """A browser at the desk."""
    client = app.test_client()
    sign_in(client)
    return client


def test_whoever_has_not_signed_in_is_led_to_the_sign_in_page(client: FlaskClient) -> None:
    answer = client.get("/desk/phone", headers=HTML)
    assert (answer.status_code, answer.location) == (303, "/desk/sign-in")


@pytest.mark.parametrize("path", ["/desk", "/desk/"])
def test_the_desk_is_found_with_a_slash_and_without(client: FlaskClient, path: str) -> None:
    assert client.get(path, headers=HTML).location == "/desk/sign-in"
    sign_in(client)
    assert client.get(path, headers=HTML).location == "/desk/live"


def test_a_program_that_has_not_signed_in_gets_a_problem_not_a_page(client: FlaskClient) -> None:
    answer = client.post("/desk/phone/calls", json={}, headers={"Accept": "application/json"})
    assert answer.status_code == 401
    assert answer.mimetype == "application/problem+json"


def test_the_key_lets_in_and_signing_out_ends_it(client: FlaskClient) -> None:
    assert sign_in(client).location == "/desk"
    page = client.get("/desk/phone", headers=HTML)
    assert page.status_code == 200
    client.post("/desk/sign-out", data={"csrf_token": csrf_token(page)}, headers=HTML)
    assert client.get("/desk/phone", headers=HTML).status_code == 303


def test_a_session_ends_12_hours_after_its_sign_in_whatever_is_done_meanwhile(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each change of the language makes a new cookie."""
    began_s = time.time()
    sign_in(client)
    for hours, status in ((11, 200), (13, 303)):
        now_s = began_s + hours * 3600
        monkeypatch.setattr(time, "time", lambda now_s=now_s: now_s)
        page = client.get("/desk/phone", headers=HTML)
        assert page.status_code == status
        if status == 200:
            form = {"csrf_token": csrf_token(page), "language": "ja", "back": "/desk/phone"}
            assert client.post("/desk/language", data=form, headers=HTML).status_code == 303


@pytest.mark.parametrize("key", ["", "wrong", KEY + "x", KEY[:-1]])
def test_another_key_does_not(client: FlaskClient, key: str) -> None:
    assert sign_in(client, key).status_code == 403
    assert client.get("/desk/phone", headers=HTML).status_code == 303


def test_guessing_is_slowed_down(client: FlaskClient) -> None:
    answers = [sign_in(client, "wrong") for _ in range(11)]
    assert [answer.status_code for answer in answers] == [403] * 10 + [429]
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert sign_in(client).status_code == 429


def test_a_form_without_its_token_does_nothing(client: FlaskClient) -> None:
    assert client.post("/desk/sign-in", data={"key": KEY}, headers=HTML).status_code == 400
    sign_in(client)
    assert client.post("/desk/sign-out", headers=HTML).status_code == 400
    assert client.post("/desk/phone/calls", json={}).status_code == 400
    assert client.get("/desk/phone", headers=HTML).status_code == 200


@pytest.mark.parametrize("path", ["/desk/sign-in", "/incoming-call", "/call-status"])
def test_a_form_that_is_too_long_is_not_read(make_app: MakeApp, path: str) -> None:
    """Forms are read to find out whose they are: what anybody may send must not fill the disk."""
    client = make_app(twilio_auth_token="0" * 32).test_client()
    file = {"file": (BytesIO(bytes(100_000)), "file")}
    assert client.post(path, data=file, headers=HTML).status_code == 413
    assert client.post(path, data={"key": "x" * 100_000}, headers=HTML).status_code == 413


def test_the_cookie_is_no_script_s_and_no_other_site_s(client: FlaskClient) -> None:
    cookie = sign_in(client).headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie  # over http it would never come back


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"public_url": ORIGIN}, id="by PUBLIC_URL"),
        pytest.param({"trusted_proxies": 1}, id="by the proxy"),
    ],
)
def test_over_tls_the_cookie_goes_over_tls_only(make_app: MakeApp, settings: dict[str, object]) -> None:
    """TLS ends at a proxy; what reaches us is plain HTTP."""
    client = make_app(**settings).test_client()
    client.environ_base["HTTP_X_FORWARDED_PROTO"] = "https"
    answer = client.get("/desk/sign-in", base_url="http://voice.example.com", headers=HTML)
    assert "Secure" in answer.headers["Set-Cookie"]


def test_the_session_is_the_same_in_all_processes_and_ends_with_its_api_key(
    make_app: MakeApp, tmp_path: Path
) -> None:
    def key(**settings: object) -> bytes:
        return signing_key(Settings(**settings), tmp_path)

    assert key(callapp_api_key=KEY) == key(callapp_api_key=KEY)
    assert key(callapp_api_key=KEY) != key(callapp_api_key=KEY + "2")
    assert KEY.encode() not in key(callapp_api_key=KEY)
    assert key() == key()  # without an API key, by a file of this machine
    assert (tmp_path / "desk.key").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("peer", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("203.0.113.5", {}, 401),
        ("127.0.0.1", {"X-Forwarded-For": "203.0.113.5"}, 401),
        ("127.0.0.1", {"Host": "evil.example.com"}, 401),
    ],
)
def test_without_an_api_key_the_desk_serves_this_machine_alone(
    make_app: MakeApp, peer: str, headers: dict[str, str], status: int
) -> None:
    client = make_app(callapp_api_key=None).test_client()
    answer = client.get("/desk/phone", headers=HTML | headers, environ_base={"REMOTE_ADDR": peer})
    assert answer.status_code == status


def test_a_page_may_load_and_send_nothing_elsewhere(client: FlaskClient) -> None:
    sign_in(client)
    answer = client.get("/desk/phone", headers=HTML)
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_fault_is_a_page_for_people_and_a_problem_for_programs(client: FlaskClient) -> None:
    sign_in(client)
    page = client.post("/desk/language", headers=HTML)
    assert (page.status_code, page.mimetype) == (400, "text/html")
    problem = client.post("/desk/language", headers={"Accept": "application/json"})
    assert (problem.status_code, problem.mimetype) == (400, "application/problem+json")


# -- languages ----------------------------------------------------------------------------------


def test_the_browser_s_language_is_spoken_until_another_is_chosen(client: FlaskClient) -> None:
    sign_in(client)
    japanese = HTML | {"Accept-Language": "ja,en;q=0.5"}
    page = client.get("/desk/phone", headers=japanese)
    assert '<html lang="ja">' in page.text
    assert "エージェントと話す" in page.text
    form = {"csrf_token": csrf_token(page), "language": "en", "back": "/desk/phone"}
    assert client.post("/desk/language", data=form, headers=japanese).location == "/desk/phone"
    assert "Talk to an agent" in client.get("/desk/phone", headers=japanese).text


def test_a_language_is_chosen_before_signing_in_and_kept_by_it(client: FlaskClient) -> None:
    page = client.get("/desk/sign-in", headers=HTML)
    form = {"csrf_token": csrf_token(page), "language": "ja", "back": "/desk/sign-in"}
    assert client.post("/desk/language", data=form, headers=HTML).location == "/desk/sign-in"
    assert "サインイン" in client.get("/desk/sign-in", headers=HTML).text
    sign_in(client)
    page = client.get("/desk/phone", headers=HTML)
    assert "エージェントと話す" in page.text
    client.post("/desk/sign-out", data={"csrf_token": csrf_token(page)}, headers=HTML)
    assert "サインイン" in client.get("/desk/sign-in", headers=HTML).text


@pytest.mark.parametrize(
    ("method", "path", "back"),
    [
        ("GET", "/desk/history?words=order&agent=", "/desk/history?words=order&amp;agent="),
        ("GET", "/desk/live", "/desk/live"),
        ("POST", "/desk/setup", "/desk/setup"),
    ],
)
def test_who_chooses_a_language_sees_the_same_page_again(
    client: FlaskClient, method: str, path: str, back: str
) -> None:
    sign_in(client)
    token = csrf_token(client.get("/desk/setup", headers=HTML))
    referrer = {"Referer": "http://localhost/desk/setup"}
    page = client.open(path, method=method, data={"csrf_token": token}, headers=HTML | referrer)
    assert f'name="back" value="{back}"' in page.text
    assert page.text.count('aria-current="page"') == 1


@pytest.mark.parametrize(
    ("referrer", "fault"),
    [
        ({}, "Referer"),
        ({"Referer": "https://voice.example.com:8443/desk/sign-in"}, "Referer"),
        ({"Referer": f"{ORIGIN}/desk/sign-in"}, "earlier session"),
    ],
)
def test_who_is_refused_for_their_browser_s_referrer_is_not_told_of_an_earlier_session(
    client: FlaskClient, referrer: dict[str, str], fault: str
) -> None:
    """To load the page again would not help."""
    page = client.get("/desk/sign-in", base_url=ORIGIN, headers=HTML)
    token = csrf_token(page) if fault == "Referer" else "of another"
    form = {"csrf_token": token, "key": KEY}
    answer = client.post("/desk/sign-in", data=form, base_url=ORIGIN, headers=HTML | referrer)
    assert answer.status_code == 400
    assert fault in answer.text


def test_a_fault_is_told_in_its_reader_s_language(make_app: MakeApp) -> None:
    app = make_app()
    client = signed_in(app)
    japanese = HTML | {"Accept-Language": "ja"}
    for answer, status, words in (
        (client.get("/desk/nothing", headers=japanese), 404, "このページはありません。"),
        (client.get("/desk/calls/nobody", headers=japanese), 404, "その通話はありません。"),
        (client.post("/desk/sign-out", headers=japanese), 400, "フォームの有効期限が切れています。"),
    ):
        assert (answer.status_code, answer.mimetype) == (status, "text/html")
        assert words in answer.text
    with app.extensions["callapp"].store.transaction() as session:
        session.execute(text("DROP TABLE calls"))
    answer = client.get("/desk/history", headers=japanese)
    assert (answer.status_code, answer.mimetype) == (503, "text/html")
    assert "データベースが応答しません。" in answer.text


@pytest.mark.parametrize(
    ("number", "fault"),
    [
        ("+81 90 1", "電話番号: 実在しない番号です。国番号と桁数を確かめてください。"),
        ("+81 090-1234-5678", "電話番号: E.164 の形ではありません。+819012345678 のことですか?"),
        ("+81 90-1234-5678", None),
        ("＋８１\u3000（９０）１２３４−５６７８", None),  # as a Japanese keyboard writes it
        ("+81 90ー1234ー5678", None),
        ("\u202a+81 90\u20111234\u20115678\u202c", None),  # as some address books have it copied
    ],
)
def test_a_form_is_checked_in_its_reader_s_language(
    make_app: MakeApp, number: str, fault: str | None
) -> None:
    client = signed_in(make_app(public_url=ORIGIN))
    japanese = {"Accept-Language": "ja"}
    token = csrf_token(client.get("/desk/dial", headers=HTML | japanese))
    form = {"csrf_token": token, "phoneNumber": number, "agent": "operator"}
    assert client.post("/desk/dial/check", data=form, headers=japanese).json["fault"] == fault


def test_programs_are_answered_in_english_whatever_they_accept(client: FlaskClient) -> None:
    headers = {"Authorization": f"Bearer {KEY}", "Accept-Language": "ja"}
    answer = client.post("/outgoing-call", json={"phoneNumber": "+81901"}, headers=headers)
    assert "not a number that exists" in answer.json["detail"]


@pytest.mark.parametrize(
    "back", ["https://evil.example.com", "//evil.example.com", "/desk//evil", "/\\evil", ""]
)
def test_choosing_a_language_leads_to_no_other_site(client: FlaskClient, back: str) -> None:
    sign_in(client)
    form = {"csrf_token": csrf_token(client.get("/desk/phone", headers=HTML)), "language": "en", "back": back}
    assert client.post("/desk/language", data=form, headers=HTML).location == "/desk"


def test_every_sentence_of_the_desk_has_its_japanese() -> None:
    def forms(words: str | Sequence[str]) -> tuple[str, ...]:
        """A sentence, or its singular and plural; what is not said at all is empty."""
        return (words,) if isinstance(words, str) else tuple(words)

    look_through = [("**.py", "python"), ("**/templates/**.html", "jinja2")]
    found = (
        one
        for room in (WEB, WEB / "../doctor", WEB / "../telephony")
        for one in extract_from_dir(room, look_through)
    )
    wanted = {forms(message[2]) for message in found}
    folder = WEB / "translations" / "ja" / "LC_MESSAGES"
    with (folder / "messages.po").open("rb") as file:
        written = {forms(m.id): forms(m.string) for m in read_po(file) if m.id and not m.fuzzy}
    assert len(wanted) > 40
    assert wanted - {one for one, japanese in written.items() if all(japanese)} == set()
    assert written.keys() - wanted == set()
    with (folder / "messages.mo").open("rb") as file:
        assert {forms(m.id): forms(m.string) for m in read_mo(file) if m.id} == written


def test_what_is_filled_into_a_sentence_is_filled_into_its_japanese() -> None:
    with (WEB / "translations" / "ja" / "LC_MESSAGES" / "messages.po").open("rb") as file:
        catalog = read_po(file)
    for message in catalog:
        said = [message.id] if isinstance(message.id, str) else message.id
        written = [message.string] if isinstance(message.string, str) else message.string
        places = [sorted(re.findall(r"%\(\w+\)[a-z]", one)) for one in (*said, *written)]
        assert all(one == places[0] for one in places), message.id


def test_what_the_doctor_found_is_said_in_the_reader_s_language(make_app: MakeApp) -> None:
    """What others say stays as they say it, and is marked as English for whoever has it read aloud."""
    nowhere = "http://127.0.0.1:1"
    client = signed_in(
        make_app(
            public_url=nowhere,
            openai_api_key="sk-none",
            openai_realtime_url="ws://127.0.0.1:1/v1/realtime",
            twilio_account_sid="AC" + "1" * 32,
            twilio_auth_token="none",
            twilio_api_url=nowhere,
            twilio_validate_signatures=False,
            openai_realtime_model="a-model-of-tomorrow",
            max_call_cost_usd=1,
        )
    )

    def paragraphs(language: str) -> list[str]:
        page = client.get("/desk/setup/findings", headers=HTML | {"Accept-Language": language}).text
        return [words.strip() for words in re.findall(r"<p(?: class=\"help\")?>(.+?)</p>", page, re.S)]

    english, japanese = paragraphs("en"), paragraphs("ja")
    assert len(english) == len(japanese) > 10
    assert f"{nowhere} does not answer: no connection" in english
    assert "add them to callapp/prices.json, or use another model" in english
    assert f"{nowhere} が応答しません: 接続できませんでした。" in japanese
    quoted = [re.sub(r'<span lang="en">.+?</span>', "", words) for words in japanese]
    assert [words for words in quoted if not re.search("[ぁ-んァ-ヶ]", words)] == []
    (refused,) = [words for words in japanese if "セッションを開けません" in words]
    assert re.search(r'<span lang="en">.*refused</span>', refused)


def test_what_two_people_say_stands_on_the_pages_while_it_grows(make_app: MakeApp) -> None:
    """The person who was called is no agent, and what is not whole yet shows that it is not."""
    app = make_app()
    client = signed_in(app)
    talk = [
        Began(),
        Uttered(2000, "caller", "caller-1", "Hello?", 1000, 1500),
        Uttered(3000, "other", "other-1", "Good mor", 2000, 2900, growing=True),
    ]
    tell(app.extensions["callapp"], talk, replace(CALL, began_at=datetime.now(UTC)))
    page = client.get(f"/desk/calls/{CALL_SID}", headers=HTML).text
    said = re.findall(r'<span class="by">(.+?)</span>\s*<p dir="auto">(.+?)</p>', page)
    assert said == [("Caller", "Hello?"), ("Called", "Good mor <em>…</em>")]
    (row,) = client.get("/desk/live/calls").json["calls"]  # type: ignore[index]
    assert (row["role"], row["words"]) == ("other", "Good mor")
    assert 'data-other="Called"' in client.get("/desk/live", headers=HTML).text


def test_no_call_is_placed_for_captions(make_app: MakeApp, tmp_path: Path) -> None:
    """They are of calls that come in."""
    front = "---\nkind: captions\nforward_to: +442079460000\n---\nA call.\n"
    (tmp_path / "heard.md").write_text(front)
    client = signed_in(make_app(agents_dir=tmp_path))
    page = client.get("/desk/dial", headers=HTML).text
    assert 'value="operator"' in page
    assert 'value="heard"' not in page


def test_an_interpreter_is_told_of_the_other_person_in_the_form(make_app: MakeApp, tmp_path: Path) -> None:
    """It had no field for their number, and refused the call for want of it."""
    front = "---\nkind: interpreter\nlanguages: [ja, en]\nother_party: +442079460000\n---\nBetween two.\n"
    (tmp_path / "shop.md").write_text(front)
    client = signed_in(make_app(agents_dir=tmp_path, public_url=ORIGIN))
    page = client.get("/desk/dial", headers=HTML)
    assert '<option value="interpreter" data-needs="otherPhoneNumber"' in page.text
    assert '<option value="shop" data-needs=""' in page.text  # it knows whom
    form = {
        "csrf_token": csrf_token(page),
        "phoneNumber": "+81 90-1234-5678",
        "agent": "interpreter",
        "parameter.otherPhoneNumber": "+44 20 7946 0000",
    }
    answer = client.post("/desk/dial/check", data=form)
    assert answer.json == {"fault": None, "to": "+819012345678"}


def test_without_a_script_what_two_agents_ask_for_is_filled_in_for_one(
    make_app: MakeApp, tmp_path: Path
) -> None:
    """The empty field of the other agent was taken for it, and what was filled in was lost."""
    for name in ("akin", "named"):
        (tmp_path / f"{name}.md").write_text("---\nlanguage: en-US\n---\nYou speak with {{ name }}.\n")
    client = signed_in(make_app(agents_dir=tmp_path, public_url=ORIGIN))
    token = csrf_token(client.get("/desk/dial", headers=HTML))
    form = {"csrf_token": token, "phoneNumber": "+81 90-1234-5678", "parameter.name": ["", "Ann"]}
    assert client.post("/desk/dial/check", data=form | {"agent": "named"}).json["fault"] is None
    page = client.post("/desk/dial", data=form | {"agent": "named", "phoneNumber": "+81"}, headers=HTML)
    assert page.text.count('value="Ann"') == 1


@pytest.mark.parametrize(("method", "query"), [("POST", ""), ("GET", "?found=now")])
def test_what_was_found_is_a_page_that_can_be_asked_for_again(
    client: FlaskClient, method: str, query: str
) -> None:
    """Also where no script has it follow; and of the page of the button there was none at its address."""
    sign_in(client)
    page = client.get("/desk/setup", headers=HTML)
    assert 'href="/desk/setup?found=now"' in page.text
    form = {"csrf_token": csrf_token(page)}
    page = client.open(f"/desk/setup{query}", method=method, data=form, headers=HTML)
    assert 'class="findings card"' in page.text
    assert "<title>Setup" in page.text
    assert client.get("/desk/setup", headers=HTML).status_code == 200


def test_how_a_call_stands_is_said_in_words(make_app: MakeApp) -> None:
    app = make_app()
    client = signed_in(app)
    call = PlacedCall("a" * 32, "operator", {}, "+15005550006", "+819012345678", CALL_SID, "ringing")
    app.extensions["callapp"].store.place_call(call)
    for path in ("/desk/history", f"/desk/calls/{CALL_SID}"):
        page = client.get(path, headers=HTML | {"Accept-Language": "ja"}).text
        assert "呼び出し中" in page, path
    (row,) = client.get("/desk/live/calls").json["calls"]
    assert row["status"] == "ringing"  # the page has the words


@pytest.mark.parametrize(
    ("day", "zone", "found"),
    [
        ("2026-11-25", "Asia/Tokyo", True),
        ("2026-11-24", "Asia/Tokyo", False),
        ("2026-11-24", "America/New_York", True),
        ("2026-11-24", "", True),  # without a script times are shown in UTC
        ("2026-11-25", "", False),
        ("2026-11-24", "America", True),
        ("2026-11-24", "../etc/passwd", True),
        ("2026-11-31", "Asia/Tokyo", True),  # is none
        ("0001-01-01", "Asia/Tokyo", False),
        ("9999-12-31", "America/New_York", False),
    ],
)
def test_a_day_is_one_of_its_reader_s_as_the_times_are(
    make_app: MakeApp, day: str, zone: str, found: bool
) -> None:
    """Half past eight in the morning is yesterday's for UTC, in Tokyo."""
    app = make_app()
    client = signed_in(app)
    call = replace(CALL, began_at=datetime(2026, 11, 24, 23, 30, tzinfo=UTC))
    tell(app.extensions["callapp"], [Began(), Ended(4000, "caller.hung_up"), Closed(4000)], call)
    page = client.get(
        "/desk/history", query_string={"since": day, "until": day, "zone": zone}, headers=HTML
    ).text
    assert (CALL_SID in page) is found
    assert f'name="zone" value="{zone}"' in page


def test_a_zero_byte_in_what_is_searched_for_reaches_no_database(make_app: MakeApp) -> None:
    """PostgreSQL would refuse it, as if it were away."""
    app = make_app()
    client = signed_in(app)
    tell(app.extensions["callapp"], [Began(), Ended(4000, "caller.hung_up"), Closed(4000)], CALL)
    for name, value in {"agent": CALL.agent, "direction": CALL.direction, "words": CALL_SID}.items():
        page = client.get("/desk/history", query_string={name: f"\0{value}\0"}, headers=HTML)
        assert CALL_SID in page.text


def test_every_line_of_a_story_has_a_name_also_the_one_that_says_there_is_none(make_app: MakeApp) -> None:
    """By it the page knows a line again; one without was put there anew whenever the phone rang on."""
    app = make_app()
    client = signed_in(app)
    call = PlacedCall("a" * 32, "operator", {}, "+15005550006", "+819012345678", CALL_SID, "ringing")
    app.extensions["callapp"].store.place_call(call)

    def names() -> list[str]:
        page = client.get(f"/desk/calls/{CALL_SID}/now", headers=HTML).text
        story = page.partition('id="story"')[2]
        assert story.count("<li") == story.count("<li id=")
        return re.findall(r'<li id="(.+?)"', story)

    assert names() == ["nothing"]
    tell(app.extensions["callapp"], [Began(), ModelConnected(0, 0, again=False)])
    assert names() == ["event-0"]


def test_what_happened_on_a_call_is_told_in_words(make_app: MakeApp) -> None:
    app = make_app()
    client = signed_in(app)
    happened = [
        Began(),
        ModelConnected(0, 0, again=False),
        BargedIn(2000, 1996, "item", 1300, 3000),
        KeysPressed(3000, 3, "123"),
        KeysPressed(4000, 1, None),
        Fault(5000, "slow <down>"),
        ToolRan(6000, "t", "find_table", "{}", None, "timeout", 10_000),
        ModelConnected(7000, 900, again=True),
    ]
    tell(app.extensions["callapp"], happened)

    def asides(language: str) -> list[str]:
        page = client.get(f"/desk/calls/{CALL_SID}", headers=HTML | {"Accept-Language": language}).text
        return re.findall(r'<p class="aside"><b>.+?</b> (.*)</p>', page)

    assert asides("en") == [
        "after 0 ms",
        "1300 of 3000 ms were heard, silent after 4 ms",
        "123",
        "1 key, secret",
        '<span lang="en">slow &lt;down&gt;</span>',
        "after 900 ms",
    ]
    assert asides("ja")[1] == "3000 ms のうち 1300 ms が聞かれ、4 ms で黙りました"
    assert "took too long, 10000 ms" in client.get(f"/desk/calls/{CALL_SID}", headers=HTML).text


def test_nothing_more_is_awaited_of_a_call_that_is_over(make_app: MakeApp) -> None:
    app = make_app()
    client = signed_in(app)
    parts = app.extensions["callapp"]
    tell(parts, [Began()], replace(CALL, began_at=datetime.now(UTC)))
    assert "Nothing has been said yet." in client.get(f"/desk/calls/{CALL_SID}", headers=HTML).text
    tell(parts, [Ended(4000, "caller.hung_up"), Closed(4000)])
    assert "Nothing was said." in client.get(f"/desk/calls/{CALL_SID}", headers=HTML).text


def test_what_a_call_was_about_stands_on_its_page(make_app: MakeApp) -> None:
    """Once it has been analysed: the summary, the verdict and the data that the agent's file asks for."""
    app = make_app()
    client = signed_in(app)
    parts = app.extensions["callapp"]
    tell(parts, [Began(), Ended(4000, "agent.ended"), Closed(4000)])
    page = client.get(f"/desk/calls/{CALL_SID}", headers=HTML).text
    assert "What it was about" not in page
    with parts.store.transaction() as session:
        session.execute(
            update(CallRow).values(
                summary="A table for <two>.",
                verdict="unresolved",
                tags=["caller_frustrated"],
                extracted={"guests": 2, "name": "田中", "dishes": ["寿司", "fish & chips"]},
            )
        )
        write_analysis_usage(session, CALL_SID, "gpt-5.6-luna", TextTokens(4000, 0, 0, 1000))
    page = client.get(f"/desk/calls/{CALL_SID}", headers=HTML).text
    for shown in (
        "What it was about",
        "A table for &lt;two&gt;.",
        "not resolved",
        "caller_frustrated",
        "田中",
        "… the analysis's",
        "$0.0020",
    ):
        assert shown in page, shown
    assert re.search(r"<dt>guests</dt><dd[^>]*>2</dd>", page)
    assert "[&#34;寿司&#34;, &#34;fish &amp; chips&#34;]" in page


def test_the_wave_form_is_always_that_of_the_recording_that_there_is(
    make_app: MakeApp, tmp_path: Path
) -> None:
    """Another process may add its part, and what was deleted is to be nowhere, a browser's disk included."""
    app = make_app(recordings_url=str(tmp_path / "recordings"))
    client = signed_in(app)
    parts = app.extensions["callapp"]
    path = parts.shelf.path_of(CALL_SID)
    parts.shelf.write(path, BytesIO(wav_header(800) + bytes(1600)))
    tell(parts, [Began(), Recorded(4000, path, 0.1), Ended(4000, "agent.ended"), Closed(4000)])
    answer = client.get(f"/desk/calls/{CALL_SID}/wave", headers=HTML)
    assert "<svg" in answer.text
    assert answer.headers["Cache-Control"] == "no-store"
