"""How to start the servers that callapp is compared with."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from callapp.simulators.load.server import MakeRecipe, Recipe, Surroundings

HERE = Path(__file__).parent
COMPILER = shutil.which("cc") or shutil.which("gcc")


def asyncio_recipe(around: Surroundings, port: int) -> Recipe:
    """The bridge of ``asyncio_bridge.py`` on uvicorn, one process."""
    options = ["--app-dir", str(HERE), "--host", "127.0.0.1", "--port", str(port), "--log-level", "info"]
    return Recipe(
        # Neither uvloop nor httptools, if they happen to be there: the plain installation is compared.
        [sys.executable, "-m", "uvicorn", "asyncio_bridge:app", *options, "--loop", "asyncio"],
        {"MODEL_URL": f"{around.realtime_url}?model=comparison", "TWILIO_API_URL": around.twilio_url},
    )


def floor_recipe(program: Path) -> MakeRecipe:
    """The C program of ``floor.c``, compiled."""

    def recipe(around: Surroundings, port: int) -> Recipe:
        model = urlsplit(around.twilio_url)
        return Recipe(
            [str(program), str(port), str(model.hostname), str(model.port)],
            {},
            stream_path="/ws",
            converses=False,
        )

    return recipe


@cache
def compile_floor(folder: Path) -> Path:
    """Compile the floor into a folder."""
    assert COMPILER is not None
    program = folder / "floor"
    subprocess.run([COMPILER, "-O2", "-o", str(program), str(HERE / "floor.c")], check=True, timeout=60)
    return program
