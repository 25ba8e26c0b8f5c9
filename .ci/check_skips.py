"""Fails when a test was skipped that had to run, or when a required kind of test is absent.

A skip is allowed only when a line of `ALLOWED` says so. Real data is required wherever it is there.
"""

from __future__ import annotations

import os
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

#: (pattern over "test id: reason", why the skip is right).
ALLOWED: tuple[tuple[str, str], ...] = (
    (r"Feast is not installed", "wants another pandas; .ci/run calls make feast"),
    (r"\S+ is not installed: make oracles", "only compared with; .ci/run calls make oracles"),
    (r"\S+ is not installed: make readback", "only reads exports; .ci/run calls make readback"),
    (r"environment of Spark is absent", "runs a cluster; .ci/run calls make cluster"),
    (r"environment of other systems is absent", "runs other programs; .ci/run calls make for them"),
)

REAL_DATA = r"WORKBENCH_REAL_DATA"

#: Test modules of which at least one test must have passed.
REQUIRED = ("browser", "wheel", "architecture", "portability")


def real_data_exists() -> bool:
    """Whether the public data sets are where the tests look for them."""
    named = os.environ.get("WORKBENCH_REAL_DATA")
    checkout = Path(__file__).resolve().parent.parent
    return Path(named).is_dir() if named else (checkout.parent / "shared" / "data").is_dir()


def main(report: str) -> int:
    """Read the JUnit report and say what is wrong with it; 0 when nothing is."""
    allowed = [pattern for pattern, _ in ALLOWED]
    required = set(REQUIRED)
    if real_data_exists():
        required.add("real")
    else:
        allowed.append(REAL_DATA)

    skipped: list[str] = []
    passed: list[str] = []
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        skip = case.find("skipped")
        if skip is None:
            if case.find("failure") is None and case.find("error") is None:
                passed.append(name)
        elif skip.get("type") != "pytest.xfail":
            # Of a module that skips itself the reason stands in the text.
            line = " ".join(f"{name}: {skip.get('message')} {skip.text or ''}".split())
            if not any(re.search(pattern, line) for pattern in allowed):
                skipped.append(line)
    absent = [kind for kind in sorted(required) if not any(kind in name for name in passed)]

    for line in skipped:
        sys.stderr.write(f"skipped, but must run here: {line}\n")
    for kind in absent:
        sys.stderr.write(f"no test with {kind!r} in its name has run\n")
    if skipped or absent:
        return 1
    sys.stdout.write(f"{len(passed)} tests ran; none was skipped that had to run.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
