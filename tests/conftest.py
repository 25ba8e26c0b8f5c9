"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# What decides whether a change may land must not depend on luck; on a desk, new ones are welcome.
settings.register_profile("ci", derandomize=True, print_blob=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the public data sets."""
    default = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("WORKBENCH_REAL_DATA", default))
    if not folder.is_dir():
        pytest.skip("the public data sets are absent: set WORKBENCH_REAL_DATA")
    return folder
