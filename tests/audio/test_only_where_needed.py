"""Numbers are crunched in calls between people only: a process that has none is spared what that takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ASSISTANTS_ONLY = """
import sys
from callapp import create_app
from callapp.settings import Settings
import callapp.simulators.model

app = create_app(Settings(database_url="sqlite:///" + sys.argv[1]))
app.extensions["callapp"].close()
print([name for name in ("numpy", "soxr") if name in sys.modules])
"""


def test_an_app_that_carries_assistants_imports_neither_numpy_nor_soxr(tmp_path: Path) -> None:
    """30 MiB and a tenth of a second a worker."""
    command = [sys.executable, "-c", ASSISTANTS_ONLY, str(tmp_path / "calls.sqlite")]
    assert subprocess.check_output(command, text=True, cwd=ROOT).splitlines()[-1] == "[]"
