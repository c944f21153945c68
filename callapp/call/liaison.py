"""This process's dealings with the calls of the others: orders for them, and how loud they are.

A call lives in the process that holds its sockets, and whoever sits at the desk may have reached any. An
order is put up for all to read, and taken and answered by the one that has the call. How loud calls are is
put up once a second, while somebody watches in another process. A slot that is kept here for a call is given
back once another process has its stream, or has been told that it is over. One thread sees to all of it;
without calls, taken slots and anybody who watches it does not look at the database.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from enum import Enum
from threading import Event, Thread
from time import monotonic
from typing import Literal

from callapp.call.bridge import Bridge
from callapp.call.levels import UNWATCHED_S, Levels, Meters
from callapp.call.registry import LiveCall, Registry
from callapp.call_log.notices import Notice, Notices
from callapp.call_log.store import Store
from callapp.errors import CallappError
from callapp.logs import call_logger
from callapp.threads import leave

log = logging.getLogger(__name__)

LOOK_S = 1.0
# An order that nobody has taken by then is for a call that is over.
TAKEN_WITHIN_S = 3.5
# One that was taken is answered at once, unless its process has been killed just then.
ANSWERED_WITHIN_S = 2.0
ASK_S = 0.15
# That somebody watches is put up anew so often; it holds for three times as long.
RENEW_S = 5.0

Deed = Literal["whisper", "hang_up", "transfer"]
HUNG_UP = "server.hung_up"


class Answer(Enum):
    """What became of an order."""

    DONE = "done"
    REFUSED = "refused"  # the call is carried, and cannot have it done now
    NOBODY = "nobody"  # no process carries the call


class Liaison:
    """One process's. Safe from any thread."""

    def __init__(self, registry: Registry, store: Store, *, look_s: float = LOOK_S) -> None:
        self._registry = registry
        self._store = store
        self._notices = Notices(store)
        self._look_s = look_s
        self._me = secrets.token_hex(8)
        self._meters = Meters(registry.live_calls)
        self._watched_s = self._renewed_s = float("-inf")
        self._watched_elsewhere = False
        self._elsewhere: dict[str, Levels] = {}
        self._failing = False
        self._closed = Event()
        self._thread = Thread(target=self._run, name="liaison", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop it; a look at the database that is under way is not waited for."""
        self._closed.set()
        leave(self._thread)

    def order(self, call_sid: str, deed: Deed, words: str = "") -> Answer:
        """Have something done to a call, wherever it is carried.

        Waits for another process for up to `TAKEN_WITHIN_S`, and `ANSWERED_WITHIN_S` for its answer.

        Args:
            words: what is whispered, or to whom the caller is put through, a name in the agent's file.

        Raises:
            StoreUnavailable: the call is not here, and the database does not answer.
        """
        call = self._carried(call_sid)
        if call is not None:
            return _carry_out(call, call_sid, deed, words)
        key = f"order-{secrets.token_hex(8)}"
        self._notices.exchange([Notice(key, "order", {"callSid": call_sid, "deed": deed, "words": words})])
        answer = self._hear_answer(key, TAKEN_WITHIN_S)
        if answer is None and not self._notices.take_down(key):
            answer = self._hear_answer(key, ANSWERED_WITHIN_S)
        return answer or Answer.NOBODY

    def levels(self) -> Mapping[str, Levels]:
        """How loud the calls are, of all processes; whoever asks is somebody who watches."""
        self._watched_s = monotonic()
        return {**self._elsewhere, **self._meters.read()}

    def _hear_answer(self, order_key: str, within_s: float) -> Answer | None:
        key = _answer_to(order_key)
        give_up_s = monotonic() + within_s
        while monotonic() < give_up_s and not self._closed.wait(ASK_S):
            answer = self._notices.find(key)
            if answer is not None:
                self._notices.take_down(key)
                return Answer(answer.body["answer"])
        return None

    def _carried(self, call_sid: str) -> LiveCall | None:
        """The call, if this process carries it. One that has left its stream may be back in another."""
        call = self._registry.find(call_sid)
        return None if isinstance(call, Bridge) and call.is_coming_back() else call

    # -- the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._closed.wait(self._look_s):
            try:
                self._look()
            except CallappError as error:
                if not self._failing:
                    log.error("! the other processes cannot be reached: database: %s", error)
                self._failing = True
            except Exception:  # a bug with one look must not be the last one
                log.exception("! bug in the liaison")
            else:
                self._failing = False

    def _look(self) -> None:
        self._give_back_slots()
        self._meters.rest()
        now_s = monotonic()
        watching = now_s - self._watched_s < UNWATCHED_S
        live = self._registry.live_calls()
        if not live and not watching:
            self._watched_elsewhere, self._elsewhere = False, {}
            return
        mine = []
        if watching and now_s - self._renewed_s > RENEW_S:
            self._renewed_s = now_s
            mine.append(Notice(f"watching-{self._me}", "watching"))
        if live and self._watched_elsewhere:
            mine.append(Notice(f"levels-{self._me}", "levels", self._meters.read()))
        self._read(self._notices.exchange(mine))

    def _give_back_slots(self) -> None:
        awaited = self._registry.awaited
        for key in self._store.no_longer_awaited(awaited) if awaited else ():
            self._registry.give_back(key)

    def _read(self, notices: list[Notice]) -> None:
        others = [one for one in notices if not one.key.endswith(self._me)]
        self._watched_elsewhere = any(one.kind == "watching" for one in others)
        self._elsewhere = {
            call_sid: Levels(*levels)
            for one in others
            if one.kind == "levels"
            for call_sid, levels in one.body.items()
        }
        for one in others:
            if one.kind == "order":
                self._take(one)

    def _take(self, order: Notice) -> None:
        call_sid, deed, words = order.body["callSid"], order.body["deed"], order.body["words"]
        call = self._carried(call_sid)
        if call is not None and self._notices.take_down(order.key):
            answer = _carry_out(call, call_sid, deed, words)
            self._notices.exchange([Notice(_answer_to(order.key), "answer", {"answer": answer.value})])


def _answer_to(order_key: str) -> str:
    return f"answer-to-{order_key}"


def _carry_out(call: LiveCall, call_sid: str, deed: Deed, words: str) -> Answer:
    """Do it, if the call can have it done; an interpreter does nothing of its own accord."""
    match deed:
        case "hang_up":
            call.cut(HUNG_UP)
            done = True
        case "whisper":
            done = isinstance(call, Bridge) and call.whisper(words)
        case "transfer":
            done = isinstance(call, Bridge) and call.transfer(words)
    how = "as ordered" if done else "ordered in vain"
    call_logger(call_sid, __name__).info("> %s, %s from outside", deed, how)
    return Answer.DONE if done else Answer.REFUSED
