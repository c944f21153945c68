"""Analyses calls that are over, one after another, and writes down with each what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import update

from callapp.agents import Agent
from callapp.analysis.question import Analysis, Question, Unfit
from callapp.analysis.text_model import TextModel
from callapp.call_log.follow_ups import ANALYZE, FollowUps
from callapp.call_log.jobs import Job, JobQueue
from callapp.call_log.models import CallRow
from callapp.call_log.reading import find_call
from callapp.call_log.statements import rows_changed
from callapp.call_log.store import Store
from callapp.call_log.usage import write_analysis_usage
from callapp.jobs.runner import GiveUp, Runner
from callapp.logs import call_logger
from callapp.prices import TextTokens
from callapp.settings import Settings

OFF = "off"
_LANGUAGE = "en-US"
_ASK_AGAIN = (
    "Your answer will not do. {fault} Answer again, with one JSON object of the schema and nothing else."
)


def model_for(settings: Settings, agents: Mapping[str, Agent], agent: str) -> str | None:
    """The text model that is asked about calls of an agent; ``None`` if none is."""
    known = agents.get(agent)
    model = (known.analysis if known is not None else None) or settings.analysis_model
    return None if settings.openai_api_key is None or model == OFF else model


class Analyst:
    """Asks a text model about calls. Its runner's thread alone does the work.

    Args:
        on_outcome: as the runner's.
        on_tokens: told the text model, and what an answer of it took, if the service says so.
    """

    def __init__(
        self,
        settings: Settings,
        agents: Mapping[str, Agent],
        store: Store,
        follow_ups: FollowUps,
        on_outcome: Callable[[str, str], None],
        on_tokens: Callable[[str, TextTokens], None],
    ) -> None:
        key = settings.openai_api_key
        self._settings = settings
        self._agents = agents
        self._store = store
        self._follow_ups = follow_ups
        self._on_tokens = on_tokens
        self._text_model = TextModel(settings.openai_rest_url, key.get_secret_value() if key else "")
        self.runner = Runner("analysis", JobQueue(store), [ANALYZE], self.analyze, on_outcome)

    def close(self, within_s: float) -> None:
        """Ask no more; a question that is under way is asked again by another process, or later."""
        self.runner.close(within_s)
        self._text_model.close()

    def analyze(self, job: Job) -> None:
        """Ask about one call, and write the answer down.

        Raises:
            TryLater: the text model cannot be asked at present.
            GiveUp: it will not answer, or not as asked; or the call was deleted.
        """
        call = find_call(self._store, job.call_sid)
        if call is None:
            raise GiveUp("the call is no longer in the log")
        agent = self._agents.get(call.agent)
        model = model_for(self._settings, self._agents, call.agent)
        question = Question(
            call=call.as_json(),
            language=agent.language if agent is not None else _LANGUAGE,
            extract=agent.extract if agent is not None else None,
        )
        if model is None or not question.worth_asking:
            return
        self._keep(job.call_sid, self._ask(job.call_sid, model, question))

    def _ask(self, call_sid: str, model: str, question: Question) -> Analysis:
        messages = question.messages()
        answer = self._answer(call_sid, model, question, messages)
        try:
            return question.read(answer)
        except Unfit as fault:
            messages += [
                {"role": "assistant", "content": answer},
                {"role": "user", "content": _ASK_AGAIN.format(fault=fault)},
            ]
        try:
            return question.read(self._answer(call_sid, model, question, messages))
        except Unfit as fault:
            raise GiveUp(f"the text model's answer does not fit, twice: {fault}") from fault

    def _answer(
        self, call_sid: str, model: str, question: Question, messages: Sequence[Mapping[str, str]]
    ) -> str:
        """Ask once. It is a part of what the call costs, whatever the answer is worth."""
        answered = self._text_model.ask(model, messages, question.schema())
        if answered.tokens is not None:
            self._on_tokens(model, answered.tokens)
        with self._store.transaction() as session:
            write_analysis_usage(session, call_sid, model, answered.tokens)
        if answered.text is None:
            raise GiveUp("the text model refused to answer")
        return answered.text

    def _keep(self, call_sid: str, analysis: Analysis) -> None:
        with self._store.transaction() as session:
            keep = update(CallRow).where(CallRow.call_sid == call_sid).values(**vars(analysis))
            if not rows_changed(session, keep):
                return  # it was deleted meanwhile
            self._follow_ups.analyzed(session, call_sid)
        self._follow_ups.nudge()
        call_logger(call_sid, __name__).info("= analysed: %s", analysis.verdict)
