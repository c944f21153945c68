from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callapp.agents import Agent, load_agents
from callapp.agents.agent_file import AgentFile
from callapp.agents.front_matter import FIELDS
from callapp.errors import ConfigError
from callapp.tools.registry import BUILT_IN_NAMES

TOOLS = ("end_call", "opening_hours")

CONTRACT = """\
---
voice: coral
language: ja-JP
greeting: もしもし、こんにちは。
opening: こんにちは。オペレーターにお繋ぎします。
closing: 以上でオペレーターとの通話を終了します。
tools: [end_call]
---
あなたは、カスタマーサポート担当のAIオペレーターです。…
"""

Read = Callable[[str], Agent]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shop.md"


@pytest.fixture
def read(path: Path) -> Read:
    def read_text(text: str) -> Agent:
        path.write_text(text, encoding="utf-8", newline="")
        return AgentFile(path, TOOLS).agent

    return read_text


def faults_of(read: Read, text: str) -> list[str]:
    """The faults without the folder's name."""
    with pytest.raises(ConfigError) as caught:
        read(text)
    return [fault.rpartition("/")[2] if "/shop.md" in fault else fault for fault in caught.value.faults]


def front(*lines: str, instructions: str = "Be kind.") -> str:
    return "\n".join(["---", *lines, "---", instructions, ""])


# -- what is read -------------------------------------------------------------------------------


def test_the_contracts_example_loads(read: Read) -> None:
    assert read(CONTRACT) == Agent(
        name="shop",
        instructions="あなたは、カスタマーサポート担当のAIオペレーターです。…",
        voice="coral",
        language="ja-JP",
        greeting="もしもし、こんにちは。",
        opening="こんにちは。オペレーターにお繋ぎします。",
        closing="以上でオペレーターとの通話を終了します。",
        tools=("end_call",),
    )


def test_what_is_not_said_has_a_default(read: Read) -> None:
    agent = read("---\n---\nBe kind.")
    assert (agent.voice, agent.language) == ("marin", "en-US")
    assert (agent.model, agent.greeting, agent.opening, agent.closing) == (None, None, None, None)
    assert (agent.tools, agent.max_call_seconds) == ((), None)


def test_a_blank_field_is_as_good_as_none(read: Read) -> None:
    agent = read(front("greeting:", 'opening: ""', 'closing: "  "', "tools:", "voice:", "model: ~"))
    assert (agent.greeting, agent.opening, agent.closing, agent.tools) == (None, None, None, ())
    assert agent.voice == "marin"


def test_all_fields_are_read(read: Read) -> None:
    agent = read(
        front(
            "model: gpt-realtime-2.1",
            "max_call_seconds: 300",
            "greeting: >",
            "  Hello,",
            "  this is the shop.",
            "tools:",
            "  - opening_hours",
            "  - end_call",
        )
    )
    assert agent.model == "gpt-realtime-2.1"
    assert agent.max_call_seconds == 300
    assert agent.greeting == "Hello, this is the shop."
    assert agent.tools == ("opening_hours", "end_call")


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_files_written_on_windows_are_read_alike(read: Read, newline: str, mark: str) -> None:
    agent = read(mark + front("voice: coral", instructions="One.\n\nTwo.").replace("\n", newline))
    assert agent.voice == "coral"
    assert agent.instructions == "One.\n\nTwo."


def test_dashes_in_the_instructions_are_theirs(read: Read) -> None:
    assert read(front("voice: coral", instructions="One.\n---\nTwo.")).instructions == "One.\n---\nTwo."


# -- what is wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("voise: coral", "field 'voise': there is no such field; expected perhaps 'voice'"),
        (
            "zzz: 1",
            f"field 'zzz': there is no such field; expected one of {', '.join(sorted(FIELDS))}",
        ),
        ("name: shop", "field 'name': there is no such field; expected"),
        ("instructions: x", "field 'instructions': there is no such field; expected"),
        ("[a]: 1", "field '?': there is no such field; expected"),
        ("voice: 7", "field 'voice': 7 does not fit; expected the name of a voice, e.g. coral or marin"),
        ("voice: two words", "field 'voice': 'two words' does not fit; expected the name of a voice"),
        ("language: no", "field 'language': False does not fit; expected a language tag"),
        ("language: ja_JP", "field 'language': 'ja_JP' does not fit; expected a language tag, e.g. ja-JP"),
        ("greeting: 12", "field 'greeting': 12 does not fit; expected what the agent says first: text, in"),
        ("opening: [a]", "field 'opening': ['a'] does not fit; expected what is read out before"),
        ("closing: {a: 1}", "field 'closing': {'a': 1} does not fit; expected what is read out after"),
        ("greeting: !x y", "field 'greeting': '!x y' does not fit; expected what the agent says first"),
        ("model: ''", "field 'model': nothing does not fit; expected the name of a realtime model"),
        ("tools: end_call", "field 'tools': 'end_call' does not fit; expected a list of tool names"),
        ("tools: !!set {end_call}", "field 'tools': {'end_call'} does not fit; expected a list of tool"),
        ("greeting: !!binary eHg=", "field 'greeting': b'xx' does not fit; expected what the agent says"),
        ("tools: [1]", "field 'tools': 1 does not fit; expected a list of tool names, e.g. [end_call]"),
        ("tools: [end_cal]", "field 'tools': there is no tool 'end_cal'; expected perhaps 'end_call'"),
        (
            "tools: [zzz]",
            "field 'tools': there is no tool 'zzz'; expected one of end_call, opening_hours",
        ),
        ("tools: [end_call, end_call]", "field 'tools': 'end_call' is there twice; expected it once"),
        ("idle: 10", "field 'idle': 10 does not fit; expected nudge_seconds, a number of seconds"),
        ("idle: {nudge: 10}", "field 'idle.nudge': there is no such field; expected one of nudge_seconds"),
        # A decimal comma: to YAML a 0, and a field without a value.
        ("turn_detection: {threshold: 0,7}", "field 'turn_detection.7': there is no such field; expected"),
        ("idle: {nudge_seconds: -1}", "field 'idle.nudge_seconds': -1 does not fit; expected a number of"),
        ("waiting: One moment.", "field 'waiting': 'One moment.' does not fit; expected a list of lines"),
        ("waiting: [5]", "field 'waiting': 5 does not fit; expected a list of lines"),
        (
            "interruptions: {min_speech_ms: long}",
            "field 'interruptions.min_speech_ms': 'long' does not fit; expected a whole number of milli",
        ),
        ("interruptions: {noise_line: ''}", "field 'interruptions.noise_line': nothing does not fit; exp"),
        ("max_call_seconds: soon", "field 'max_call_seconds': 'soon' does not fit; expected a whole number"),
        ("max_call_seconds: 0", "field 'max_call_seconds': 0 does not fit; expected a whole number"),
        ("max_call_seconds: 1.5", "field 'max_call_seconds': 1.5 does not fit; expected a whole number"),
        ("max_call_seconds: true", "field 'max_call_seconds': True does not fit; expected a whole number"),
        ("greeting: '{{ name'", "field 'greeting': unexpected end of template"),
        ("greeting: '{{ f() }}'", "field 'greeting': this cannot be used in a template; expected {{ name }}"),
        ("greeting: a: b", "is not YAML: mapping values are not allowed here; expected `field: value`"),
        ("greeting: {{ name }}さん", "is not YAML: "),
        ("greeting: {{ name }}", "field 'greeting': '{{ name }}' does not fit; expected"),
        ("greeting: 'open", "is not YAML: "),
        ("greeting: 2026-99-99", "field 'greeting': '2026-99-99' does not fit; expected"),
    ],
)
def test_a_wrong_line_is_told_with_its_number(read: Read, line: str, told: str) -> None:
    (fault,) = faults_of(read, front("# a comment", "", line))
    place, _, what = fault.partition(": ")
    # YAML notices an open quote only where the text ends.
    assert place == "shop.md:4" or (line.endswith("'open") and place == "shop.md:5")
    assert what.startswith(told)


def test_items_of_a_list_are_told_with_their_own_lines(read: Read) -> None:
    faults = faults_of(read, front("tools:", "  - end_call", "  - close", "  -", "  - end_call"))
    assert [fault.partition(": ")[0] for fault in faults] == ["shop.md:4", "shop.md:5", "shop.md:6"]
    assert "nothing does not fit" in faults[1]


def test_a_field_that_is_there_twice_is_a_fault(read: Read) -> None:
    (fault,) = faults_of(read, front("voice: coral", "voice: marin"))
    assert fault == "shop.md:3: field 'voice': is there twice, first on line 2"


def test_wrong_arguments_in_a_branch_are_told_with_their_line(read: Read) -> None:
    """And not by the first call that takes the branch."""
    text = front("voice: coral", instructions="Be kind.\n{% if vip %}\n{{ name | upper(1) }}\n{% endif %}")
    (fault,) = faults_of(read, text)
    assert fault.startswith("shop.md:6: instructions: do_upper() takes 1 positional argument but")


def test_all_faults_of_a_file_are_told_in_the_order_of_their_lines(read: Read) -> None:
    text = front("voise: x", "language: x!", "tools: [nope]", "opening: '{{'", instructions="a\n{{ b.c }}")
    faults = faults_of(read, text)
    assert [fault.split(":")[1] for fault in faults] == ["2", "3", "4", "5", "8"]
    assert faults[-1].startswith("shop.md:8: instructions: this cannot be used in a template")


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ("&a [*a]", "tools"),
        ("&a [*a]", "numbers"),
        ("&a {nudge_seconds: 1, nudge_seconds: 2, more: *a}", "idle"),
        ("&a {<<: *a}", "idle"),
    ],
)
def test_an_alias_of_what_it_stands_in_is_a_fault(read: Read, value: str, field: str) -> None:
    (fault,) = faults_of(read, front("voice: coral", f"{field}: {value}"))
    assert fault.startswith(f"shop.md:3: field {field!r}: an alias stands inside of what it is for; expected")


@pytest.mark.parametrize("value", ["!!bool perhaps", "!!timestamp soon", "!!int some"])
def test_a_value_that_is_not_of_its_tag_is_a_fault(read: Read, value: str) -> None:
    (fault,) = faults_of(read, front("voice: coral", f"closing: {value}"))
    assert fault.startswith(f"shop.md:3: field 'closing': {value!r} does not fit; expected what is")


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85"])
def test_a_separator_that_came_with_pasted_text_ends_no_line(read: Read, separator: str) -> None:
    """YAML would end one there, which no editor does."""
    greeting = f"greeting: Good{separator}day"
    assert read(front(greeting)).greeting == "Good day"
    (fault,) = faults_of(read, front(greeting, "speed: 9"))
    assert fault.startswith("shop.md:3: field 'speed': 9 does not fit")
    (fault,) = faults_of(read, front(greeting, "closing: !!bool perhaps"))
    assert fault.startswith("shop.md:3: field 'closing': '!!bool perhaps' does not fit")


def test_aliases_that_come_to_more_than_there_is_memory_are_a_fault(read: Read) -> None:
    lists = ["  a0: &a0 [1]", *(f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 20))]
    (fault,) = faults_of(read, front("extract:", *lists))
    assert fault.startswith("shop.md:2: field 'extract': ")
    assert fault.endswith("does not fit; expected a JSON Schema with `type: object` and properties")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "shop.md:1: no front matter"),
        ("Be kind.", "shop.md:1: no front matter"),
        ("\n---\n---\nBe kind.", "shop.md:1: no front matter"),
        ("---\nvoice: coral\nBe kind.", "shop.md:1: the front matter has no end"),
        ("---\n- a\n---\nBe kind.", "shop.md:2: is not a list of fields"),
        ("---\nvoice\n---\nBe kind.", "shop.md:2: is not a list of fields"),
        ("---\n\x07\n---\nBe kind.", "shop.md:1: is not YAML"),
        ('---\nopening: "\\U00110000"\n---\nBe kind.', "shop.md:1: is not YAML"),
        ('---\nopening: "\\Uffffffff"\n---\nBe kind.', "shop.md:1: is not YAML"),
        (f"---\ntools: {'[' * 1000}\n---\nBe kind.", "shop.md:1: is nested too deeply"),
        ("---\n---\n \n", "shop.md:2: there are no instructions"),
    ],
)
def test_a_file_of_another_shape_is_a_fault(read: Read, text: str, told: str) -> None:
    (fault,) = faults_of(read, text)
    assert fault.startswith(told)


def test_a_file_in_another_encoding_is_a_fault(path: Path) -> None:
    path.write_bytes(b"---\n---\n\n" + "もしもし".encode("shift_jis"))
    with pytest.raises(ConfigError, match=r"shop\.md:4: is not UTF-8"):
        AgentFile(path, TOOLS)


def test_a_file_name_that_no_url_would_like_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "my shop.md"
    path.write_text(CONTRACT)
    with pytest.raises(ConfigError, match=r"my shop\.md:1: the file name does not fit"):
        AgentFile(path, TOOLS)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text() | st.text(alphabet="---\n: {}[]'\"&*!|>%@`abc#?").map(lambda text: f"---\n{text}\n---\nx")
)
def test_no_file_is_read_with_anything_but_faults(text: str, path: Path) -> None:
    path.write_bytes(text.encode("utf-8", "replace"))
    faults = ["none"]
    try:
        AgentFile(path, TOOLS)
    except ConfigError as error:
        faults = list(error.faults)
    assert faults
    assert all("\n" not in fault for fault in faults)


# -- the folder ---------------------------------------------------------------------------------


def test_operator_is_built_in_and_the_default() -> None:
    agents = load_agents()
    assert sorted(agents) == ["interpreter", "operator", "receptionist", "reservation"]
    operator = agents.default
    assert operator is agents.get("operator")
    assert (operator.voice, operator.language) == ("coral", "ja-JP")
    assert operator.greeting == "もしもし、こんにちは。"
    assert operator.opening == "こんにちは。オペレーターにお繋ぎします。"
    assert operator.closing == "以上でオペレーターとの通話を終了します。"
    assert operator.tools == ("take_message", "wait", "report_voicemail", "end_call")
    assert operator.missing({}) == []
    assert agents.get("nobody") is None


@pytest.mark.parametrize("agent", load_agents().values(), ids=lambda agent: agent.name)
def test_a_built_in_agent_is_told_when_to_use_each_of_its_tools(agent: Agent) -> None:
    """A prompt that does not speak of a tool leaves its use to chance; one of a tool it lacks, to fiction."""
    spoken_of = {name for name in BUILT_IN_NAMES if re.search(rf"\b{name}\b", agent.instructions, re.ASCII)}
    assert spoken_of == set(agent.tools)


def test_the_users_agents_add_to_the_built_in_ones(tmp_path: Path) -> None:
    (tmp_path / "shop.md").write_text(front("voice: cedar"))
    (tmp_path / "README.md").write_text("# My agents")
    (tmp_path / "shop.txt").write_text("not an agent")
    agents = load_agents(tmp_path, "shop")
    assert sorted(agents) == ["interpreter", "operator", "receptionist", "reservation", "shop"]
    assert agents.default.name == "shop"


def test_what_editors_and_systems_leave_in_the_folder_is_no_agent(tmp_path: Path) -> None:
    (tmp_path / "shop.md").write_text(CONTRACT)
    before = set(load_agents(tmp_path))
    (tmp_path / ".#shop.md").symlink_to("me@here.4711")
    (tmp_path / "._shop.md").write_bytes(b"\x00\x05\x16\x07\xff")
    assert set(load_agents(tmp_path)) == before


def test_the_same_name_replaces_a_built_in_one(tmp_path: Path) -> None:
    (tmp_path / "operator.md").write_text(front("voice: cedar"))
    agents = load_agents(tmp_path)
    assert sorted(agents) == ["interpreter", "operator", "receptionist", "reservation"]
    assert agents.default.voice == "cedar"


def test_the_faults_of_all_files_are_told_together(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(front("voise: x"))
    (tmp_path / "b.md").write_text(front("tools: [sing]"))
    with pytest.raises(ConfigError) as caught:
        load_agents(tmp_path, "c")
    assert caught.value.faults == (
        f"{tmp_path}/a.md:2: field 'voise': there is no such field; expected perhaps 'voice'",
        f"{tmp_path}/b.md:2: field 'tools': there is no tool 'sing'; expected one of "
        + ", ".join(sorted(BUILT_IN_NAMES)),
        "DEFAULT_AGENT: there is no agent 'c'; expected one of a, b, interpreter, operator, receptionist, "
        "reservation",
    )


def test_a_default_agent_whose_file_is_wrong_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(front("voise: x"))
    with pytest.raises(ConfigError) as caught:
        load_agents(tmp_path, "a")
    assert len(caught.value.faults) == 1


def test_a_folder_that_does_not_exist_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"AGENTS_DIR: '.*/agents' is not a folder"):
        load_agents(tmp_path / "agents")


# -- an agent on a call -------------------------------------------------------------------------


def agent(**lines: str) -> Agent:
    return Agent(name="shop", instructions="Help {{ customer }}.", **lines)  # type: ignore[arg-type]


def test_missing_looks_into_all_texts() -> None:
    one = agent(greeting="Hello {{ name }}", opening="{{ shop | default('We') }} call", closing="Bye {{ b }}")
    assert one.missing({}) == ["b", "customer", "name"]
    assert one.missing({"customer": "12", "b": "", "more": "x"}) == ["name"]


def test_a_call_fills_the_instructions() -> None:
    assert agent().fill({"customer": "12", "more": "x"}) == "Help 12."
    assert agent().fill({}) == "Help ."


def test_a_call_fills_the_lines_with_what_there_is() -> None:
    one = agent(greeting="もしもし、{{ name }}様。", opening="{{ notice }} {{ more }}")
    assert one.line("greeting", {"name": "田中"}) == "もしもし、田中様。"
    assert one.line("greeting", {}) == "もしもし、様。"
    assert one.line("opening", {}) is None, "nothing to say is not said"
    assert one.line("closing", {}) is None


def test_every_field_says_what_is_expected() -> None:
    assert all(Agent.model_fields[field].description for field in FIELDS)
