"""The conversation of the pretend model: what can be created, truncated and deleted, and what not."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from callapp.simulators.model import PretendModel
from callapp.simulators.model_script import INSTANT, Call, Pace, Say, Script
from callapp.simulators.ulaw import tone
from tests.simulators.realtime_client import MODEL, PCMU, Client


@pytest.fixture
def model() -> Iterator[PretendModel]:
    answers = [Say("Hello.", duration_ms=1000)], [Call("look", {"for": "it"}), Call("find")]
    with PretendModel(Script(*answers), pace=INSTANT) as model:
        yield model


@pytest.fixture
def client(model: PretendModel) -> Iterator[Client]:
    with Client(model.url + MODEL) as client:
        client.update(**PCMU)
        yield client


def respond(client: Client) -> list[dict[str, Any]]:
    client.send("response.create")
    output: list[dict[str, Any]] = client.next("response.done")["response"]["output"]
    client.next("rate_limits.updated")
    return output


def create(client: Client, *, after: str | None = None, **item: Any) -> dict[str, Any]:
    fields = {} if after is None else {"previous_item_id": after}
    client.send("conversation.item.create", item=item, **fields)
    added = client.next("conversation.item.added")
    done = client.next("conversation.item.done")
    assert added["item"] == done["item"]
    assert added["previous_item_id"] == done["previous_item_id"]
    return added


def text(words: str, role: str = "user") -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": words}]}


# Create


def test_messages_of_every_role_are_added(client: Client, model: PretendModel) -> None:
    for role in ("system", "user", "assistant"):
        added = create(client, **text(f"from {role}", role))
        assert added["item"]["status"] == "completed"
        assert added["item"]["object"] == "realtime.item"
    session = model.wait_for_session()
    assert [(item.role, item.text) for item in session.items] == [
        ("system", "from system"),
        ("user", "from user"),
        ("assistant", "from assistant"),
    ]


def test_items_go_where_they_are_put(client: Client, model: PretendModel) -> None:
    first = create(client, **text("first"), id="first")
    assert first["previous_item_id"] is None
    assert create(client, **text("last"), id="last")["previous_item_id"] == "first"
    assert create(client, **text("middle"), id="middle", after="first")["previous_item_id"] == "first"
    assert create(client, **text("root"), id="root-item", after="root")["previous_item_id"] is None
    items = model.wait_for_session().items
    assert [item.id for item in items] == ["root-item", "first", "middle", "last"]


def test_an_item_after_one_that_is_not_there_is_refused(client: Client, model: PretendModel) -> None:
    client.send("conversation.item.create", item=text("x"), previous_item_id="item_x")
    assert client.error()["param"] == "previous_item_id"
    assert model.wait_for_session().items == []


def test_an_id_can_be_used_once(client: Client) -> None:
    create(client, **text("one"), id="mine")
    client.send("conversation.item.create", item={**text("two"), "id": "mine"})
    assert client.error()["param"] == "item.id"


def test_audio_of_a_user_is_kept_and_retrieved(client: Client, model: PretendModel) -> None:
    audio = base64.b64encode(tone(440, 300)).decode()
    part = {"type": "input_audio", "audio": audio, "transcript": "beep"}
    added = create(client, type="message", role="user", content=[part])
    assert added["item"]["content"] == [{"type": "input_audio", "transcript": "beep"}]
    client.send("conversation.item.retrieve", item_id=added["item"]["id"])
    item = client.next("conversation.item.retrieved")["item"]
    assert item["content"] == [part]
    assert model.wait_for_session().items[0].audio_ms == 300


def test_audio_that_is_not_base64_is_refused(client: Client) -> None:
    part = {"type": "input_audio", "audio": "###"}
    client.send("conversation.item.create", item={"type": "message", "role": "user", "content": [part]})
    assert client.error()["param"] == "item.content[0].audio"


def test_an_unknown_item_cannot_be_retrieved(client: Client) -> None:
    client.send("conversation.item.retrieve", item_id="item_x")
    assert client.error()["code"] == "item_retrieve_invalid_item_id"


# Tool outputs


def test_each_call_takes_exactly_one_output(client: Client, model: PretendModel) -> None:
    respond(client)
    look, find = respond(client)
    session = model.wait_for_session()
    assert session.conversation.unanswered == [look["call_id"], find["call_id"]]
    output = {"type": "function_call_output", "call_id": look["call_id"], "output": "here"}
    create(client, **output)
    assert session.conversation.unanswered == [find["call_id"]]
    client.send("conversation.item.create", event_id="again", item=output)
    error = client.error()
    assert error["code"] == "invalid_tool_call_id"
    assert error["event_id"] == "again"
    assert [one.code for one in session.violations] == ["invalid_tool_call_id"]
    assert [item.text for item in session.items if item.type == "function_call_output"] == ["here"]


def test_an_output_to_no_call_is_refused(client: Client) -> None:
    item = {"type": "function_call_output", "call_id": "call_x", "output": ""}
    client.send("conversation.item.create", item=item)
    error = client.error()
    assert error["code"] == "invalid_tool_call_id"
    assert error["message"] == "Tool call ID 'call_x' not found in conversation."


def test_a_call_of_the_past_can_be_told_and_answered(client: Client) -> None:
    create(client, type="function_call", call_id="call_old", name="f", arguments="{}")
    create(client, type="function_call_output", call_id="call_old", output="done")


def test_an_approval_nobody_asked_for_is_refused(client: Client) -> None:
    answer = {"type": "mcp_approval_response", "id": "a", "approval_request_id": "b", "approve": True}
    client.send("conversation.item.create", item=answer)
    error = client.error()
    assert error["param"] == "item.approval_request_id"
    assert "not found" in error["message"]


# Truncate


def test_truncating_keeps_what_was_heard_and_forgets_the_words(client: Client, model: PretendModel) -> None:
    (item,) = respond(client)
    client.send("conversation.item.truncate", item_id=item["id"], content_index=0, audio_end_ms=640)
    told = client.next("conversation.item.truncated")
    assert (told["item_id"], told["content_index"], told["audio_end_ms"]) == (item["id"], 0, 640)
    session = model.wait_for_session()
    (kept,) = session.items
    assert (kept.truncated_ms, kept.audio_ms, kept.text) == (640, 640, "")
    assert bytes(kept.audio) == client.audio_of(item["id"])[: 640 * 8]
    assert session.violations == []


def test_truncating_at_the_full_length_is_allowed_and_one_more_is_not(client: Client) -> None:
    (item,) = respond(client)
    client.send("conversation.item.truncate", item_id=item["id"], content_index=0, audio_end_ms=1000)
    client.next("conversation.item.truncated")
    client.send("conversation.item.truncate", item_id=item["id"], content_index=0, audio_end_ms=1001)
    error = client.error()
    assert error["type"] == "invalid_request_error"
    assert error["message"] == "Audio content of 1000ms is already shorter than 1001ms"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"audio_end_ms": 0}, "invalid_value"),
        ({"audio_end_ms": -20}, "invalid_value"),
        ({"content_index": 1}, "invalid_value"),
        ({"item_id": "item_x"}, "item_truncate_invalid_item_id"),
    ],
)
def test_what_cannot_be_truncated(
    client: Client, model: PretendModel, fields: dict[str, Any], code: str
) -> None:
    (item,) = respond(client)
    good = {"item_id": item["id"], "content_index": 0, "audio_end_ms": 500}
    client.send("conversation.item.truncate", **{**good, **fields})
    assert client.error()["code"] == code
    assert model.wait_for_session().items[0].truncated_ms is None


def test_only_the_models_own_audio_can_be_truncated(client: Client) -> None:
    added = create(client, **text("words", "assistant"), id="written")
    item_id = added["item"]["id"]
    client.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=10)
    error = client.error()
    assert error["code"] == "unsupported_content_type"
    assert error["message"] == "Only model output audio messages can be truncated"


def test_an_item_without_audio_yet_cannot_be_truncated() -> None:
    """Right after ``content_part.added``; it has to be deleted instead."""
    script = Script([Say("Hm.", pace=Pace(first_delta_after_ms=0)), Say("Later.")])
    with PretendModel(script) as model, Client(model.url + MODEL) as client:
        client.update(**PCMU)
        client.send("response.create", response={"output_modalities": ["text"]})
        item_id = client.next("response.content_part.added")["item_id"]
        client.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=0)
        while (event := client.receive())["type"] != "error":
            pass
        assert event["error"]["code"] == "unsupported_content_type"


# Delete


def test_a_deleted_item_is_gone(client: Client, model: PretendModel) -> None:
    (item,) = respond(client)
    client.send("conversation.item.delete", item_id=item["id"])
    assert client.next("conversation.item.deleted")["item_id"] == item["id"]
    assert model.wait_for_session().items == []
    client.send("conversation.item.delete", item_id=item["id"])
    assert client.error()["code"] == "item_delete_invalid_item_id"


def test_an_item_can_be_deleted_while_it_is_being_said() -> None:
    script = Script([Say("Long.", duration_ms=900, pace=Pace(delta_ms=100, speed=3))])
    with PretendModel(script) as model, Client(model.url + MODEL) as client:
        client.update(**PCMU)
        client.send("response.create")
        item_id = client.next("response.output_audio.delta")["item_id"]
        client.send("conversation.item.delete", item_id=item_id)
        client.next("conversation.item.deleted")
        assert client.next("response.done")["response"]["status"] == "completed"
        assert model.wait_for_session().items == []
