"""The page of several workers, put together from what each has written."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from callapp.metrics.instruments import FOLDER_VARIABLE, Instruments


def test_a_worker_that_has_only_just_made_its_file_does_not_spoil_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a moment it is empty, which Prometheus' own reader does not expect."""
    begun = tmp_path / "counter_12345.db"
    begun.touch()
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(time, "sleep", lambda _: begun.write_bytes(b"\0" * 4096))
    assert Instruments().exposition() == b""
    assert begun.stat().st_size
