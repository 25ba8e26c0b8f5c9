from __future__ import annotations

from workbench.ui.shell import run

run()
