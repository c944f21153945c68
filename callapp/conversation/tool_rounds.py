"""Rounds of tools: run, answered together, and then the model is asked to go on.

A batch is settled when its response is over and all its calls are answered. ``end_call`` is answered
only then, for its answer depends on whether the response has said goodbye.
"""

from __future__ import annotations

from callapp.conversation.briefing import Briefing
from callapp.conversation.commands import AnswerTool, Command, RunTool, Warn
from callapp.conversation.events import ToolCalled
from callapp.conversation.farewell import ASK_FOR_GOODBYE, ENDING, GOODBYE_REQUEST, NOT_ENDED, Farewell
from callapp.conversation.history import History
from callapp.conversation.responses import ANSWER, Request
from callapp.conversation.tool_calls import TOOL_MS, ToolCalls
from callapp.conversation.voice import Voice

CUT_SHORT = '{"error": "Not run: you were cut off before this call was complete."}'
TOO_MANY_ROUNDS = (
    '{"error": "Not run: too many tool calls in a row. Call no more tools now. Tell the caller what you '
    'know, and ask how to go on."}'
)
TOO_SLOW = '{"error": "The tool took too long. Tell the caller, and offer another way."}'


class ToolRounds:
    """Which tools are to be run, what the model is answered, and what follows from it."""

    def __init__(
        self, calls: ToolCalls, voice: Voice, history: History, farewell: Farewell, briefing: Briefing
    ) -> None:
        self._calls = calls
        self._voice = voice
        self._history = history
        self._farewell = farewell
        self._briefing = briefing
        self._ended: set[str] = set()  # responses that are over
        self._end_asked: dict[str, str] = {}  # tool calls that ask for the end, and their response
        self._remote_answer_due = False  # the service ran a tool, and nothing was said since
        # Those that it runs, by their items: the response that each is a part of.
        self._remote_calls: dict[str, str | None] = {}
        self._remote_since_ms: dict[str, float] = {}  # since when it runs those that are part of none
        self._unaware: str | None = None  # a response that had begun before the tool was done

    @property
    def remote_answer_owed(self) -> bool:
        """Whether the caller waits for what a tool brings that the service runs, or has run."""
        return self._remote_answer_due or bool(self._remote_calls)

    @property
    def pending(self) -> bool:
        """Whether the model waits for a tool of ours."""
        return self._calls.pending

    @property
    def running_since_ms(self) -> float:
        """Since when a tool has been at work that the caller waits for, while no response is active."""
        return min([self._calls.running_since_ms, *self._remote_since_ms.values()])

    @property
    def deadline_ms(self) -> float:
        """When the next tool has taken too long."""
        remote = [since_ms + TOOL_MS for since_ms in self._remote_since_ms.values()]
        return min([self._calls.deadline_ms, *remote])

    def called(self, call: ToolCalled, at_ms: float) -> list[Command]:
        """The model calls a tool: run it, once, unless there is a reason not to."""
        if not self._calls.open(call.tool_call_id, call.name, call.response_id, at_ms):
            return []
        if not call.complete:
            return self.answer(call.tool_call_id, CUT_SHORT, at_ms)
        if self._calls.looping:
            warning = Warn(f"tool loop cut: {call.name} was not run")
            return [warning, *self.answer(call.tool_call_id, TOO_MANY_ROUNDS, at_ms)]
        return [RunTool(call.tool_call_id, call.name, call.arguments)]

    def answer(
        self, tool_call_id: str, output: str, at_ms: float, *, silent: bool = False, sensitive: bool = False
    ) -> list[Command]:
        """Give a call its one output. One that is ``silent`` gives the model nothing to speak about."""
        call = self._calls.answer(tool_call_id, silent=silent)
        if call is None:
            return self._briefing.adopt(tool_call_id, output, sensitive, self.request())
        if not sensitive:
            self._history.note(f"The tool {call.name} was called. It returned: {output}")
        return [AnswerTool(tool_call_id, output, sensitive), *self._settle(call.response_id, at_ms)]

    def give_up(self, at_ms: float) -> list[Command]:
        """Answer the calls whose tools took too long; of the service's, the model has to say what it can."""
        commands = [c for call in self._calls.expired(at_ms) for c in self.answer(call, TOO_SLOW, at_ms)]
        late = [one for one, since_ms in self._remote_since_ms.items() if at_ms >= since_ms + TOOL_MS]
        return commands + [c for item_id in late for c in self.remote_tool_returned(item_id, at_ms)]

    def end_asked(self, tool_call_id: str, response_id: str, at_ms: float) -> list[Command]:
        """The model calls for the end of the call; answered once its response is over."""
        self._end_asked[tool_call_id] = response_id
        return self._settle(response_id, at_ms)

    def remote_tool_called(self, item_id: str, *, approved: bool, at_ms: float) -> None:
        """The service begins to run a tool by itself, in the active response or after one that is over."""
        responses = self._voice.responses
        self._remote_calls[item_id] = None if approved else responses.active
        if self._remote_calls[item_id] is None:
            self._remote_since_ms[item_id] = at_ms
        if not approved:
            responses.stirred(at_ms + TOOL_MS)  # until then it has nothing else to bring

    def remote_tool_returned(self, item_id: str | None, at_ms: float) -> list[Command]:
        """The service ran a tool by itself: unless its response goes on to speak, ask for another one."""
        responses = self._voice.responses
        active = responses.active
        # One that had to be approved comes back when its response is over, and is no part of another.
        self._calls.count_round(active or f"after {len(self._ended)} responses")
        caller = None
        if item_id is not None:
            caller = self._remote_calls.pop(item_id, None)
            self._remote_since_ms.pop(item_id, None)
        self._remote_answer_due = True
        if active != caller:
            self._unaware = active
        if active is not None and active in self._remote_calls.values():
            responses.stirred(at_ms + TOOL_MS)  # another one is at work in it
        return self._ask_after_remote_tools() if active is None else []

    def message_started(self, response_id: str) -> None:
        """A response goes on to speak: of what the service's tool has brought, if it can know it."""
        if self._voice.responses.silenced(response_id):
            return
        if response_id != self._unaware:
            self._remote_answer_due = False

    def will_ask(self, response_id: str) -> bool:
        """Whether tools that a response called, or the service ran, are followed by a request once done."""
        called = self._remote_answer_due or self._calls.made_by(response_id)
        return called and not self._farewell.begun

    def response_ended(self, response_id: str, at_ms: float) -> list[Command]:
        """A response is over, and all its calls are known."""
        self._ended.add(response_id)
        self._remote_calls = {i: r for i, r in self._remote_calls.items() if r != response_id}
        return self._settle(response_id, at_ms) + self._ask_after_remote_tools()

    def session_lost(self) -> list[tuple[str, str]]:
        """Let go of all calls: their session is gone. Return those still open, with their names."""
        for tool_call_id in self._end_asked:
            self._calls.answer(tool_call_id)  # nobody waits for it: the next session may call it again
        self._end_asked.clear()
        self._remote_answer_due = False
        self._remote_calls.clear()
        self._remote_since_ms.clear()
        return self._calls.abandon()

    def _ask_after_remote_tools(self) -> list[Command]:
        if not self._remote_answer_due or self._farewell.begun:
            return []
        self._remote_answer_due = False
        self._voice.responses.want(self.request())
        return [Warn("tool loop cut: the next answer has to do without")] if self._calls.looping else []

    def request(self) -> Request:
        """An answer; if the model has used up its rounds, one that has to do without tools."""
        return Request(ANSWER, tools_allowed=not self._calls.looping)

    def _settle(self, response_id: str, at_ms: float) -> list[Command]:
        """Once a response is over, answer its ``end_call``; once its tools are done, go on."""
        if response_id not in self._ended:
            return []
        commands: list[Command] = []
        for tool_call_id in [t for t, r in self._end_asked.items() if r == response_id]:
            del self._end_asked[tool_call_id]
            if self._calls.answer(tool_call_id) is None:
                continue  # the response took so long to end that the tool was given up
            commands.append(AnswerTool(tool_call_id, self._say_goodbye(response_id, at_ms)))
        if self._calls.batch_done(response_id) and not self._farewell.begun:
            self._voice.responses.want(self.request())
        return commands

    def _say_goodbye(self, response_id: str, at_ms: float) -> str:
        """Begin the farewell that the model asked for; return what to tell it."""
        responses = self._voice.responses
        if responses.silenced(response_id) or responses.caller_speaking:
            return NOT_ENDED
        self._farewell.begin("agent.ended", at_ms)
        if self._voice.has_spoken(response_id):
            return ENDING  # it said goodbye with the words that came with the call
        responses.want(GOODBYE_REQUEST)
        return ASK_FOR_GOODBYE
