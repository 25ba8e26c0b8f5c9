"""What all tests share."""

from __future__ import annotations

import fcntl
import gc
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# What decides whether a change may land must not depend on luck; on a desk, new ones are welcome.
settings.register_profile("ci", derandomize=True, print_blob=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

# Expressions are many small objects of which most live on: looking through them all, again and
# again, takes a tenth of the time.
gc.set_threshold(100_000, 50, 100)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the public data sets."""
    default = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("WORKBENCH_REAL_DATA", default))
    if not folder.is_dir():
        pytest.skip("the public data sets are absent: set WORKBENCH_REAL_DATA")
    return folder


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Copies of folders that take long to make: the first worker that asks makes each of them.

    Called with a name and with what fills the folder of that name.
    """
    place = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent

    def copied(name: str, fill: Callable[[Path], object]) -> Path:
        whole = place / f"once-{name}"
        with (place / f"once-{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not whole.exists():
                making = place / f"once-{name}.unfinished"
                fill(making)
                making.rename(whole)
        # Folders of projects can be moved, so a copy is as good as another build.
        return Path(shutil.copytree(whole, tmp_path_factory.mktemp(name) / "a demo"))

    return copied
