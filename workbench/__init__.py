"""Joins feedback to the inference it judges, measures what the model got wrong, exports slices.

Examples
--------
>>> import workbench as wb
>>> project = wb.open("my-project")  # doctest: +SKIP
>>> project.metrics(["ece", "accuracy"], by=["model_version"])  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.datasets import Slice as Slice
    from workbench.datasets import Split as Split
    from workbench.errors import WorkbenchError as WorkbenchError
    from workbench.handle import Workbench as Workbench
    from workbench.handle import init as init
    from workbench.handle import open as open

__version__ = "0.1.0"

_PUBLIC = {
    "Slice": "workbench.datasets",
    "Split": "workbench.datasets",
    "WorkbenchError": "workbench.errors",
    "Workbench": "workbench.handle",
    "init": "workbench.handle",
    "open": "workbench.handle",
}
__all__ = ["Slice", "Split", "Workbench", "WorkbenchError", "__version__", "init", "open"]  # noqa: PLE0604, RUF100


def __getattr__(name: str) -> Any:
    """Resolve a public name on first use, so that importing the package stays cheap."""
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
