"""The TwiML we answer with, read back as XML."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callapp.simulators import twiml_reader
from callapp.telephony import twiml


def connect(**changes: Any) -> ElementTree.Element:
    arguments: dict[str, Any] = {
        "stream_url": "wss://voice.example.com/ws",
        "token": "secret",
        "agent": "operator",
        "parameters": {"customerId": "12345"},
        "language": "ja-JP",
        "opening": "こんにちは。",
        "closing": "さようなら。",
    }
    return ElementTree.fromstring(twiml.connect_stream(**{**arguments, **changes}))


def parameters(document: ElementTree.Element) -> list[tuple[str | None, str | None]]:
    return [(p.get("name"), p.get("value")) for p in document.findall("Connect/Stream/Parameter")]


def test_the_verbs_come_in_the_order_in_which_they_happen() -> None:
    document = connect()
    assert document.tag == "Response"
    assert [verb.tag for verb in document] == ["Say", "Connect", "Say", "Hangup"]
    assert [say.text for say in document.findall("Say")] == ["こんにちは。", "さようなら。"]
    assert [say.get("language") for say in document.findall("Say")] == ["ja-JP", "ja-JP"]


def test_the_stream_carries_token_agent_and_parameters() -> None:
    document = connect()
    stream = document.find("Connect/Stream")
    assert stream is not None
    assert stream.attrib == {"url": "wss://voice.example.com/ws"}
    assert parameters(document) == [
        ("callapp_token", "secret"),
        ("agent", "operator"),
        ("customerId", "12345"),
    ]


def test_an_agent_without_lines_of_its_own_says_nothing() -> None:
    assert [verb.tag for verb in connect(opening=None, closing=None)] == ["Connect", "Hangup"]


def test_a_parameter_of_500_characters_is_left_out() -> None:
    document = connect(parameters={"a": "x" * 498, "b": "x" * 499})
    assert [name for name, _ in parameters(document)] == ["callapp_token", "agent", "a"]


def test_a_call_parameter_cannot_pose_as_one_of_ours() -> None:
    document = connect(parameters={"callapp_token": "stolen", "agent": "other"})
    assert parameters(document) == [("callapp_token", "secret"), ("agent", "operator")]


@given(st.dictionaries(st.text(), st.text()), st.text())
def test_whatever_the_texts_are_it_is_xml_and_no_verb_gets_in(values: dict[str, str], line: str) -> None:
    document = connect(parameters=values, opening="a" + line, closing="b" + line)
    assert [verb.tag for verb in document] == ["Say", "Connect", "Say", "Hangup"]


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=400)
)
def test_a_parameter_arrives_as_it_was(value: str) -> None:
    assert parameters(connect(parameters={"名前": value}))[2] == ("名前", value)


@pytest.mark.parametrize(
    ("language", "said_in", "word"),
    [
        ("ja-JP", "ja-JP", "申し訳"),
        ("en-GB", "en-GB", "sorry"),
        ("en-US", "en-US", "sorry"),
        ("fr-FR", "en-US", "sorry"),
    ],
)
@pytest.mark.parametrize("spoken", [twiml.busy, twiml.apology, twiml.nobody_there])
def test_busy_and_apology_are_spoken_and_the_line_closes(
    spoken: Any, language: str, said_in: str, word: str
) -> None:
    document = ElementTree.fromstring(spoken(language))
    assert [verb.tag for verb in document] == ["Say", "Hangup"]
    assert document[0].get("language") == said_in
    assert word in (document[0].text or "")


@pytest.mark.parametrize(
    ("language", "word"), [("ja-JP", "担当者"), ("en-US", "person"), ("fr-FR", "person")]
)
def test_an_apology_with_a_number_goes_on_to_a_person(language: str, word: str) -> None:
    fallback = twiml.Fallback("+815012345678", "https://h/transfer/fallback?agent=a")
    document = ElementTree.fromstring(twiml.apology(language, fallback))
    assert [verb.tag for verb in document] == ["Say", "Dial"]
    assert document[1].get("action") == fallback.over_url
    assert word in (document[0].text or "")
    assert document[1].text == "+815012345678"


def test_a_recorded_call_hears_so_first() -> None:
    document = connect(notice="This call is recorded.", opening="One moment.")
    assert [one.text for one in document.iter("Say")][:2] == ["This call is recorded.", "One moment."]


# -- away from the stream; the pretend Twilio reads as strictly as the real one -------------------


def test_keys_are_sent_before_the_stream_is_opened_again() -> None:
    document = ElementTree.tostring(connect(keys="1w2", opening=None), "unicode")
    play, stream, say, hangup = twiml_reader.read_twiml(document)
    assert play == twiml_reader.Play("", "1w2", 1)
    assert isinstance(stream, twiml_reader.ConnectStream)
    assert stream.stream.parameters == {
        "callapp_token": "secret",
        "agent": "operator",
        "customerId": "12345",
    }
    assert isinstance(say, twiml_reader.Say)
    assert hangup == twiml_reader.Hangup()


def test_a_phone_is_rung_and_its_answer_told() -> None:
    document = twiml.dial(
        "+819011112222", caller_id="+15005550006", action="https://h/over", answered="https://h/up", ring_s=20
    )
    number = twiml_reader.Number("+819011112222", "https://h/up", "POST", frozenset({"answered"}))
    assert twiml_reader.read_twiml(document) == [
        twiml_reader.Dial(number, "https://h/over", "POST", 20, "+15005550006")
    ]


def test_who_waits_in_a_room_does_not_start_it_and_who_joins_does() -> None:
    [wait] = twiml_reader.read_twiml(twiml.wait_in("room", action="https://h/over"))
    join, hangup = twiml_reader.read_twiml(twiml.join("room"))
    assert wait == twiml_reader.Dial(
        twiml_reader.Conference("room", False, True), "https://h/over", "POST", 30, ""
    )
    assert join == twiml_reader.Dial(twiml_reader.Conference("room", True, True), "", "POST", 30, "")
    assert hangup == twiml_reader.Hangup()


def test_nobody_hears_a_beep_when_somebody_comes_into_a_room() -> None:
    for document in (twiml.wait_in("room", action="https://h/over"), twiml.join("room")):
        [conference] = ElementTree.fromstring(document).iter("Conference")
        assert conference.get("beep") == "false"


@pytest.mark.parametrize(
    ("language", "prompt", "tag"),
    [
        ("ja-JP", "お電話を引き継ぐには、1を押してください。", "ja-JP"),
        ("fr-FR", "To take the call, press 1.", "en-US"),
    ],
)
def test_a_colleague_hears_the_summary_and_what_to_press(language: str, prompt: str, tag: str) -> None:
    document = twiml.ask_colleague("Wants <b>.", action="https://h/take", language=language)
    gather, hangup = twiml_reader.read_twiml(document)
    assert isinstance(gather, twiml_reader.Gather)
    says = [(say.text, say.language) for say in gather.prompts if isinstance(say, twiml_reader.Say)]
    assert says == [("Wants <b>.", tag), (prompt, tag)] * 2
    assert (gather.num_digits, gather.finish_on_key, gather.timeout_s) == (1, "", 10)
    assert hangup == twiml_reader.Hangup()


def test_a_colleague_of_whose_call_nothing_is_known_hears_only_what_to_press() -> None:
    document = twiml.ask_colleague("", action="https://h/take", language="en-GB")
    says = [say.text for say in ElementTree.fromstring(document).iter("Say")]
    assert says == ["To take the call, press 1."] * 2
