from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.stage", "tests.faults.lab")
