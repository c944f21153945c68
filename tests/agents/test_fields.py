"""The fields that change how an agent listens, speaks and is reached."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from callapp.agents import Agent, load_agents
from callapp.agents.agent_file import AgentFile
from callapp.agents.fields import Transcription, TurnDetection
from callapp.errors import ConfigError

Read = Callable[..., Agent]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read_lines(*lines: str, instructions: str = "Be kind.") -> Agent:
        path = tmp_path / "shop.md"
        path.write_text("\n".join(["---", *lines, "---", instructions]), encoding="utf-8")
        return AgentFile(path, ("end_call",)).agent

    return read_lines


MCP = (
    "mcp:",
    "  - server_label: crm",
    "    server_url: https://crm.example.com/mcp",
)


# -- what is read -------------------------------------------------------------------------------


def test_an_agent_that_says_nothing_listens_and_speaks_as_always(read: Read) -> None:
    agent = read("voice: coral")
    assert agent.transcription == Transcription(model="gpt-transcribe", language=(), keywords=())
    assert agent.turn_detection == TurnDetection(type="server_vad", threshold=0.5, silence_duration_ms=500)
    assert (agent.speed, agent.reasoning, agent.noise_reduction) == (None, None, None)
    assert (agent.numbers, agent.fallback_number, agent.mcp) == ((), None, ())


def test_who_the_caller_can_be_put_through_to(read: Read) -> None:
    agent = read("transfer_to:", "  sales: +81312345678", '  営業: "+81312345679"', "dtmf: inband")
    assert agent.transfer_to == {"sales": "+81312345678", "営業": "+81312345679"}
    assert agent.dtmf == "inband"
    assert (read("voice: coral").transfer_to, read("voice: coral").dtmf) == ({}, "carrier")


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (["transfer_to:", "  sales: 0312345678"], ":3: field 'transfer_to.sales': '0312345678' does not fit"),
        (["transfer_to: +81312345678"], ":2: field 'transfer_to': '+81312345678' does not fit"),
        (
            ["transfer_to:", "  sales: +81312345678", "  sales: +81312345679"],
            ":4: field 'transfer_to.sales': is there twice",
        ),
        (["dtmf: loud"], ":2: field 'dtmf': 'loud' does not fit; expected carrier or inband"),
    ],
)
def test_a_wrong_destination_is_told_with_its_line(read: Read, lines: list[str], fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(*lines)
    assert fault in str(caught.value)


def test_which_parameters_a_call_has_to_give_and_what_stands_for_the_others(read: Read) -> None:
    agent = read(
        "parameters:", "  customerId:", "  shop: Shibuya", "  counter: 007", "  vip: no", "  floor: ~"
    )
    assert agent.missing({}) == ["customerId", "floor"]
    assert agent.missing({"customerId": "12345", "floor": "3"}) == []
    assert agent.parameters_of({"shop": "Ueno", "customerId": "12345"}) == {
        "shop": "Ueno",
        "counter": "007",
        "vip": "no",
        "customerId": "12345",
    }
    assert read("parameters: [customerId, shop]").missing({"shop": "Ueno"}) == ["customerId"]
    assert read("parameters:").missing({}) == []


def test_texts_are_filled_with_the_files_own_values(tmp_path: Path) -> None:
    path = tmp_path / "shop.md"
    path.write_text(
        "---\ngreeting: 'This is {{ shop }}.'\nparameters: {shop: Shibuya}\n---\nYou are at {{ shop }}.\n"
    )
    agent = AgentFile(path, []).agent
    assert agent.missing({}) == []
    assert agent.fill({}) == "You are at Shibuya."
    assert agent.line("greeting", {}) == "This is Shibuya."
    assert agent.line("greeting", {"shop": "Ueno"}) == "This is Ueno."


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("parameters: shop", ":2: field 'parameters': 'shop' does not fit; expected names of parameters"),
        ("parameters: {shop: [Ueno]}", ":2: field 'parameters.shop': ['Ueno'] does not fit; expected names"),
        ("parameters: [shop, [Ueno]]", ":2: field 'parameters': "),
        ("parameters: {shop: Ueno, shop: Shibuya}", ":2: field 'parameters.shop': is there twice"),
        ("parameters: {'': Ueno}", ":2: field 'parameters.': nothing does not fit"),
    ],
)
def test_parameters_that_are_none_are_told_with_their_line(read: Read, line: str, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(line)
    assert fault in str(caught.value)


def test_transfer_call_needs_somebody_to_transfer_to(tmp_path: Path) -> None:
    path = tmp_path / "shop.md"
    path.write_text("---\ntools: [transfer_call]\n---\nBe kind.\n")
    with pytest.raises(ConfigError, match="nobody to transfer to"):
        AgentFile(path, ("transfer_call",))


def test_how_it_speaks(read: Read) -> None:
    agent = read("speed: 1.25", "reasoning: low", "noise_reduction: near_field", "timezone: Asia/Tokyo")
    assert (agent.speed, agent.reasoning, agent.noise_reduction) == (1.25, "low", "near_field")
    assert agent.timezone == "Asia/Tokyo"
    assert read("speed: 1").speed == 1


@pytest.mark.parametrize("off", ["off", "'off'", "false"])
def test_off_switches_transcription_and_noise_reduction_off(read: Read, off: str) -> None:
    agent = read(f"transcription: {off}", f"noise_reduction: {off}")
    assert agent.transcription is None
    assert agent.noise_reduction is None


def test_transcription_may_be_a_model_or_its_fields(read: Read) -> None:
    assert read("transcription: gpt-4o-transcribe").transcription == Transcription(model="gpt-4o-transcribe")
    agent = read("transcription:", "  language: [ja, en]", "  keywords: [callapp, 田中]", "  model:")
    assert agent.transcription == Transcription(language=("ja", "en"), keywords=("callapp", "田中"))
    assert read("transcription: {language: ja}").transcription == Transcription(language=("ja",))
    older = read("transcription: {model: whisper-1, language: ja}").transcription
    assert older == Transcription(model="whisper-1", language=("ja",))


def test_what_is_extracted_is_a_json_schema_as_it_stands_there(read: Read) -> None:
    agent = read(
        "extract:",
        "  type: object",
        "  properties: {order: {type: [string, 'null'], maxLength: 9}}",
        "analysis: gpt-6-sol",
    )
    assert agent.extract == {
        "type": "object",
        "properties": {"order": {"type": ["string", "null"], "maxLength": 9}},
    }
    assert agent.analysis == "gpt-6-sol"
    assert read("analysis: off").analysis == "off"
    assert read("voice: coral").analysis is None


def test_turn_detection_may_be_a_kind_or_its_fields(read: Read) -> None:
    assert read("turn_detection: semantic_vad").turn_detection == TurnDetection(type="semantic_vad")
    agent = read("turn_detection: {type: semantic_vad, eagerness: high}")
    assert agent.turn_detection.eagerness == "high"
    agent = read("turn_detection:", "  threshold: 0.8", "  silence_duration_ms: 700")
    assert agent.turn_detection == TurnDetection(threshold=0.8, silence_duration_ms=700)


@pytest.mark.parametrize(
    "line", ["numbers: [+815012345678]", "numbers: +815012345678", 'numbers: "+815012345678"']
)
def test_a_number_needs_no_quotes(read: Read, line: str) -> None:
    """To YAML a bare +81… is a number without its sign."""
    assert read(line).numbers == ("+815012345678",)


def test_a_fallback_number(read: Read) -> None:
    assert read("fallback_number: +815012345678").fallback_number == "+815012345678"
    assert read("fallback_number:").fallback_number is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("voicemail: Please call {{ name }} back.", "Please call {{ name }} back."),
        ("voicemail: {message: Please call., timeout_seconds: 20}", "Please call."),
        ("voicemail: hang_up", None),
        ("voicemail: {timeout_seconds: 20}", None),
    ],
)
def test_what_is_left_on_a_machine(read: Read, line: str, message: str | None) -> None:
    agent = read(line)
    assert agent.voicemail is not None
    assert agent.voicemail.message == message
    assert agent.detection_s == (20 if "20" in line else 30)


@pytest.mark.parametrize("line", ["voicemail: off", "voicemail:", "greeting: Hello"])
def test_an_agent_without_voicemail_takes_a_machine_for_anybody(read: Read, line: str) -> None:
    agent = read(line)
    assert (agent.voicemail, agent.detection_s) == (None, None)


def test_the_text_for_a_machine_is_a_template(read: Read) -> None:
    agent = read("voicemail: {message: 'Please call {{ name }}.'}")
    assert agent.missing({}) == ["name"]
    assert agent.line("voicemail", {"name": "Ann"}) == "Please call Ann."


def test_a_remote_server(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_TOKEN", "secret")
    agent = read(
        *MCP, "    approve: [find]", "    allowed_tools: [find, list]", "    authorization: CRM_TOKEN"
    )
    (server,) = agent.mcp
    assert (server.server_label, server.require_approval) == ("crm", "always")
    assert (server.server_url, server.approve) == ("https://crm.example.com/mcp", ("find",))
    assert "secret" not in repr(agent), "the file names the variable, and so does the agent"


@pytest.mark.parametrize(
    ("field", "least", "most", "step"),
    [
        ("speed: {}", 0.25, 1.5, 0.01),  # as OpenAI takes it
        ("voicemail: {{timeout_seconds: {}}}", 3, 59, 1),  # as Twilio takes it
        ("turn_detection: {{threshold: {}}}", 0, 1, 0.01),
        ("turn_detection: {{prefix_padding_ms: {}}}", 0, 10_000, 1),
        ("turn_detection: {{silence_duration_ms: {}}}", 0, 10_000, 1),
        ("idle: {{nudge_seconds: {}}}", 0, 3_600, 0.5),
        ("interruptions: {{min_speech_ms: {}}}", 0, 5_000, 1),
        ("interruptions: {{most_in_30_seconds: {}}}", 0, 100, 1),
    ],
)
def test_a_number_has_the_bounds_that_are_told(
    read: Read, field: str, least: float, most: float, step: float
) -> None:
    for value in (least, most):
        read(field.format(value))
    for value in (least - step, most + step):
        with pytest.raises(ConfigError, match="does not fit"):
            read(field.format(value))


# -- what is wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "at", "told"),
    [
        (["extract: order"], 2, "field 'extract': 'order' does not fit; expected a JSON Schema with"),
        (["extract: {type: objekt}"], 2, "field 'extract': is no JSON Schema: $.type: 'objekt' is not valid"),
        (["extract: {type: array}"], 2, "field 'extract': describes no object; expected `type: object`"),
        (["extract: {type: object, 1: 2}"], 2, "field 'extract': "),
        (
            ["analysis: [a]"],
            2,
            "field 'analysis': ['a'] does not fit; expected off, or the name of a text model",
        ),
        (["speed: 2"], 2, "field 'speed': 2 does not fit; expected a number from 0.25 to 1.5"),
        (["speed: fast"], 2, "field 'speed': 'fast' does not fit; expected a number"),
        (["speed: true"], 2, "field 'speed': True does not fit; expected a number"),
        (["reasoning: hard"], 2, "field 'reasoning': 'hard' does not fit; expected minimal, low, medium"),
        (["timezone: Japan/Tokyo"], 2, "field 'timezone': 'Japan/Tokyo' does not fit; expected the name of"),
        (["timezone: /Japan"], 2, "field 'timezone': '/Japan' does not fit; expected the name of"),
        (
            ["noise_reduction: strong"],
            2,
            "field 'noise_reduction': 'strong' does not fit; expected near_field",
        ),
        (
            ["transcription: on"],
            2,
            "field 'transcription': True does not fit; expected off, the name of a model",
        ),
        (["transcription: [ja]"], 2, "field 'transcription': ['ja'] does not fit; expected off"),
        (
            ["transcription:", "  modle: x"],
            3,
            "field 'transcription.modle': there is no such field; expected perhaps 'model'",
        ),
        (
            ["transcription:", "  language: [ja, Japanese]"],
            3,
            "field 'transcription.language': 'Japanese' does not fit; expected a language code",
        ),
        (
            ["transcription:", "  language:", "    - ja", "    - Japanese"],
            5,
            "field 'transcription.language': 'Japanese' does not fit",
        ),
        (
            ["transcription:", "  keywords: ['a<b']"],
            3,
            "field 'transcription.keywords': 'a<b' does not fit; expected a list of words",
        ),
        (
            ["transcription:", "  model: gpt-live-transcribe"],
            1,
            "field 'kind': 'gpt-live-transcribe' cannot tell when a turn ends; expected e.g. `tra",
        ),
        (
            ["transcription:", "  model: whisper-1", "  keywords: [x]"],
            4,
            "field 'transcription.keywords': 'whisper-1' takes no keywords",
        ),
        (
            ["transcription:", "  model: whisper-1", "  language: [ja, en]"],
            4,
            "field 'transcription.language': 'whisper-1' takes one language only",
        ),
        (["turn_detection: vad"], 2, "field 'turn_detection': 'vad' does not fit; expected server_vad"),
        (
            ["turn_detection:", "  threshold: 2"],
            3,
            "field 'turn_detection.threshold': 2 does not fit; expected a number from 0 to 1",
        ),
        (
            ["turn_detection:", "  type: semantic_vad", "  threshold: 0.5"],
            4,
            "field 'turn_detection.threshold': belongs to server_vad; expected eagerness",
        ),
        (
            ["turn_detection:", "  eagerness: high"],
            3,
            "field 'turn_detection.eagerness': belongs to semantic_vad",
        ),
        (
            ["turn_detection:", "  silence_duration_ms: 0.5"],
            3,
            "field 'turn_detection.silence_duration_ms': 0.5 does not fit; expected a whole number",
        ),
        (
            ["turn_detection:", "  threshold: 0.5", "  threshold: 0.6"],
            4,
            "field 'turn_detection.threshold': is there twice, first on line 3",
        ),
        (
            ["turn_detection:", "  interrupt_response: true"],
            3,
            "field 'turn_detection.interrupt_response': there is no such field",
        ),
        (
            ["idle:", "  nudge_seconds: soon"],
            3,
            "field 'idle.nudge_seconds': 'soon' does not fit; expected a number of seconds",
        ),
        (
            ["interruptions:", "  min_speech_ms: 400", "  noise_line: 7"],
            4,
            "field 'interruptions.noise_line': 7 does not fit; expected what the agent says",
        ),
        (["record: theirs"], 2, "field 'record': 'theirs' does not fit; expected none, ours, twilio, or"),
        (
            ["record:", "  notice: 7"],
            3,
            "field 'record.notice': 7 does not fit; expected what is",
        ),
        (["numbers: [+8150]"], 2, "field 'numbers': '+8150' does not fit; expected a list of phone numbers"),
        (["numbers: [050-1234-5678]"], 2, "field 'numbers': '050-1234-5678' does not fit"),
        (["numbers:", "  - +815012345678", "  - 12"], 4, "field 'numbers': '12' does not fit"),
        (["fallback_number: 110"], 2, "field 'fallback_number': '110' does not fit; expected a phone number"),
        (
            ["mcp: crm"],
            2,
            "field 'mcp': what is written there does not fit; expected a list of remote MCP servers",
        ),
        (
            ["mcp:", "  - server_label: crm"],
            3,
            "field 'mcp.server_url': is missing; expected an https address",
        ),
        (
            ["mcp:", "  - server_label: crm", "    server_url: http://crm.example.com"],
            4,
            "field 'mcp.server_url': what is written there does not fit; expected an https address",
        ),
        (
            ["mcp:", "  - server_label: crm", "    server_url: https://crm.example.com:sk-123"],
            4,
            "field 'mcp.server_url': what is written there does not fit",
        ),
        (
            ["mcp:", "  - server_label: crm", "    server_url: https://me:sk-123@crm.example.com"],
            4,
            "field 'mcp.server_url': what is written there does not fit",
        ),
        (
            ["mcp: {authorization: sk-123}"],
            2,
            "field 'mcp': what is written there does not fit; expected a list",
        ),
        ([*MCP], 3, "field 'mcp': none of its tools could ever run; expected `approve: [names of tools]`"),
        (
            [*MCP, "    require_approval: never", "    approve: [find]"],
            6,
            "field 'mcp.approve': is of no effect with `require_approval: never`",
        ),
        (
            [*MCP, "    approve: [find]", "    allowed_tools: [list]"],
            5,
            "field 'mcp.approve': 'find' is not in allowed_tools",
        ),
        (
            [*MCP, "    approve: [find]", "    authorization: NO_SUCH_VARIABLE"],
            6,
            "field 'mcp.authorization': there is no such environment variable; expected the name of",
        ),
        (
            [*MCP, "    approve: [find]", "    authorization: sk-123"],
            6,
            "field 'mcp.authorization': what is written there does not fit; expected the name of",
        ),
        (
            [*MCP, "    approve: [find]", *MCP[1:], "    require_approval: never"],
            2,
            "field 'mcp': there are two servers 'crm'; expected a server_label of its own for each",
        ),
        *(
            (
                [f"extract: {{type: object, properties: {properties}}}"],
                2,
                "field 'extract': has something in it",
            )
            for properties in (
                "{day: {enum: [2026-01-01]}}",
                "{yes: {type: string}}",
                "{1: {type: string}}",
                "{price: {maximum: .inf}}",
            )
        ),
        (["voicemail: 7"], 2, "field 'voicemail': 7 does not fit; expected the text to leave"),
        (
            ["voicemail:", "  message: Please call.", "  timeout_seconds: 60"],
            4,
            "field 'voicemail.timeout_seconds': 60 does not fit; expected a whole number of seconds, 3 to 59",
        ),
        (["voicemail: {text: Hello}"], 2, "field 'voicemail.text': there is no such field; expected one of"),
        (["voicemail: Call {{ }}"], 2, "field 'voicemail': "),
        (["voicemail:", "  message: Call {{ }}"], 3, "field 'voicemail.message': "),
    ],
)
def test_a_wrong_value_is_one_line_with_its_place(read: Read, lines: list[str], at: int, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(*lines)
    (fault,) = caught.value.faults
    place, _, what = fault.partition(": ")
    assert place.endswith(f"/shop.md:{at}"), fault
    assert what.startswith(told), what
    assert "sk-123" not in fault, "a secret that was put into the file does not go on into the log"


# -- numbers ------------------------------------------------------------------------------------


def write(folder: Path, name: str, *lines: str) -> Path:
    path = folder / f"{name}.md"
    path.write_text("\n".join(["---", *lines, "---", "Be kind."]), encoding="utf-8")
    return path


def test_what_one_server_takes_over_from_another_is_told_where_it_says_so(read: Read) -> None:
    """YAML's merge key: the value stands in neither's lines."""
    with pytest.raises(ConfigError) as caught:
        read(
            *MCP[:1],
            "  - &crm {server_label: crm, server_url: https://crm.example.com/mcp, approve: [find],",
            "     authorization: NO_SUCH_VARIABLE}",
            "  - <<: *crm",
            "    server_label: shop",
        )
    assert [fault.partition("shop.md:")[2][:32] for fault in caught.value.faults] == [
        "4: field 'mcp.authorization': th",
        "5: field 'mcp.authorization': th",
    ]


def test_an_agent_is_found_by_its_number(tmp_path: Path) -> None:
    write(tmp_path, "shop", "numbers: [+815012345678, +815012345679]")
    agents = load_agents(tmp_path)
    found = agents.of_number("+815012345679")
    assert found is not None
    assert found.name == "shop"
    assert agents.of_number("+815012345670") is None
    assert agents.of_number("") is None


def test_two_agents_with_one_number_are_a_fault(tmp_path: Path) -> None:
    write(tmp_path, "a", "numbers: [+815012345678]")
    write(tmp_path, "b", "voice: coral", "numbers:", "  - +815012345679", "  - +815012345678")
    with pytest.raises(ConfigError) as caught:
        load_agents(tmp_path)
    assert caught.value.faults == (
        f"{tmp_path}/b.md:5: field 'numbers': +815012345678 is taken by {tmp_path}/a.md:2; "
        "expected it in one agent",
    )


# -- calls between people -----------------------------------------------------------------------


def test_an_interpreter_connects_two_languages(read: Read) -> None:
    agent = read(
        "kind: interpreter", "languages: [ja, en]", "other_party: +442079460000", "original_voice: 0"
    )
    assert (agent.kind, agent.languages) == ("interpreter", ("ja", "en"))
    assert (agent.other_party, agent.original_voice) == ("+442079460000", 0)
    assert read("voice: coral").kind == "assistant"
    swedish = read("kind: interpreter", "languages: [sv, en]", "engine: realtime")
    assert (swedish.languages, swedish.engine, agent.engine) == (("sv", "en"), "realtime", "translation")


def test_norwegian_needs_no_quotes(read: Read) -> None:
    """YAML takes a bare ``no`` for false."""
    agent = read("kind: interpreter", "languages: [no, en]", "engine: realtime")
    assert agent.languages == ("no", "en")


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (["kind: interpreter"], "2: field 'kind': an interpreter needs two; expected e.g. `languages: [ja"),
        (["languages: [ja]", "kind: interpreter"], "2: field 'languages': ['ja'] does not fit; expected two"),
        (["languages: [ja, ja]", "kind: interpreter"], "2: field 'languages'"),
        (["languages: [ja, sv]", "kind: interpreter"], "3: field 'kind': the translation model does not"),
        (
            ["languages: [ja, en]"],
            "1: field 'kind': 'assistant' has no use for 'languages'; expected `kind: i",
        ),
        (
            ["kind: interpreter", "languages: [ja, en]", "greeting: Hello"],
            "2: field 'kind': 'interpreter' has no use for 'greeting'; expected `kind: assistant`, or no",
        ),
        (["kind: secretary"], "2: field 'kind': 'secretary' does not fit; expected assistant, interpreter"),
        (["original_voice: 2"], "2: field 'original_voice': 2 does not fit; expected a number from 0 (off)"),
        (["other_party: 0312345678"], "2: field 'other_party'"),
    ],
)
def test_what_does_not_fit_an_interpreter_is_told(read: Read, lines: list[str], fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(*lines)
    assert f"shop.md:{fault}" in str(caught.value)


CAPTIONS = ("kind: captions", "forward_to: +442079460000")


def test_captions_are_of_a_call_to_somebody_and_written_while_it_goes_on(read: Read) -> None:
    agent = read(*CAPTIONS, "opening: This call is transcribed.", "noise_reduction: near_field")
    assert (agent.kind, agent.forward_to) == ("captions", "+442079460000")
    assert agent.transcriber == "gpt-live-transcribe"
    both = read(*CAPTIONS, "transcription: {language: [ja, en], keywords: [Sato]}")
    assert both.transcription is not None
    assert (both.transcription.language, both.transcriber) == (("ja", "en"), "gpt-live-transcribe")
    assert read(*CAPTIONS, "transcription: gpt-transcribe").transcriber == "gpt-transcribe"
    assert read("kind: assistant").transcriber == "gpt-transcribe"


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (["kind: captions"], "2: field 'kind': captions need a call; expected e.g. `forward_to: +8150…`"),
        (["forward_to: +442079460000"], "1: field 'kind': 'assistant' has no use for 'forward_to'"),
        ([*CAPTIONS, "transcription: off"], "2: field 'kind': captions are a transcription; expected no"),
        (
            [*CAPTIONS, "voice: coral"],
            "2: field 'kind': 'captions' has no use for 'voice'; expected `kind: assistant` or `kind: inter",
        ),
        ([*CAPTIONS, "record: ours"], "2: field 'kind': 'captions' has no use for 'record'"),
        (["kind: captions", "forward_to: 0312345678"], "3: field 'forward_to': '0312345678' does not fit"),
        (
            [*CAPTIONS, "transcription: {model: gpt-realtime-whisper, language: [ja, en]}"],
            "4: field 'transcription.language': 'gpt-realtime-whisper' takes one language only",
        ),
    ],
)
def test_what_does_not_fit_captions_is_told(read: Read, lines: list[str], fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(*lines)
    assert f"shop.md:{fault}" in str(caught.value)


# -- the date -----------------------------------------------------------------------------------

NIGHT = datetime(2026, 11, 23, 20, 5, tzinfo=UTC)


def test_today_is_where_the_agent_is_and_in_its_language(read: Read) -> None:
    text = "{{ today }}, {{ now }}"
    tokyo = read("language: ja-JP", "timezone: Asia/Tokyo", instructions=text)
    assert tokyo.fill({}, at=NIGHT) == "2026-11-24(火曜日), 05:05"
    assert read("language: JA", instructions=text).fill({}, at=NIGHT) == "2026-11-23(月曜日), 20:05"
    paris = read("timezone: Europe/Paris", instructions=text)
    assert paris.fill({}, at=NIGHT) == "2026-11-23 (Monday), 21:05"
    assert paris.missing({}) == [], "nobody has to give it with the call"


def test_a_parameter_of_the_call_takes_precedence_over_what_callapp_knows(read: Read) -> None:
    assert read(instructions="{{ today }}").fill({"today": "Sunday"}) == "Sunday"


@pytest.mark.parametrize("name", ["operator", "reservation", "receptionist"])
def test_prompts_differ_at_their_end_only(name: str) -> None:
    """The provider caches what a prompt begins with."""
    agent = load_agents()[name]
    one = agent.fill({}, at=NIGHT)
    other = agent.fill({}, at=datetime(2031, 1, 1, tzinfo=UTC))
    same = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(one))
    assert "\n" not in one[same:]
    assert agent.missing({}) == []
