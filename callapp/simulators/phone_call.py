"""One call of the pretend Twilio, from ``queued`` to its last callback.

A call lives in the carrier's event loop. What people do to it (``speak``, ``press``, ``hang_up``,
``wait_for`` ...) is safe from any thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from callapp.simulators.callee import Callee
from callapp.simulators.clips import Clip
from callapp.simulators.phone_record import CallRecord, Exchange, Plan, Source
from callapp.simulators.phone_socket import PhoneSocket
from callapp.simulators.reporter import Reporter
from callapp.simulators.twiml_runner import Rejected, TwimlRunner


class Call(CallRecord):
    """A record that lives."""

    def __init__(self, exchange: Exchange, plan: Plan, callee: Callee) -> None:
        super().__init__(exchange, plan, callee)
        self._reporter = Reporter(self)
        self._recordings: list[tuple[str, str]] = []
        self._runner = TwimlRunner(self, self._reporter, self._answer, self._completed)
        self._source: Source | None = plan.source
        self._last_status = "completed"
        self._program: asyncio.Task[None] | None = None

    # From any thread

    def speak(self, clip: Clip) -> None:
        """Let the callee say something now, beside its script."""
        with self.changed:
            self.callee.say(clip)

    def press(self, digits: str) -> None:
        """Let the callee press keys now."""
        with self.changed:
            self.callee.press(digits)

    def hang_up(self) -> None:
        """Put the callee's phone down."""
        self.exchange.loop.call_soon_threadsafe(self._completed)

    def drop_stream(self) -> None:
        """Lose the stream's connection, without ``stop`` or a close frame; the call goes on."""
        self._with_socket(PhoneSocket.drop)

    def record(self, recording_sid: str, callback: str) -> None:
        """Tell there, once the call is over, that it was recorded."""
        self._recordings.append((recording_sid, callback))

    def stop_reading(self) -> None:
        """Let the stream's socket take no more from the application, until it is closed."""
        self._with_socket(PhoneSocket.stop_reading)

    def _with_socket(self, deed: Callable[[PhoneSocket], None]) -> None:
        self.exchange.loop.call_soon_threadsafe(lambda: deed(self._runner.sockets[-1]))

    # In the event loop

    def end(self, status: str) -> None:
        """End the call now; a stream gets its ``stop``."""
        self._interrupt(None, status)

    def redirect(self, source: Source) -> None:
        """Stop what runs (a stream gets its ``stop``) and go on with other TwiML."""
        self._interrupt(source, "completed")

    async def live(self) -> None:
        """Carry the call from its first ring to its last callback."""
        delivery = asyncio.create_task(self._reporter.deliver())
        status = "completed"
        try:
            status = await self._live()
        finally:
            if self._program is not None:
                self._program.cancel()  # still running only when the carrier closes
                await asyncio.wait({self._program})
            self._step(status)
            if (
                cut := self._runner.cut_dial
            ):  # hung up in the middle of a <Dial>: its action is asked all the same
                self._reporter.after(cut.url, cut.method, cut.fields)
            await self._runner.finish()
            for socket in self._runner.sockets:
                await socket.gone
            for recording_sid, callback in self._recordings:
                self._reporter.recorded(recording_sid, callback)
            self._reporter.finish()
            await delivery
            with self.changed:
                self.over = True
                self.changed.notify_all()

    async def _live(self) -> str:
        """Live until the end; return how it ended."""
        if self.plan.direction == "inbound":
            self._step("ringing")
        elif status := await self._ring():
            return status
        while self._source is not None:
            source, self._source = self._source, None
            self._runner.cut_dial = None
            self._program = asyncio.create_task(self._runner.run(source))
            await asyncio.wait({self._program})
            try:
                if not self._program.cancelled():
                    self._program.result()
            except Rejected as rejected:
                return rejected.status
        return self._last_status

    async def _ring(self) -> str:
        """Dial and ring; return how that ended, nothing when somebody picked up."""
        self._step("initiated")
        self._step("ringing")
        rings_s, outcome = self.callee.rings_ms / 1000, self.callee.picks_up
        if rings_s > self.plan.ring_timeout_s:
            rings_s, outcome = self.plan.ring_timeout_s, "no-answer"
        self._program = asyncio.create_task(asyncio.sleep(rings_s))
        await asyncio.wait({self._program})
        if self._source is None:
            return self._last_status
        if outcome != "yes":
            return outcome
        self._answer()
        return ""

    def _answer(self) -> None:
        if not self.answered:
            self._step("in-progress")

    def _completed(self) -> None:
        self.end("completed")

    def _step(self, status: str) -> None:
        # The resource of the REST API has no "initiated": it is queued until it rings.
        self.move_to("queued" if status == "initiated" else status)
        self._reporter.status(status)

    def _interrupt(self, source: Source | None, status: str) -> None:
        if not self.ended:
            self._source = source
            self._last_status = status
            if self._program is not None:
                self._program.cancel()
