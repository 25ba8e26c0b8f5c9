"""``workbench doctor``."""

from __future__ import annotations

import click

from workbench.cli._common import common, folder, print_json, print_table, wants_json


@click.command("doctor")
@click.option("--schema", type=click.Choice(["feedback"]),
              help="Print the JSON Schema of a payload and nothing else.")  # fmt: skip
@common
def command(schema: str | None, project_dir: str | None, as_json: bool) -> None:
    """Check the installation and the project; print schemas."""
    from workbench.doctor import examine
    from workbench.errors import DataError

    if schema is not None:
        from workbench.contract import feedback_json_schema

        print_json(feedback_json_schema())
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
