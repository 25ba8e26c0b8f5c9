"""A Spark cluster on this machine: a master, workers as processes of their own, Spark Connect."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_PATIENCE = 120.0
#: Options of a JVM for a run that is over before its second compiler has paid.
SHORT = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"


@dataclass
class Cluster:
    """The processes of a cluster, and the address of its Spark Connect server."""

    home: Path
    folder: Path
    remote: str = ""
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start a process in a group of its own, so that its executors end with it."""
        env = {
            **os.environ,
            "SPARK_HOME": str(self.home),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_DAEMON_JAVA_OPTS": SHORT,
            "SPARK_LOCAL_DIRS": str(self.folder / "local"),
        }
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [str(self.home / "bin" / command[0]), *command[1:]],
                env=env,
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        """End a process and its executors, without a chance to say so."""
        process = self.processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def wait(self, name: str, text: str, times: int = 1) -> None:
        """Wait until a process has written a text."""
        end = time.monotonic() + _PATIENCE
        while self.log(name).count(text) < times:
            if time.monotonic() > end or self.processes[name].poll() is not None:
                raise RuntimeError(f"{name} did not say {text!r}:\n{self.log(name)[-4000:]}")
            time.sleep(0.1)


def home(environment: Path | None) -> Path | None:
    """The pyspark package of an environment; None where it has none, or there is no JVM."""
    if environment is None or shutil.which("java") is None:
        return None
    found = sorted(environment.glob("lib/python3*/site-packages/pyspark/jars"))
    return found[0].parent if found else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def cluster(
    home: Path,
    folder: Path,
    *,
    workers: int = 2,
    memory: str = "3g",
    cores: int = 1,
    java: str = "",
) -> Iterator[Cluster]:
    """Run a cluster out of the pyspark package at `home`, and end it; `java` are its options."""
    folder.mkdir(parents=True, exist_ok=True)
    found = Cluster(home, folder)
    master, connect = free_port(), free_port()
    url = f"spark://127.0.0.1:{master}"
    deploy = "org.apache.spark.deploy"
    local = ("--host", "127.0.0.1", "--webui-port", "0")
    try:
        found.start(
            "master",
            ["spark-class", f"{deploy}.master.Master", *local, "--port", str(master)],
        )
        found.wait("master", "I have been elected leader")
        for number in range(workers):
            place = ("--work-dir", str(folder / f"work-{number}"))
            size = ("--cores", str(cores), "--memory", memory)
            found.start(
                f"worker-{number}",
                ["spark-class", f"{deploy}.worker.Worker", *local, *size, *place, url],
            )
        found.wait("master", "Registering worker", workers)
        settings = {
            "spark.master": url,
            "spark.connect.grpc.binding.port": str(connect),
            "spark.connect.grpc.binding.address": "127.0.0.1",
            "spark.executor.memory": memory,
            "spark.executor.cores": str(cores),
            "spark.driver.extraJavaOptions": java,
            "spark.executor.extraJavaOptions": java,
            "spark.sql.shuffle.partitions": str(4 * workers * cores),
            "spark.ui.enabled": "false",
            # The page of what is running holds finished queries in memory.
            "spark.sql.ui.retainedExecutions": "1",
            "spark.eventLog.enabled": "true",
            "spark.eventLog.compress": "false",
            "spark.eventLog.rolling.enabled": "false",
            "spark.eventLog.dir": folder.as_uri(),
        }
        options = [
            text
            for key, value in settings.items()
            if value
            for text in ("--conf", f"{key}={value}")
        ]
        server = "org.apache.spark.sql.connect.service.SparkConnectServer"
        found.start("connect", ["spark-submit", "--class", server, *options])
        found.wait("connect", "Spark Connect server started")
        found.remote = f"sc://127.0.0.1:{connect}"
        yield found
    finally:
        for name in reversed(list(found.processes)):
            found.kill(name)
