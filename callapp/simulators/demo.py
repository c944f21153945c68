"""``flask demo``: one whole call on this machine, with no account and no key.

The server is the real one, gunicorn and all. Twilio with its phone and OpenAI's Realtime API are
pretended, on real sockets and with recorded speech. What is printed comes from the wires.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import FrameType

import click
from flask import current_app
from flask.cli import with_appcontext

_STOPPED_BY_HAND = 130
"""Exit status, as shells have it for Ctrl-C."""


@click.command("demo")
@click.option(
    "--agent",
    type=click.Choice(["operator", "reservation", "interpreter", "captions"]),
    default="operator",
    show_default=True,
    help="Whose call it is. The reservation agent books a table, with its real tools and database; "
    "the interpreter connects two phones; captions listen to a call between two people.",
)
@click.option(
    "--wav",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write the recording; instance/demo if left out.",
)
@click.option("--log", "shows_log", is_flag=True, help="Show the server's log as well, as it is written.")
@with_appcontext
def demo(agent: str, wav: Path | None, shows_log: bool) -> None:
    """Make a whole call on this machine, with no account and no key.

    Exit status: 0 if everything in the call was as it has to be, 1 if not.
    """
    # Imported here: every server knows this command, and none has a use for the simulators.
    from callapp.simulators.demo_plays import PLAYS
    from callapp.simulators.demo_scene import perform, pretend_model
    from callapp.simulators.demo_screen import open_console

    if wav is None:
        began = datetime.now().astimezone()
        wav = Path(current_app.instance_path) / "demo" / f"demo-{began:%Y%m%d-%H%M%S}.wav"
    logging.getLogger("websockets").setLevel(logging.WARNING)  # the simulators' connections are no news
    console = open_console()
    try:
        with _ended_by_signals():
            if agent == "interpreter":
                from callapp.simulators.demo_interpreter import perform_interpreted, pretend_translator

                status = perform_interpreted(console, wav, pretend_translator(), shows_log=shows_log)
            elif agent == "captions":
                from callapp.simulators.demo_captions import perform_captioned, pretend_transcriber

                status = perform_captioned(console, wav, pretend_transcriber(), shows_log=shows_log)
            else:
                play = PLAYS[agent]
                status = perform(console, wav, pretend_model(play), play, shows_log=shows_log)
    except KeyboardInterrupt:
        console.print("\n  Stopped.\n")
        status = _STOPPED_BY_HAND
    sys.exit(status)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end the demo as Ctrl-C does.

    After the first of them all are ignored: cleaning up is short, and is not to be interrupted.
    """
    signals = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # by nohup
        signals.append(signal.SIGHUP)

    def end(_number: int, _frame: FrameType | None) -> None:
        for number in signals:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in signals}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
