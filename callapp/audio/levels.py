"""How loud a sound is."""

from __future__ import annotations

import numpy as np

from callapp.audio.g711 import decode

SILENT_DBFS = -90.0
_FULL_SCALE = 32_768


def level_dbfs(ulaw: bytes) -> float:
    """The level of some mu-law, in dB of full scale; `SILENT_DBFS` for silence, and never less."""
    samples = decode(ulaw).astype(np.float32)
    power = float(np.dot(samples, samples)) / max(1, len(samples)) / _FULL_SCALE**2
    return max(SILENT_DBFS, 10 * float(np.log10(power))) if power > 0 else SILENT_DBFS
