"""How loud a sound is."""

from __future__ import annotations

import pytest

from callapp.audio.levels import SILENT_DBFS, level_dbfs
from callapp.simulators.ulaw import silence, tone


def test_silence_is_as_soft_as_can_be_and_a_tone_as_loud_as_it_is() -> None:
    assert level_dbfs(silence(20)) == SILENT_DBFS
    assert level_dbfs(b"") == SILENT_DBFS
    assert level_dbfs(tone(400, 20, 0.1)) == pytest.approx(-23.0, abs=0.5)
    assert level_dbfs(tone(400, 20, 1.0)) == pytest.approx(-3.0, abs=0.5)
