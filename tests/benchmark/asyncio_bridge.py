"""The comparison: the same work as callapp's bridge, written as it usually is, FastAPI and ``websockets``.

One task reads the phone, one the model; each message is JSON, read and written. It keeps what a bridge needs
to interrupt well: what was sent of the item that plays, a mark a second and their echoes, the clock. The
webhook answers with TwiML. Signatures and tokens, tools other than ``end_call``, deadlines and the rest of
what callapp takes care of are left out, which is in favour of this one.

Run by ``uvicorn`` with ``MODEL_URL`` and ``TWILIO_API_URL`` in the environment.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import time
import urllib.parse
import urllib.request
from typing import Any

from fastapi import FastAPI, Request, Response, WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

MODEL_URL = os.environ["MODEL_URL"]
TWILIO_API_URL = os.environ["TWILIO_API_URL"]
MARK_BYTES = 8000

log = logging.getLogger("uvicorn.error")
app = FastAPI()


@app.post("/incoming-call")
async def incoming_call(request: Request) -> Response:
    await request.body()
    url = f"ws://{request.headers['host']}/ws"
    twiml = f'<Response><Connect><Stream url="{url}"/></Connect><Hangup/></Response>'
    return Response(twiml, media_type="text/xml")


@app.websocket("/ws")
async def stream(phone: WebSocket) -> None:
    await phone.accept()
    async with connect(MODEL_URL, compression=None, max_size=None) as model:
        bridge = Bridge(phone, model)
        tasks = [asyncio.create_task(bridge.hear()), asyncio.create_task(bridge.speak())]
        _, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception) and not isinstance(
                outcome, (WebSocketDisconnect, ConnectionClosed, RuntimeError)
            ):
                log.error("call failed: %r", outcome)


class Bridge:
    def __init__(self, phone: WebSocket, model: ClientConnection) -> None:
        self.phone = phone
        self.model = model
        self.call_sid = self.stream_sid = ""
        self.ready = asyncio.Event()
        self.response_id: str | None = None
        self.silenced: set[str] = set()
        self.item_id = ""
        self.item_start = 0  # in bytes of all audio sent
        self.sent = 0
        self.marked = 0
        self.marks: dict[str, int] = {}
        self.played = 0
        self.dry_at = 0.0
        self.leaving = False

    async def hear(self) -> None:
        while True:
            message = json.loads(await self.phone.receive_text())
            match message["event"]:
                case "media":
                    await self.ready.wait()
                    payload = message["media"]["payload"]
                    await self.tell({"type": "input_audio_buffer.append", "audio": payload})
                case "mark":
                    self.played = max(self.played, self.marks.pop(message["mark"]["name"], 0))
                    await self.leave_if_heard()
                case "start":
                    self.call_sid = message["start"]["callSid"]
                    self.stream_sid = message["streamSid"]
                    log.info("%s stream started", self.call_sid)
                case "stop":
                    log.info("%s stopped", self.call_sid)
                    return

    async def speak(self) -> None:
        async for text in self.model:
            event = json.loads(text)
            match event["type"]:
                case "response.output_audio.delta":
                    if event["response_id"] not in self.silenced:
                        await self.play(event["item_id"], event["delta"])
                case "session.created":
                    await self.tell({"type": "session.update", "session": SESSION})
                case "session.updated":
                    await self.tell({"type": "response.create"})
                    self.ready.set()
                case "response.created":
                    self.response_id = event["response"]["id"]
                case "response.done":
                    self.response_id = None
                    output = event["response"]["output"]
                    self.leaving = any(item["type"] == "function_call" for item in output)
                    await self.leave_if_heard()
                case "response.output_audio.done":
                    await self.mark()
                case "response.output_audio_transcript.done":
                    log.debug("%s said %s", self.call_sid, event["transcript"])
                case "input_audio_buffer.speech_started":
                    await self.interrupt()

    async def play(self, item_id: str, payload: str) -> None:
        now = time.monotonic()
        if item_id != self.item_id:
            self.item_id, self.item_start = item_id, self.sent
        size = len(base64.b64decode(payload))
        self.sent += size
        self.dry_at = max(now, self.dry_at) + size / 8000
        await self.say({"event": "media", "media": {"payload": payload}})
        if self.sent - self.marked >= MARK_BYTES:
            await self.mark()

    async def mark(self) -> None:
        if self.marked < self.sent:
            self.marked = self.sent
            name = f"mark-{self.sent}"
            self.marks[name] = self.sent
            await self.say({"event": "mark", "mark": {"name": name}})

    async def interrupt(self) -> None:
        unheard = max(0.0, self.dry_at - time.monotonic())
        if unheard:
            await self.say({"event": "clear"})
        if self.response_id is not None:
            self.silenced.add(self.response_id)
            await self.tell({"type": "response.cancel"})
        if unheard:
            heard = max(self.played, self.sent - int(unheard * 8000)) - self.item_start
            truncate = {"type": "conversation.item.truncate", "item_id": self.item_id}
            await self.tell({**truncate, "content_index": 0, "audio_end_ms": max(1, heard // 8)})
        self.played = self.marked = self.sent
        self.marks.clear()
        self.dry_at = 0.0

    async def leave_if_heard(self) -> None:
        if self.leaving and self.played >= self.sent:
            self.leaving = False
            await asyncio.to_thread(complete, self.call_sid)

    async def say(self, message: dict[str, Any]) -> None:
        await self.phone.send_text(json.dumps({**message, "streamSid": self.stream_sid}))

    async def tell(self, event: dict[str, Any]) -> None:
        await self.model.send(json.dumps(event))


SESSION = {
    "type": "realtime",
    "audio": {
        "input": {
            "format": {"type": "audio/pcmu"},
            "turn_detection": {"type": "server_vad", "interrupt_response": False},
        },
        "output": {"format": {"type": "audio/pcmu"}},
    },
}


def complete(call_sid: str) -> None:
    body = urllib.parse.urlencode({"Status": "completed"}).encode()
    urllib.request.urlopen(f"{TWILIO_API_URL}/2010-04-01/Accounts/AC/Calls/{call_sid}.json", body).close()
