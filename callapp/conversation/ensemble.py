"""What a conversation is made of: small machines, and who is given whom.

What is true of a call is kept by them: how far it has come, what was sent and heard, which response is
active, which tool calls are open, whether a goodbye is under way. Where what happens concerns several of
them, another one draws the consequences: `Floor` when somebody speaks, `Answering` when the model does,
`Keypad`, `ToolRounds`, `Granting` for what tools want, `Trips`, `Outage` while the model is not there,
`WindingUp` at the end.
"""

from __future__ import annotations

from callapp.conversation.answering import Answering
from callapp.conversation.asides import Asides
from callapp.conversation.away import Away
from callapp.conversation.briefing import Briefing
from callapp.conversation.budget import Budget
from callapp.conversation.chronicle import Chronicle
from callapp.conversation.course import Course
from callapp.conversation.farewell import Farewell
from callapp.conversation.floor import Floor
from callapp.conversation.granting import Granting
from callapp.conversation.history import History
from callapp.conversation.keypad import Keypad
from callapp.conversation.keys import Keys
from callapp.conversation.lifeline import Lifeline
from callapp.conversation.noise import Noise
from callapp.conversation.outage import Outage
from callapp.conversation.plan import Plan
from callapp.conversation.playback import Playback
from callapp.conversation.repetition import Repetition
from callapp.conversation.tool_calls import ToolCalls
from callapp.conversation.tool_rounds import ToolRounds
from callapp.conversation.trips import Trips
from callapp.conversation.voice import Voice
from callapp.conversation.voicemail import Voicemail
from callapp.conversation.winding_up import WindingUp


class Ensemble:
    """The machines of one call."""

    __slots__ = (
        "answering",
        "asides",
        "away",
        "briefing",
        "budget",
        "chronicle",
        "course",
        "farewell",
        "floor",
        "granting",
        "history",
        "keypad",
        "keys",
        "lifeline",
        "noise",
        "outage",
        "plan",
        "playback",
        "repetition",
        "tool_calls",
        "tool_rounds",
        "trips",
        "voice",
        "voicemail",
        "winding_up",
    )

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.course = Course()
        self.playback = Playback()
        self.history = History()
        self.chronicle = Chronicle(self.playback, self.history, plan.ears, transcribed=plan.transcribed)
        self.voice = Voice(self.playback, self.history, self.chronicle.turns)
        self.tool_calls = ToolCalls()
        self.farewell = Farewell()
        self.lifeline = Lifeline(plan.session_ms)
        self.briefing = Briefing(self.history, self.voice, self.farewell, self.lifeline, plan.resumed)
        self.tool_rounds = ToolRounds(self.tool_calls, self.voice, self.history, self.farewell, self.briefing)
        self.away = Away()
        spent_usd = 0.0 if plan.resumed is None else plan.resumed.spent_usd
        self.budget = Budget(plan.most_usd, plan.usd_of, spent_usd)
        self.trips = Trips(
            self.course,
            self.away,
            self.playback,
            self.history,
            self.voice,
            self.tool_rounds,
            self.briefing,
            self.farewell,
            self.budget,
            plan.keys_as_sound,
        )
        self.keys = Keys()
        self.noise = Noise(plan.manners.shortest_speech_ms, plan.manners.most_interruptions)
        self.asides = Asides(plan.manners, plan.most_ms)
        self.repetition = Repetition()
        self.voicemail = Voicemail(detecting=plan.detects_machines)
        self.floor = Floor(
            self.playback,
            self.voice,
            self.chronicle.turns,
            self.tool_calls,
            self.farewell,
            self.away,
            self.trips,
            self.noise,
            self.asides,
            self.voicemail,
        )
        self.keypad = Keypad(
            self.keys,
            self.playback,
            self.history,
            self.chronicle,
            self.tool_calls,
            self.tool_rounds,
            self.briefing,
            self.floor,
        )
        self.winding_up = WindingUp(
            self.course,
            self.lifeline,
            self.voice,
            self.farewell,
            self.away,
            self.trips,
            self.voicemail,
            self.briefing,
            plan.message,
        )
        self.outage = Outage(
            self.course,
            self.lifeline,
            self.playback,
            self.voice,
            self.briefing,
            self.tool_rounds,
            self.farewell,
            self.away,
            self.noise,
            self.voicemail,
            plan.hold_line,
        )
        self.answering = Answering(
            self.outage,
            self.lifeline,
            self.voice,
            self.briefing,
            self.tool_calls,
            self.tool_rounds,
            self.asides,
            self.floor,
        )
        self.granting = Granting(
            self.tool_calls,
            self.tool_rounds,
            self.asides,
            self.keypad,
            self.away,
            self.trips,
            self.voicemail,
            self.winding_up,
        )
