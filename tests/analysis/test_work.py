"""A call that is over is read by a text model, and what it says is written down with the call."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from sqlalchemy import select

from callapp.agents import Agent
from callapp.analysis.work import Analyst, model_for
from callapp.call_log import Store
from callapp.call_log.erasure import delete_calls
from callapp.call_log.follow_ups import FollowUps
from callapp.call_log.jobs import Job, JobQueue
from callapp.call_log.models import JobRow, UsageRow
from callapp.call_log.reading import find_call
from callapp.call_log.record import Record
from callapp.conversation.facts import Began, Closed, Ended, Fact, Uttered
from callapp.jobs.runner import GiveUp
from callapp.prices import TextTokens, text_usd
from callapp.settings import Settings
from callapp.simulators.text_model import Answer, PretendTextModel, Refusal
from tests.call_log.test_record import CALL
from tests.databases import jobs_waiting

KEY = "sk-0123"
ORDER = {"type": "object", "properties": {"order": {"type": "integer"}}, "required": ["order"]}
FITS = {"summary": "They asked for order 7.", "verdict": "resolved", "tags": ["caller_satisfied"]}
SAID: tuple[Fact, ...] = (
    Began(),
    Uttered(2_000, "caller", "item_1", "Where is order seven?", 500, 1_900),
    Ended(9_000, "agent.ended"),
    Closed(9_010),
)


def agent(**fields: Any) -> Agent:
    return Agent(name=CALL.agent, instructions="You answer.", language="ja-JP", **fields)


class World:
    """An analyst, the agents it knows, and a call to analyse."""

    def __init__(self, store: Store, answers: list[Answer], known: Agent | None) -> None:
        self.store = store
        self.pretend = PretendTextModel(answers, api_key=KEY)
        settings = Settings(openai_api_key=KEY, openai_base_url=self.pretend.url)
        follow_ups = FollowUps(tells=True, analyzes=lambda agent: True)
        agents = {} if known is None else {known.name: known}
        self.asked: list[tuple[str, TextTokens]] = []
        self.analyst = Analyst(
            settings,
            agents,
            store,
            follow_ups,
            lambda kind, outcome: None,
            lambda model, tokens: self.asked.append((model, tokens)),
        )
        self.record = Record(store, follow_ups)

    def tell(self, *facts: Fact) -> Job:
        """Let a call go by; return the job of analysing it."""
        for fact in facts:
            self.record(CALL, fact, fact.at_ms)
        self.record.close()
        job = JobQueue(self.store).claim(["analyze"], 60)
        assert job is not None
        return job

    @property
    def call(self) -> dict[str, Any]:
        found = find_call(self.store, CALL.call_sid)
        assert found is not None
        return found.as_json()

    def close(self) -> None:
        self.analyst.close(20.0)
        self.record.close()
        self.pretend.close()


Make = Callable[..., World]


@pytest.fixture
def make(store: Store) -> Iterator[Make]:
    with ExitStack() as stack:

        def world(*answers: Any, known: Agent | None = None) -> World:
            texts = [json.dumps(one) if isinstance(one, dict) else one for one in answers]
            made = World(store, list(texts), known)
            stack.callback(made.close)
            return made

        yield world


def test_what_came_of_a_call_is_written_down_with_it_and_told(make: Make, store: Store) -> None:
    world = make({**FITS, "extracted": {"order": 7}}, known=agent(extract=ORDER))
    world.analyst.analyze(world.tell(*SAID))
    call = world.call
    assert call["summary"] == FITS["summary"]
    assert (call["verdict"], call["tags"]) == ("resolved", ["caller_satisfied"])
    assert call["extracted"] == {"order": 7}
    (request,) = world.pretend.requests
    assert request["model"] == "gpt-5.6-luna"
    assert "ja-JP" in request["messages"][0]["content"]
    assert "Where is order seven?" in request["messages"][1]["content"]
    assert CALL.from_number not in json.dumps(request)
    assert JobQueue(store).claim(["call.analyzed"], 60) is not None


def test_what_postgresql_cannot_hold_is_left_out_of_a_summary(make: Make) -> None:
    """The question would be asked, and paid for, again and again."""
    world = make(
        {**FITS, "summary": "Order\0 7.", "extracted": {"order": 7, "by": "\0"}}, known=agent(extract=ORDER)
    )
    world.analyst.analyze(world.tell(*SAID))
    assert world.call["summary"] == "Order 7."


def test_an_answer_that_does_not_fit_is_asked_for_once_more(make: Make) -> None:
    wrong = {**FITS, "extracted": {"order": "seven"}}
    world = make(wrong, {**FITS, "extracted": {"order": 7}}, known=agent(extract=ORDER))
    world.analyst.analyze(world.tell(*SAID))
    assert world.call["extracted"] == {"order": 7}
    again = world.pretend.requests[1]["messages"]
    assert again[-2] == {"role": "assistant", "content": json.dumps(wrong)}
    assert "'seven' is not of type 'integer'" in again[-1]["content"]


def test_the_analysis_is_a_part_of_the_cost_each_question_that_was_answered(make: Make) -> None:
    world = make("I would rather talk.", FITS)
    job = world.tell(*SAID)
    assert (world.call["cost"]["analysisUsd"], world.call["cost"]["totalUsd"]) == (0.0, 0.0)
    world.analyst.analyze(job)
    # Twice, per million: 44 × 0.20 + 256 × 0.02 + 100 × 0.25 + 60 × 1.20.
    assert world.call["cost"]["analysisUsd"] == pytest.approx(2 * 110.92e-6, abs=1e-6)
    assert world.call["cost"]["totalUsd"] == world.call["cost"]["analysisUsd"]
    spent = [text_usd(model, tokens) for model, tokens in world.asked]
    assert spent == [pytest.approx(110.92e-6)] * 2
    usage = world.call["usage"]
    assert (usage["analysisInputTokens"], usage["analysisOutputTokens"]) == (800, 120)
    assert usage["inputTextTokens"] == 0  # those of the talk


def test_a_refusal_is_given_up_and_paid_for(make: Make) -> None:
    world = make(Refusal())
    with pytest.raises(GiveUp, match="refused"):
        world.analyst.analyze(world.tell(*SAID))
    assert world.call["usage"]["analysisInputTokens"] == 400


def test_an_analysis_by_a_model_without_a_price_costs_an_unknown_amount(make: Make) -> None:
    world = make(FITS, known=agent(analysis="gpt-5.6-sol"))
    world.analyst.analyze(world.tell(*SAID))
    assert (world.call["cost"]["analysisUsd"], world.call["cost"]["totalUsd"]) == (None, None)
    assert world.call["cost"]["modelUsd"] == 0.0


def test_an_analysis_of_a_call_that_was_deleted_meanwhile_leaves_nothing(make: Make, store: Store) -> None:
    world = make(FITS)
    job = world.tell(*SAID)
    asked = world.analyst._text_model.ask

    def ask(*question: Any) -> Any:
        delete_calls(store, [CALL.call_sid])
        return asked(*question)

    world.analyst._text_model.ask = ask  # type: ignore[method-assign]
    world.analyst.analyze(job)
    with store.transaction() as session:
        assert session.scalars(select(UsageRow)).all() == []
        assert session.scalars(select(JobRow)).all() == []


def test_after_two_answers_that_do_not_fit_nothing_is_made_up(make: Make, store: Store) -> None:
    world = make("I would rather talk.")
    with pytest.raises(GiveUp, match="does not fit, twice"):
        world.analyst.analyze(world.tell(*SAID))
    assert len(world.pretend.requests) == 2
    assert world.call["summary"] is None
    assert jobs_waiting(store, ["call.analyzed"]) == 0


def test_a_call_in_which_nothing_was_said_is_not_asked_about(make: Make) -> None:
    world = make(FITS)
    world.analyst.analyze(world.tell(Began(), Ended(900, "caller.hung_up"), Closed(950)))
    assert world.pretend.requests == []
    assert world.call["summary"] is None


def test_an_agent_that_is_no_more_still_has_its_calls_read(make: Make) -> None:
    world = make(FITS)
    world.analyst.analyze(world.tell(*SAID))
    assert world.call["summary"] == FITS["summary"]
    assert world.call["extracted"] is None


def test_an_agent_may_name_its_own_model_or_none() -> None:
    settings = Settings(openai_api_key=KEY)
    agents = {
        "plain": agent(),
        "own": agent(analysis="gpt-6-sol"),
        "off": agent(analysis=False),  # as YAML reads a bare off
    }
    assert model_for(settings, agents, "plain") == "gpt-5.6-luna"
    assert model_for(settings, agents, "own") == "gpt-6-sol"
    assert model_for(settings, agents, "off") is None
    off = Settings(openai_api_key=KEY, analysis_model="off")
    assert model_for(off, agents, "plain") is None
    assert model_for(off, agents, "own") == "gpt-6-sol"


def test_without_a_key_nothing_is_analysed() -> None:
    assert model_for(Settings(), {"own": agent(analysis="gpt-6-sol")}, "own") is None
