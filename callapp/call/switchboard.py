"""Takes live calls off their streams, and brings them back.

What a call leaves for is decided by its conversation, in one process; the carrier asks any process how
to go on. So all that it takes to bring a call back, or to let it go, is written down before it leaves.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from callapp.agents import Agent, Agents
from callapp.call_log.away import CallsAway
from callapp.call_log.records import TERMINAL_STATUSES, Admission, AwayCall, end_reason_of
from callapp.call_log.store import Store
from callapp.conversation.away import RING_S, TRANSFERRED, Resumed
from callapp.conversation.commands import LeaveStream
from callapp.conversation.history import CALLER, Line
from callapp.conversation.wishes import SendDigits, Transfer, Trip
from callapp.errors import CallappError, CarrierError, CarrierTimeout
from callapp.logs import call_logger, mask_number
from callapp.telephony import twiml
from callapp.telephony.rest import Carrier

# From our TwiML to the stream that it opens.
_BACK_WITHIN_S = 120
# A dial rings, a colleague listens and decides: a call that is away for longer is not coming back.
_AWAY_S = 900
_IS_NUMBER = re.compile(r"\+[1-9]\d{6,14}").fullmatch
# Said to a colleague if the model has summed nothing up: the caller's last words.
_LAST_WORDS = 3
_RINGS_ON = "! the colleague's phone may still ring: %s"


@dataclass(frozen=True)
class Switchboard:
    """The calls that are away, and the carrier that has them. Safe from any thread."""

    agents: Agents
    store: Store
    away: CallsAway
    carrier: Carrier

    def way_back(self, call: AwayCall, origin: str) -> str:
        """TwiML that brings a caller back to us, with a token of their own.

        Raises:
            StoreUnavailable: no token could be issued.
        """
        return self.to_stream(call.admission, self.agents[call.admission.agent], origin)

    def to_stream(self, admission: Admission, agent: Agent, origin: str, keys: str | None = None) -> str:
        """TwiML that opens a stream to us, once keys have been sent to the other side, if any are given.

        Raises:
            StoreUnavailable: no token could be issued.
        """
        return twiml.connect_stream(
            stream_url=twiml.stream_url(origin),
            token=self.store.issue_token(admission, _BACK_WITHIN_S),
            agent=agent.name,
            parameters={},
            language=agent.language,
            keys=keys,
            closing=agent.line("closing", admission.parameters),
        )

    def bring_back(self, call_sid: str, why: str, origin: str, *, again: bool = False) -> None:
        """Bring a caller back from where they wait, unless it is decided otherwise. Blocks.

        Args:
            again: also one who should be on the way back already: the carrier may not have done it.

        Raises:
            CallappError: the carrier did not do it, or the database does not answer.
        """
        call = self.away.find(call_sid)
        if call is None or call.outcome is not None:
            return
        document = self.way_back(call, origin)  # before it is decided: without a token it can be tried again
        if self.away.send_back(call_sid, why) is not None or (again and call.why):
            call_logger(call_sid, __name__).info("= comes back: %s", call.why or why)
            self.carrier.redirect(call_sid, document)

    def stop_ringing(self, call_sid: str) -> None:
        """The caller is gone: a colleague who has not taken the call is not asked any more. Blocks.

        Raises:
            CallappError: their phone may still ring.
        """
        call = self.away.find(call_sid)
        if call is not None and call.colleague_sid is not None and call.outcome != TRANSFERRED:
            self.carrier.complete_call(call.colleague_sid)

    def taken_elsewhere(self, call_sid: str) -> None:
        """Somebody else has the caller now: a colleague is not asked any more, nor brings them back. Blocks.

        Raises:
            StoreUnavailable: nothing was decided.
        """
        call = self.away.find(call_sid)
        decided = self.away.overrule(call_sid, TRANSFERRED)  # first: the end of a colleague's call is heeded
        if decided and call is not None and call.colleague_sid is not None:
            try:
                self.carrier.complete_call(call.colleague_sid)
            except CarrierError as error:
                call_logger(call_sid, __name__).error(_RINGS_ON, error)

    def let_go(self, call_sid: str) -> None:
        """A call that was away is over here. Blocks; never raises.

        Unless it is known to be over, its row stays: it may only be very late.
        """
        try:
            self.stop_ringing(call_sid)
            call = self.away.find(call_sid)
            if call is not None and (call.room is not None or call.outcome is not None):
                self.away.take(call_sid)
        except CallappError as error:
            call_logger(call_sid, __name__).error(_RINGS_ON, error)


class Extension:
    """A call's own connection to the switchboard: what it can have done to itself.

    Args:
        origin: where Twilio reaches us, e.g. ``https://host``.
        before_ms: how long the call had lasted when it came here from another process.
    """

    def __init__(
        self, board: Switchboard, admission: Admission, agent: Agent, origin: str, before_ms: float
    ) -> None:
        self._board = board
        self._admission = admission
        self._agent = agent
        self._origin = origin
        self._before_ms = before_ms
        self._log = call_logger(admission.call_sid, __name__)
        self._noted = False  # that the call is away, in the database
        self._missed = False
        self._failing = False  # the database is away: that is told once

    def leave(self, command: LeaveStream, elapsed_ms: float) -> None:
        """Have the carrier take the call away. Blocks.

        Args:
            elapsed_ms: how long the call has lasted here.

        Raises:
            CallappError: it did not; the stream goes on.
        """
        trip = command.trip
        away = AwayCall(
            self._admission,
            _written(trip),
            [list(line) for line in command.said],
            elapsed_ms=round(self._before_ms + elapsed_ms),
            spent_usd=command.spent_usd,
            room=secrets.token_urlsafe(16) if isinstance(trip, Transfer) and trip.warm else None,
        )
        self._noted = self._missed = False
        self._board.away.add(away, _AWAY_S)
        self._noted = True
        try:
            self._board.carrier.redirect(self._admission.call_sid, self._way_out(trip, away))
        except CarrierTimeout as error:  # the call may have left all the same
            if away.room is None:
                raise  # and comes back of itself
            # Nobody was rung who could end the music.
            self._log.error("! the caller is brought back, if they have left: %s", error)
            self._board.bring_back(self._admission.call_sid, "it failed for a technical reason", self._origin)
            return
        except CallappError:
            self._board.away.take(self._admission.call_sid)
            raise
        if isinstance(trip, Transfer) and trip.warm:
            self._ring_colleague(trip)

    def note_said(self, said: Sequence[Line]) -> None:
        """Have what was said known wherever the call comes back, which has left. Blocks; never raises."""
        try:
            self._board.away.note_said(self._admission.call_sid, said)
        except CallappError as error:
            self._log.error("! what was said is not known to other processes: %s", error)

    def is_away(self) -> bool:
        """Whether no stream has brought the caller back. Blocks.

        Raises:
            StoreUnavailable: nobody knows.
        """
        return self._board.away.find(self._admission.call_sid) is not None

    def recall(self) -> None:
        """Bring the caller back from where they wait: nobody has decided anything. Blocks; never raises."""
        try:
            self._board.bring_back(self._admission.call_sid, "nobody took the call", self._origin, again=True)
        except CallappError as error:
            self._log.error("! the caller could not be brought back: %s", error)

    def whereabouts(self, *, last: bool = False) -> str | None:
        """Why the call does not come back here, an end reason; ``None`` as long as it may. Blocks.

        Args:
            last: nobody looks again: it ends here, whatever this says.
        """
        call_sid = self._admission.call_sid
        try:
            call = self._board.away.find(call_sid)
            status = self._board.store.find_status(call_sid) if call is not None else None
        except CallappError as error:
            if not self._failing:
                self._log.error("! where the call is cannot be looked up: %s", error)
            self._failing = True
            return None
        self._failing = False
        if call is not None:
            # The carrier may have told another process that the caller has hung up.
            return call.outcome or (end_reason_of(status) if status in TERMINAL_STATUSES else None)
        # Its stream is back. Unless it is on its way to us in this very moment, another process has it.
        missed, self._missed = self._missed or (last and self._noted), True
        return "server.moved" if missed else None

    def let_go(self) -> None:
        """The call is over. Blocks; never raises."""
        self._board.let_go(self._admission.call_sid)

    def _way_out(self, trip: Trip, away: AwayCall) -> str:
        agent, admission = self._agent, self._admission
        if isinstance(trip, SendDigits):
            self._log.info("= leaves the stream to send %d keys", len(trip.digits))
            return self._board.to_stream(admission, agent, self._origin, trip.digits)
        number = agent.transfer_to.get(trip.destination)
        if number is None:
            raise CallappError(f"the agent {agent.name} names no {trip.destination!r} in transfer_to")
        warm = "warm" if trip.warm else "cold"
        self._log.info("= leaves the stream for %s, %s: %s", trip.destination, warm, mask_number(number))
        if away.room is not None:
            return twiml.wait_in(away.room, action=self._url("/transfer/over"))
        return twiml.dial(
            number,
            caller_id=_shown_number(admission),
            action=self._url("/transfer/over"),
            answered=self._url("/transfer/answered"),
            ring_s=RING_S,
        )

    def _ring_colleague(self, trip: Transfer) -> None:
        """The caller hears music by now: whatever goes wrong brings them back."""
        call_sid = self._admission.call_sid
        try:
            placed = self._board.carrier.place_call(
                to=self._agent.transfer_to[trip.destination],
                from_=_our_number(self._admission),
                url=self._url("/transfer/colleague", call=call_sid),
                status_callback=self._url("/transfer/colleague-status", call=call_sid),
                ring_s=RING_S,
            )
            if not self._board.away.note_colleague(call_sid, placed.sid):
                self._board.carrier.complete_call(placed.sid)  # the caller has hung up meanwhile
        except CallappError as error:
            self._log.error("! the colleague could not be called: %s", error)
            self.recall()

    def _url(self, path: str, **query: str) -> str:
        return f"{self._origin}{path}" + (f"?{urlencode(query)}" if query else "")


def resumed(call: AwayCall) -> Resumed:
    """What a call brings along that comes back to a process that does not know it."""
    said = tuple(Line(str(role), str(text), bool(interrupted)) for role, text, interrupted in call.said)
    return Resumed(said, _read(call), call.why, call.spent_usd)


def summary_of(call: AwayCall) -> str:
    """What a colleague is told a call is about: the model's words, or else the caller's last ones."""
    trip = _read(call)
    if isinstance(trip, Transfer) and trip.summary:
        return trip.summary
    words = [str(text) for role, text, _ in call.said if role == CALLER]
    return " ".join(words[-_LAST_WORDS:])


def _written(trip: Trip) -> dict[str, object]:
    if isinstance(trip, SendDigits):
        return {"digits": trip.digits}
    return {"destination": trip.destination, "warm": trip.warm, "summary": trip.summary}


def _read(call: AwayCall) -> Trip:
    trip = call.trip
    return SendDigits(**trip) if "digits" in trip else Transfer(**trip)


def _our_number(admission: Admission) -> str:
    return admission.to_number if admission.direction == "incoming" else admission.from_number


def _shown_number(admission: Admission) -> str:
    """The caller's own, or ours: what a person who is rung may be shown. Withheld ones cannot be."""
    return admission.from_number if _IS_NUMBER(admission.from_number) else _our_number(admission)
