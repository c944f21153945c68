"""The documentation names all there is to set."""

from __future__ import annotations

from pathlib import Path

import pytest

from callapp.settings import SETTINGS

README = Path(__file__).parent.parent / "README.md"


@pytest.mark.parametrize("name", [setting.name for setting in SETTINGS])
def test_every_setting_is_in_the_readme(name: str) -> None:
    assert f"`{name}`" in README.read_text(encoding="utf-8")
