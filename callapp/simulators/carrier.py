"""The pretend Twilio as a whole: its REST API, its calls, and the threads they run in.

Threads: ``carrier-loop`` runs every call, every stream and all their clocks; ``carrier-rest``
accepts API requests, each served in a thread of its own; ``carrier-http_*`` wait for the
application's answers to webhooks. None of them grows with the number of calls on the line.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Condition, Thread
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlsplit

from callapp.simulators.callee import Callee
from callapp.simulators.carrier_account import Account, OwnNumber
from callapp.simulators.carrier_api import Refusal
from callapp.simulators.carrier_rest import Breakage, RestApi, RestRequest
from callapp.simulators.phone_call import Call
from callapp.simulators.phone_record import (
    Address,
    CallRecord,
    Exchange,
    Plan,
    Source,
    StatusCallback,
    new_sid,
)

_Result = TypeVar("_Result")
_WEBHOOKS_AT_ONCE = 32
_LOOP_S = 15


class Carrier:
    """A telephone company on loopback, with one customer.

    Args:
        account_sid: the customer's; made up when not given.
        auth_token: the customer's; signs webhooks and streams, too. Made up when not given.
        account_kind: ``Full`` or ``Trial``, as the API shows it.
        account_status: ``active``, ``suspended`` or ``closed``, as the API shows it.
        numbers: the customer's; with any, calls can be placed from these only.
        port: of the REST API; 0 for a free one. It is then found in ``url``.
        say_ms_per_char: how long a ``<Say>`` takes; 0 for no time at all.
        latency_ms: delay of the streams' network, each way.
        reversed_keys: write the streams' messages with their keys in another order.
        price_after_s: how long after its end a call is priced.
        tears_down: end a stream at its first violation of the protocol.
        on_note: told of all that happens: the call, a short name, a detail to show. Called in the
            loop's thread, so it may not wait.

    Use it in a ``with`` block; ``close`` ends every call and leaves no thread and no socket.
    """

    def __init__(
        self,
        *,
        account_sid: str | None = None,
        auth_token: str | None = None,
        account_kind: str = "Full",
        account_status: str = "active",
        numbers: Sequence[OwnNumber] = (),
        port: int = 0,
        say_ms_per_char: float = 80,
        latency_ms: float = 0,
        reversed_keys: bool = False,
        tears_down: bool = False,
        price_after_s: float = 2,
        on_note: Callable[[CallRecord, str, str], None] | None = None,
    ) -> None:
        self.account_sid = account_sid or new_sid("AC")
        self.auth_token = auth_token or secrets.token_hex(16)
        self.price_after_s = price_after_s
        self.account = Account(self.account_sid, account_kind, account_status, numbers)
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="carrier-loop", daemon=True)
        self._pool = ThreadPoolExecutor(_WEBHOOKS_AT_ONCE, thread_name_prefix="carrier-http")
        self._exchange = Exchange(
            account_sid=self.account_sid,
            auth_token=self.auth_token,
            loop=self._loop,
            threads=self._pool,
            say_ms_per_char=say_ms_per_char,
            latency_ms=latency_ms,
            reversed_keys=reversed_keys,
            tears_down=tears_down,
            on_note=on_note,
            ring=self._ring,
            rooms={},
            routes={},
        )
        self._calls: list[Call] = []
        self._lives: list[asyncio.Task[None]] = []
        self._callees: deque[Callee] = deque()
        self._phones: dict[str, deque[Callee]] = {}
        self._new_call = Condition()  # guards the three above it
        self._seen = 0
        self._closed = False
        self._thread.start()
        self._rest = RestApi(self, port)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Origin of the REST API, for ``TWILIO_API_URL``."""
        return self._rest.url

    @property
    def requests(self) -> list[RestRequest]:
        """All requests the REST API has answered or left without an answer."""
        return self._rest.requests

    @property
    def calls(self) -> list[Call]:
        """All calls there were, the first first."""
        with self._new_call:
            return list(self._calls)

    # People

    def next_callee(self, callee: Callee) -> None:
        """Let this person have the next outgoing call that has nobody yet.

        Without one a call is picked up at once by somebody who never says a word.
        """
        with self._new_call:
            self._callees.append(callee)

    def phone_at(self, number: str, *callees: Callee) -> None:
        """Let these people have the next calls to a number, one each, whoever dials it."""
        with self._new_call:
            self._phones.setdefault(number, deque()).extend(callees)

    def reroute(self, origin: str, to: str) -> None:
        """Reach the application elsewhere from now on, as a load balancer does: URLs stay as they are.

        Args:
            origin: as it stands in the URLs, e.g. ``http://127.0.0.1:3000``; ``to`` likewise.
        """
        self._exchange.routes[urlsplit(origin).netloc] = urlsplit(to).netloc

    def incoming_call(
        self,
        url: str,
        *,
        callee: Callee | None = None,
        from_number: str = "+819012345678",
        to_number: str = "+15005550006",
        method: str = "POST",
        status_callback: str | None = None,
    ) -> Call:
        """Let somebody call the number whose voice webhook is ``url``.

        The caller follows a script as a callee does. ``status_callback`` is the number's own, told
        of the call's end.
        """
        callback = StatusCallback(status_callback) if status_callback else None
        plan = Plan("inbound", from_number, to_number, Address(url, method), callback)
        return self._on_loop(lambda: self._begin(plan, callee or Callee()))

    def lag_s(self) -> float:
        """How long it is until the phones turn to what is asked of them now. Too many of them are late."""
        asked_s = time.monotonic()
        return self._on_loop(time.monotonic) - asked_s

    def wait_for_call(self, timeout: float) -> Call:
        """Return the next call, in or out, that this method has not returned yet.

        Raises:
            TimeoutError: there was none.
        """
        with self._new_call:
            if not self._new_call.wait_for(lambda: len(self._calls) > self._seen, timeout):
                raise TimeoutError(f"no call within {timeout} s")
            self._seen += 1
            return self._calls[self._seen - 1]

    # Faults on demand

    def fail_next(
        self,
        code: int,
        status: int = 400,
        message: str = "Refused on demand",
        after: int = 0,
        method: str = "",
    ) -> None:
        """Refuse the next request to the REST API with this error, after so many that go well.

        With a method, only requests of that method count.
        """
        self._rest.fail_next(Refusal(status, code, message), after, method)

    def break_next(self, how: Breakage, method: str = "") -> None:
        """Let the next request to the REST API, or the next of that method, go wrong.

        ``"hang"`` never answers, ``"nonsense"`` answers something that is not JSON, ``"drop"``
        closes the connection. None of them is carried out.
        """
        self._rest.fail_next(how, method=method)

    # For the REST API

    def dial(self, plan: Plan) -> Call:
        """Begin an outgoing call."""
        return self._on_loop(lambda: self._ring(plan))

    def find_call(self, sid: str) -> Call | None:
        """Return the call of that SID."""
        return next((call for call in self.calls if call.sid == sid), None)

    def end_call(self, call: Call, status: str) -> None:
        """End a live call."""
        self._on_loop(lambda: call.end(status))

    def redirect_call(self, call: Call, source: Source) -> None:
        """Let a live call go on with other TwiML."""
        self._on_loop(lambda: call.redirect(source))

    def close(self) -> None:
        """End every call, close the API. Raises what went wrong inside a call, if anything did."""
        if self._closed:
            return
        self._closed = True
        self._rest.close()
        ending = asyncio.run_coroutine_threadsafe(self._end_all(), self._loop)
        try:
            ending.result()
        finally:
            self._pool.shutdown()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    # In the event loop

    def _ring(self, plan: Plan) -> Call:
        return self._begin(plan, self._callee_of(plan.to_number))

    def _callee_of(self, number: str) -> Callee:
        """Who picks up there: somebody who waits for it, or anybody."""
        with self._new_call:
            phone = self._phones.get(number)
            if phone:
                return phone.popleft()
            if self._callees and phone is None:
                return self._callees.popleft()
        return Callee(rings_ms=0)

    def _begin(self, plan: Plan, callee: Callee) -> Call:
        call = Call(self._exchange, plan, callee)
        self._lives.append(self._loop.create_task(call.live(), name=call.sid))
        with self._new_call:
            self._calls.append(call)
            self._new_call.notify_all()
        return call

    async def _end_all(self) -> None:
        for life in self._lives:
            life.cancel()
        endings = await asyncio.gather(*self._lives, return_exceptions=True)
        for ending in endings:
            if isinstance(ending, Exception):
                raise ending

    def _on_loop(self, deed: Callable[[], _Result]) -> _Result:
        """Do something in the loop's thread and return what it returns."""

        async def do() -> _Result:
            return deed()

        return asyncio.run_coroutine_threadsafe(do(), self._loop).result(_LOOP_S)
