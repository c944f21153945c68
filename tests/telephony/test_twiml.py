"""The TwiML we answer with, read back as XML."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
@pytest.mark.parametrize("spoken", [twiml.busy, twiml.apology])
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
    document = ElementTree.fromstring(twiml.apology(language, "+815012345678"))
    assert [verb.tag for verb in document] == ["Say", "Dial", "Hangup"]
    assert word in (document[0].text or "")
    assert document[1].text == "+815012345678"
