"""``workbench doctor``."""

from __future__ import annotations

from pathlib import Path

import click

from workbench.cli._common import common, folder, print_json, print_table, wants_json


@click.command("doctor")
@click.option("--schema", type=click.Choice(["feedback"]),
              help="Print the JSON Schema of a payload and nothing else.")  # fmt: skip
@click.option("--leaks", is_flag=True,
              help="Prove that no context of the build was newer than its inference.")  # fmt: skip
@common
def command(schema: str | None, leaks: bool, project_dir: str | None, as_json: bool) -> None:
    """Check the installation and the project; audit contexts for leaks; print schemas."""
    from workbench.doctor import examine
    from workbench.errors import DataError

    if schema is not None:
        from workbench.contract import feedback_json_schema

        print_json(feedback_json_schema())
        return
    if leaks:
        _leaks(folder(project_dir), wants_json(as_json))
        return
    checks = examine(folder(project_dir))
    if wants_json(as_json):
        print_json([{"check": c.name, "ok": c.ok, "found": c.found} for c in checks])
    else:
        print_table(
            ("check", "ok", "found"), [(c.name, "yes" if c.ok else "NO", c.found) for c in checks]
        )
    failed = [check for check in checks if not check.ok]
    if failed:
        raise DataError(
            f"{len(failed)} check(s) failed: {', '.join(check.name for check in failed)}.",
            "What was found, above, says what to do.",
        )


def _leaks(root: Path, as_json: bool) -> None:
    from dataclasses import asdict

    from workbench.errors import DataError
    from workbench.handle import open as open_project

    audits = open_project(root).leaks()
    if as_json:
        print_json([asdict(audit) for audit in audits])
    else:
        print_table(
            ("context", "join", "verdict", "matched", "leaking", "newest (s before)"),
            [(a.context, a.join, a.verdict, a.rows, a.leaking, a.newest) for a in audits],
        )
        click.echo()
        for audit in audits:
            click.echo(f"{audit.context}: {'; '.join(audit.notes) or audit.verdict}")
    leaking = [audit for audit in audits if audit.verdict == "leak"]
    if leaking:
        named = ", ".join(f"{a.context} (such as {', '.join(a.examples)})" for a in leaking)
        raise DataError(
            f"Facts of the future were joined in {len(leaking)} context(s): {named}.",
            "This is a defect of the workbench; please report it with the context's settings.",
        )
