"""What the simulators hear is written as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from callapp.simulators.sound import write_stereo_wav


def test_a_recording_that_cannot_be_written_leaves_nothing_half_made_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The demo tells that in one line; with Python 3.11 a traceback came before it."""
    left_behind: list[object] = []
    monkeypatch.setattr("sys.unraisablehook", left_behind.append)
    with pytest.raises(IsADirectoryError):
        write_stereo_wav(tmp_path, b"", b"")
    assert left_behind == []
