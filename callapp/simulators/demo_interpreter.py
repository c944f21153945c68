"""The interpreter's demo: two phones, Japanese on one and English on the other, and what each side heard.

What is told comes from the wires: the texts are those of the translation sessions, the sound is what
the phones played, and where in it a recording stands is found by ear.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from callapp.simulators.callee import Callee
from callapp.simulators.carrier import Carrier
from callapp.simulators.clips import Clip, clip
from callapp.simulators.demo_cost import transcription_usd
from callapp.simulators.demo_report import (
    cost_figure,
    faults_of_phone,
    faults_of_server,
    shown_path,
    write_recording,
)
from callapp.simulators.demo_screen import Screen, print_figures, print_heading, print_verdict
from callapp.simulators.demo_server import MODEL_KEY, Server, ServerFailed, pretended
from callapp.simulators.demo_watch import Line
from callapp.simulators.model import PretendModel
from callapp.simulators.model_ear import recognise
from callapp.simulators.model_translation import Translating, TranslationSession
from callapp.simulators.phone_call import Call
from callapp.simulators.phone_record import CallRecord
from callapp.simulators.speech import Speech
from callapp.simulators.ulaw import BYTES_PER_MS, to_ulaw

_NUMBERS = ("+819012345678", "+442079460000")
_NAMES = ("Tokyo", "London")
_LANGUAGES = ("ja", "en")
_TRANSLATOR = "gpt-realtime-translate"
_PAUSE_S = 0.5
# What has not been heard so long after it was said never will be: the talk goes on, and the end tells of it.
_UNHEARD_S = 10.0
_LONGEST_S = 60
_LOOK_S = 0.08

# What is said, by whom, and the recording that says the same in the other language.
_PLAY = (
    (0, "ja-order", "into-en-order"),
    (1, "en-sent", "into-ja-sent"),
    (0, "ja-thanks", "into-en-thanks"),
)


@dataclass(frozen=True)
class Delay:
    """What callapp added to one line's way, in milliseconds.

    Args:
        up_ms: from the speaker's last sound to that sound at the translator.
        down_ms: from the translator's first sound to that sound at the listener's ear.
    """

    up_ms: float
    down_ms: float


def pretend_translator() -> PretendModel:
    """The translation service, which knows what the recordings mean."""
    same = {(said, _LANGUAGES[1 - side]): clip(translated) for side, said, translated in _PLAY}
    return PretendModel(api_key=MODEL_KEY, translating=Translating(Speech.bundled(), same))


def perform_interpreted(console: Console, wav: Path, model: PretendModel, *, shows_log: bool = False) -> int:
    """Make the call and tell of it; return the exit status. Leaves no process and no thread."""
    print_heading(
        console,
        "An interpreted call on this machine",
        "Real: the server, its sockets, the audio. Pretended: Twilio, two phones, OpenAI.",
        "Lines are what the translation sessions heard and said.",
    )
    lines: list[Line] = []
    failures: list[str] = []
    calls: list[Call] = []
    with (
        tempfile.TemporaryDirectory(prefix="callapp-demo-") as folder,
        model,
        Carrier(say_ms_per_char=15) as carrier,
        Server(Path(folder), pretended(carrier, model)) as server,
    ):
        with Screen(console, server if shows_log else None) as screen:
            try:
                calls = _make_the_call(server, carrier, model, screen, lines)
            except ServerFailed as error:
                failures.append(str(error))
            status = server.stop()
            lines += _told(model, len([one for one in lines if one.speech]))
            screen.show_rest(lines)
        log = server.log()
    failures += faults_of_server(status, log)
    if len(calls) == 2 and all(call.streams for call in calls):
        delays = _delays(calls, model)
        failures += _faults(calls, model)
        wavs = [wav.with_stem(f"{wav.stem}-{name.lower()}") for name in _NAMES]
        for call, path in zip(calls, wavs, strict=True):
            failures += write_recording(call, path)
        print_figures(console, _figures(calls, model, delays, wavs))
    return print_verdict(console, failures, log)


def _make_the_call(
    server: Server, carrier: Carrier, model: PretendModel, screen: Screen, lines: list[Line]
) -> list[Call]:
    """Have both called, and look on until it is over; return the two calls.

    Raises:
        ServerFailed: the server did not do its part, or not in time.
    """
    screen.say(f"{server.wait_ready()} serves {server.url}")
    screen.began_s = time.monotonic()
    for rings_ms in (300, 600):
        carrier.next_callee(Callee(rings_ms=rings_ms))
    order = {"phoneNumber": _NUMBERS[0], "agent": "interpreter"}
    placed = server.dial({**order, "parameters": {"otherPhoneNumber": _NUMBERS[1]}})
    words = f"POST /outgoing-call → 201, calls {placed['to']} and {placed['otherTo']}"
    lines.append(Line(screen.began_s, "callapp", words))
    calls = [carrier.wait_for_call(_LOOK_S) for _ in _NUMBERS]
    said = [0, 0]
    talk = _Talk(calls, model)
    while not all(call.over for call in calls):
        with calls[0].changed:
            calls[0].changed.wait(_LOOK_S)
        for side, call in enumerate(calls):
            lines += [
                Line(screen.began_s + one.at_s, "Twilio", f"{_NAMES[side]}: {one.text}")
                for one in call.said[said[side] :]
            ]
            said[side] = len(call.said)
        lines += _told(model, len([line for line in lines if line.speech]))
        screen.show(lines)
        talk.go_on()
        if time.monotonic() > screen.began_s + _LONGEST_S:
            raise ServerFailed(f"The call was not over after {_LONGEST_S} s.")
    return calls


class _Talk:
    """What the two say: each line once the one before has been heard in the other language.

    Or has been given up.
    """

    def __init__(self, calls: Sequence[Call], model: PretendModel) -> None:
        self._calls = calls
        self._model = model
        self._spoken = 0
        self._not_before_s = 0.0
        self._hung_up = False

    def go_on(self) -> None:
        """Look whether it is time for the next line, or to hang up after the last."""
        now_s = time.monotonic()
        if now_s < self._not_before_s or not (self._heard() or self._unheard(now_s)):
            return
        if self._spoken < len(_PLAY):
            side, said, _ = _PLAY[self._spoken]
            self._calls[side].speak(clip(said))
            self._spoken += 1
            self._not_before_s = now_s + clip(said).duration_ms / 1000 + _PAUSE_S
        elif not self._hung_up:  # without waiting: the last words are heard all the same
            self._calls[_PLAY[-1][0]].hang_up()
            self._hung_up = True

    def _heard(self) -> bool:
        """Whether the listener has heard the line before the next."""
        if not 0 < self._spoken < len(_PLAY):
            return len([one for one in self._model.translations if one.heard_audio]) >= len(self._calls)
        side, _, translated = _PLAY[self._spoken - 1]
        return _place(_given(self._calls[1 - side]), clip(translated)) is not None

    def _unheard(self, now_s: float) -> bool:
        """Whether the last line has not been heard in time."""
        return self._spoken > 0 and now_s > self._not_before_s + _UNHEARD_S


def _given(call: CallRecord) -> bytes:
    """All sound that a phone was sent; what it played has gaps where the machine was too busy."""
    with call.changed:
        return b"".join(chunk.audio for chunk in call.stream.playout.chunks)


def _told(model: PretendModel, known: int) -> list[Line]:
    """The lines of both sessions beyond those that are known: what was heard, and what it means."""
    texts: list[Line] = []
    for session in model.translations:
        into = _into(session)
        if into not in _LANGUAGES:
            continue
        speaker, listener = (_NAMES[(_LANGUAGES.index(into) + turn) % 2] for turn in (1, 0))
        before = ""
        for one in session.sent:
            kind, delta = one.event["type"], one.event.get("delta", "")
            if kind not in ("session.input_transcript.delta", "session.output_transcript.delta"):
                continue
            if kind == before:
                texts[-1].text += delta
            else:
                heard = kind == "session.output_transcript.delta"
                text = f"→ {listener}: {delta}" if heard else f"{speaker}: {delta}"
                texts.append(Line(one.at_s, "agent" if heard else "caller", text, speech=True))
            before = kind
    texts.sort(key=lambda line: line.at_s)
    return texts[known:]


# -- what came of it ----------------------------------------------------------------------------


def _session_of(model: PretendModel, side: int) -> TranslationSession | None:
    """The session that heard the person on a side."""
    return next((one for one in model.translations if _into(one) == _LANGUAGES[1 - side]), None)


def _into(session: TranslationSession) -> str | None:
    language: str | None = session.config["audio"]["output"]["language"]
    return language


def _delays(calls: Sequence[CallRecord], model: PretendModel) -> list[Delay]:
    """Measure the lines that can be followed from the mouth to the ear."""
    return [
        delay
        for side, said, translated in _PLAY
        if (session := _session_of(model, side)) is not None
        and (delay := _delay(calls, side, session, clip(said), clip(translated))) is not None
    ]


def _delay(
    calls: Sequence[CallRecord], side: int, session: TranslationSession, said: Clip, translated: Clip
) -> Delay | None:
    spoken = next((one for one in calls[side].stream.callee.spoken if one.clip is said), None)
    at_translator = _place(to_ulaw(session.heard_audio, "audio/pcm"), said)
    at_ear = _place(calls[1 - side].stream.heard_track(), translated)
    sent = next((one for one in session.sent if _begins(one.event, session, translated)), None)
    if spoken is None or at_translator is None or at_ear is None or sent is None:
        return None
    voice_ms = spoken.voice_ends_ms - spoken.voice_starts_ms
    appended_s = _appended_s(session, at_translator / BYTES_PER_MS + voice_ms)
    spoken_s = calls[side].stream.began_ns / 1e9 + spoken.voice_ends_ms / 1000
    heard_s = calls[1 - side].stream.began_ns / 1e9 + at_ear / BYTES_PER_MS / 1000
    lead_ms = _place(translated.audio, translated) or 0  # the silence that the recording begins with
    return Delay((appended_s - spoken_s) * 1000, (heard_s - sent.at_s) * 1000 - lead_ms / BYTES_PER_MS)


def _place(heard: bytes, sought: Clip) -> int | None:
    """The byte at which the voice of a recording begins in what was heard."""
    return next((one.at for one in recognise(Speech([sought]), heard)), None)


def _begins(event: dict[str, object], session: TranslationSession, translated: Clip) -> bool:
    """Whether this is the first audio of a translation: the one after its text."""
    if event["type"] != "session.output_audio.delta":
        return False
    texts = [
        one.event
        for one in session.sent
        if one.event["type"] == "session.output_transcript.delta"
        and translated.text.endswith(one.event["delta"])
    ]
    return bool(texts) and texts[-1]["elapsed_ms"] == event["elapsed_ms"]


def _appended_s(session: TranslationSession, until_ms: float) -> float:
    """When so much audio had been appended."""
    appended_ms = 0.0
    for one in session.received:
        if one.event["type"] == "session.input_audio_buffer.append":
            appended_ms += len(one.event["audio"]) * 3 / 4 / 48
            if appended_ms >= until_ms:
                return one.at_s
    return session.received[-1].at_s


def _faults(calls: Sequence[CallRecord], model: PretendModel) -> list[str]:
    """List what went wrong or is missing, one sentence each; nothing for a call as it has to be."""
    found: list[str] = []
    for side, call in enumerate(calls):
        name = _NAMES[side]
        found += faults_of_phone(name, call)
        heard = [one.clip.name for one in recognise(Speech.bundled(), _given(call))]
        for speaker, _, translated in _PLAY:
            if speaker != side and translated not in heard:
                found.append(f"{name} did not hear: {clip(translated).text}")
    for session in model.translations:
        found += [f"Against OpenAI's protocol: {one.code} {one.message}" for one in session.violations]
    if len(model.translations) != 2:
        found.append(f"There were {len(model.translations)} translation sessions, not 2.")
    return found


def _figures(
    calls: Sequence[CallRecord], model: PretendModel, delays: Sequence[Delay], wavs: Sequence[Path]
) -> list[tuple[str, str, str]]:
    minutes = [len(session.heard_audio) / 48_000 / 60 for session in model.translations]
    usd = transcription_usd(_TRANSLATOR, [{"type": "duration", "seconds": 60 * one} for one in minutes])
    return [
        ("Duration", f"{calls[0].duration_s:.1f} s", "from the answer to the end of the call"),
        (
            "To the model",
            " · ".join(f"{one.up_ms:.0f}" for one in delays) + " ms",
            "a last sound to that sound at the translator\nwhich takes 200 ms at a time",
        ),
        (
            "From the model",
            " · ".join(f"{one.down_ms:.0f}" for one in delays) + " ms",
            "a translation's first sound to the other ear",
        ),
        cost_figure(usd),
        (
            "Recordings",
            shown_path(wavs[0]),
            f"\n{shown_path(wavs[1])}\nstereo: each person left, what they heard right",
        ),
    ]
