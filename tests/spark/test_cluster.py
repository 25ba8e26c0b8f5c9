"""A build on a real cluster, of which a worker is killed in the middle, is that of DuckDB.

``make cluster`` runs it; ``make cluster ROWS=1000000`` with more rows than by default.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import workbench as wb
from benchmarks.end_to_end import world
from benchmarks.scale.cluster import SHORT, Cluster, cluster, home
from tests.spark.same import differences

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3_600)]

ROWS = int(os.environ.get("WORKBENCH_CLUSTER_ROWS", "100000"))
KILLED = "worker-0"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Cluster]:
    environment = os.environ.get("WORKBENCH_SPARK")
    place = home(Path(environment) if environment else None)
    if place is None:
        pytest.skip("the environment of Spark is absent: make cluster")
    with cluster(place, tmp_path / "cluster", java=SHORT) as found:
        yield found


def killing(found: Cluster, project: Path, killed: list[str]) -> None:
    """Wait until the build has its first results, then kill a worker and its executor."""
    while not list((project / ".workbench" / "builds").glob("*/attribution/_delta_log/*.json")):
        time.sleep(0.05)
    found.kill(KILLED)
    killed += [path.parent.name for path in project.glob(".workbench/builds/*/labels/_delta_log")]


def test_every_table_is_that_of_duckdb_though_a_worker_is_killed(
    running: Cluster, tmp_path: Path
) -> None:
    one, other = tmp_path / "on duckdb", tmp_path / "on spark"
    world.write(one, ROWS, world.SHAPES["even"], payload=False, storage="copy")
    shutil.copytree(one, other)
    later: list[str] = []
    killer = threading.Thread(target=killing, args=(running, other, later), daemon=True)
    killer.start()
    done = wb.open(other).build(spark=running.remote)
    killer.join(timeout=1)
    assert KILLED not in running.processes
    # It was in the middle: nothing that follows the attribution was there yet.
    assert later == []
    assert "Lost executor" in running.log("connect")
    assert done["ledger"]["received"] == ROWS // 5
    wb.open(one).build()
    assert differences(one, other) == []
