"""A real PostgreSQL server on a socket of its own, for as long as a module of tests runs."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

#: Has all that an address, a shell and SQL could trip over.
PASSWORD = "s3cr/t@wörd%20'"


@dataclass(frozen=True)
class Running:
    """A server; `folder` holds its socket, and its one user owns the database ``app``."""

    folder: Path
    programs: Path

    @property
    def address(self) -> str:
        """What a source says; the password is in the environment."""
        return f"postgresql://owner:${{APP_PASSWORD}}@/app?host={self.folder}"

    def run(self, *statements: str) -> None:
        """Run SQL as the owner."""
        subprocess.run(
            [self.programs / "psql", "-qX", "-h", self.folder, "-U", "owner", "-d", "app"],
            input=";\n".join(["\\set ON_ERROR_STOP 1", *statements, ""]).replace("1;", "1", 1),
            env={**os.environ, "PGPASSWORD": PASSWORD, "PGTZ": "UTC"},
            text=True,
            check=True,
        )


def _programs() -> Path:
    places = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    named = shutil.which("postgres")
    places += [Path(named).resolve().parent] if named else []
    for place in places:
        if all((place / name).is_file() for name in ("initdb", "pg_ctl", "postgres", "psql")):
            return place
    pytest.skip("PostgreSQL is not installed: apt-get install postgresql")


@contextmanager
def running() -> Iterator[Running]:
    """Start a server, and stop it afterwards."""
    pytest.importorskip("adbc_driver_postgresql")
    programs = _programs()
    with tempfile.TemporaryDirectory(prefix="pg") as made:
        folder = Path(made)
        # The server refuses to be run by root.
        names = {entry.pw_name for entry in pwd.getpwall()}
        user = None if os.geteuid() else "postgres" if "postgres" in names else "nobody"
        (folder / "password").write_text(PASSWORD)
        if user is not None:
            folder.chmod(0o755)
            for path in (folder, folder / "password"):
                shutil.chown(path, user)

        def call(*arguments: str | Path) -> None:
            done = subprocess.run(
                arguments,
                user=user,
                cwd=folder,
                stdout=subprocess.DEVNULL,
                stderr=(folder / "errors").open("ab"),
                check=False,
            )
            assert done.returncode == 0, (folder / "errors").read_text() + str(arguments)

        data = folder / "data"
        call(
            *(programs / "initdb", "-D", data, "-U", "owner", "-A", "scram-sha-256"),
            *("--pwfile", folder / "password", "-N", "-E", "UTF8", "--locale=C"),
        )
        options = f"-k {folder} -c listen_addresses= -c fsync=off"
        control = (programs / "pg_ctl", "-D", data, "-w")
        call(*control, "-l", folder / "log", "-o", options, "start")
        try:
            server = Running(folder, programs)
            subprocess.run(
                [programs / "createdb", "-h", folder, "-U", "owner", "app"],
                env={**os.environ, "PGPASSWORD": PASSWORD},
                check=True,
            )
            yield server
        finally:
            call(*control, "-m", "immediate", "stop")
