"""How a demo looks: a transcript that scrolls as the call goes on, then its figures.

Wherever the output goes, it can be written: what the encoding does not have becomes a ``?`` or plain
ASCII. Only a terminal gets the lines that still grow, and colours.
"""

from __future__ import annotations

import codecs
import io
import sys
import time
from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.text import Text

from callapp.simulators.demo_server import Server
from callapp.simulators.demo_watch import Line

_ACCENT = "cyan"
_INDENT = 2
_LOG_LINES = 20
_PLAIN = str.maketrans({"→": "->", "·": "-", "…": "...", "—": "-", "≈": "~"})
_BARS = " ▁▂▃▄▅▆▇█"
# Two ends are looked at one after the other: what one of them saw may have come before what is known.
_SETTLING_S = 0.2
# From the softest voice to the loudest, in dBFS.
_SOFT, _LOUD = -45.0, -10.0


def _spell_out(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end].translate(_PLAIN)
    return text.encode("ascii", "replace").decode(), error.end


def open_console() -> Console:
    """Return a console on standard output that no locale can break."""
    codecs.register_error("callapp.plain", _spell_out)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="callapp.plain")
    return Console(highlight=False)


class Screen:
    """Prints lines once they are done and all before them are; a terminal shows the rest growing.

    Args:
        console: where to.
        server: whose log is to be shown as well, if it is.

    Attributes:
        began_s: the transcript's zero, by ``time.monotonic()``.

    No thread: it is drawn when ``show`` is called.
    """

    def __init__(self, console: Console, server: Server | None = None) -> None:
        self.began_s = 0.0
        self._console = console
        self._server = server
        self._logged = 0
        self._printed = 0
        self._live: Live | None = None
        if console.is_interactive:
            self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Screen:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, lines: list[Line]) -> None:
        """Print what is done, in order of time; draw what is not."""
        self._show_log()
        lines[self._printed :] = sorted(lines[self._printed :], key=lambda line: line.at_s)
        settled_s = time.monotonic() - _SETTLING_S
        while self._printed < len(lines):
            line = lines[self._printed]
            if not line.done or line.at_s > settled_s:
                break
            self._print(line)
            self._printed += 1
        if self._live is not None:
            growing = Text("\n").join(map(self._drawn, lines[self._printed :]))
            self._live.update(growing, refresh=True)

    def say(self, text: str) -> None:
        """Print a line that is no part of the call."""
        self._console.print(_hanging(self._console, Text(), Text(text, style="dim")), end="\n\n")

    def show_rest(self, lines: list[Line]) -> None:
        """Print also what never came to its end."""
        self.show(lines)
        for line in lines[self._printed :]:
            self._print(line)
        self._printed = len(lines)

    def _show_log(self) -> None:
        if self._server is not None:
            for line in self._server.log()[self._logged :]:
                self._logged += 1
                self._console.print(Text(line, style="dim"), soft_wrap=True)

    def _print(self, line: Line) -> None:
        self._console.print(self._drawn(line))

    def _drawn(self, line: Line) -> Text:
        style = _ACCENT if line.who in ("agent", "other") else "" if line.speech else "dim"
        head = Text.assemble((_clock(line.at_s - self.began_s), "dim"), "  ", (f"{line.who:7}", style), "  ")
        body = Text().append(line.text, style=style)
        if line.levels:
            body.append("".join(map(_bar, line.levels)), style="dim")
        if line.cut:
            body.append("—", style=f"bold {_ACCENT}")
        elif not line.done and line.text:
            body.append("…", style="dim")
        for note in line.notes:
            body.append(f"\n{note}", style="dim")
        return _hanging(self._console, head, body)


def print_heading(console: Console, title: str, *lines: str) -> None:
    """Print what is about to be seen."""
    text = Text(title, style="bold")
    for line in lines:
        text.append(f"\n{line}", style="not bold dim")
    console.print()
    console.print(_hanging(console, Text(), text))


def print_figures(console: Console, rows: Sequence[tuple[str, str, str]]) -> None:
    """Print the summary: a name, a value, and in small letters what it means."""
    width = max(len(name) for name, _, _ in rows) + 2
    console.print()
    for name, value, meaning in rows:
        body = Text.assemble(
            (value, f"bold {_ACCENT}"), (meaning if meaning.startswith("\n") else f"  {meaning}", "dim")
        )
        console.print(_hanging(console, Text(f"{name:{width}}", style="dim"), body))


def print_verdict(console: Console, faults: Sequence[str], log: Sequence[str]) -> int:
    """Print what went wrong, if anything did, with the end of the server's log; return the exit status."""
    if faults:
        console.print()
        console.print(_hanging(console, Text(), Text("What went wrong", style="bold")))
        for fault in faults:
            console.print(_hanging(console, Text("- "), Text(fault)))
    if faults and log:
        console.print()
        console.print(_hanging(console, Text(), Text("The end of the server's log", style="bold")))
        for line in log[-_LOG_LINES:]:
            console.print(Text(line, style="dim"), soft_wrap=True)
    console.print()
    return 1 if faults else 0


def _hanging(console: Console, head: Text, body: Text) -> Text:
    """Lay a text out beside its head, indented, without blanks at the ends of lines."""
    indent = _INDENT + head.cell_len
    lines = body.wrap(console, max(20, console.width - indent), overflow="fold")
    for line in lines:
        line.rstrip()
    gap = Text("\n" + " " * indent)
    return Text.assemble(" " * _INDENT, head, gap.join(lines))


def _clock(seconds: float) -> str:
    tenths = max(0, int(10 * seconds))
    return f"{tenths // 600}:{tenths // 10 % 60:02}.{tenths % 10}"


def _bar(level_dbfs: float) -> str:
    share = (level_dbfs - _SOFT) / (_LOUD - _SOFT)
    return _BARS[min(len(_BARS) - 1, max(0, round(share * (len(_BARS) - 1))))]
