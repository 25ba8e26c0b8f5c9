"""Writes the references that are made from the code.

They are the data dictionary, the JSON Schema of the feedback payload, the command line, the joins
of contexts, the metrics, the artefacts, the samplers, the cleaners, and the training formats.

``python docs/generate.py`` writes them, ``--check`` only says whether they are current.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from workbench import contract
from workbench.guide import Guide, Param, check_params

DOCS = Path(__file__).resolve().parent
NOTE = "<!-- Made by docs/generate.py (make docs). Do not edit. -->"

#: Tables of the contract, each with the sentence that leads it in.
TABLES = {
    "inferences": "The mapping fills these columns.",
    "feedback": "The mapping fills these columns.",
    "aliases": "The mapping of `[aliases]` fills these columns.",
    "quarantine": "Written by ingest and by the build.",
    "attribution": "Made anew in every build.",
    "credits": "Made anew in every build.",
    "labels": "Made anew in every build.",
    "ledger": "Made anew in every build.",
    "enriched_steps": "Made anew in every build.",
    "enriched": "`enriched_inferences` and `enriched_feedback` have these beside their own.",
    **dict.fromkeys(
        (
            "calibration",
            "group_metrics",
            "uncertainty",
            "agreement",
            "label_delay",
            "feedback_skew",
            "drift",
        ),
        "Computed when it is asked ([SQL](sql.md#views-with-parameters)).",
    ),
    "metric_state": "Made anew in every build; in schema `narrow` only.",
    "metric_sums": "Made anew in every build; in schema `narrow` only.",
    "places": "Made anew in every build; in schema `narrow` only.",
    "fitted": "Made by `workbench fit` ([artefacts](artefacts.md)).",
}


def cell(text: str) -> str:
    """`text` as the content of one table cell."""
    return text.replace("|", "\\|").replace("\n", " ")


def data_dictionary() -> str:
    """Render the tables and columns of ``sql/schema.sql`` as Markdown."""
    lines = [
        "# Data dictionary",
        "",
        NOTE,
        "",
        "Every table and column, as `sql/schema.sql` declares it. In a build the same comments",
        "stand in DuckDB's catalogue: `SELECT * FROM duckdb_columns()`. Times are UTC, durations",
        "are seconds, JSON is text. *required*: a row without a value is refused. *condition*: a",
        "row that violates it is refused.",
    ]
    unknown = set(contract.tables()) - set(TABLES)
    if unknown:
        raise SystemExit(f"Say in docs/generate.py what these tables are: {sorted(unknown)}")
    for name, lead in TABLES.items():
        table = contract.table(name)
        lines += ["", f"## {name}", "", f"{table.comment} {lead}", ""]
        lines += ["| column | type | meaning |", "| --- | --- | --- |"]
        for column in table.columns.values():
            meaning = column.comment
            if column.required:
                meaning += " *required*"
            if column.check:
                meaning += f" *condition:* `{column.check}`"
            wide = name == "inferences" and column.name in contract.WIDE_COLUMNS
            if wide:
                meaning += " *wide*"
            lines.append(f"| `{column.name}` | {cell(column.type)} | {cell(meaning)} |")
    lines += [
        "",
        "*wide* columns are read from the lake when a view of schema `main` is asked for them;",
        "schema `narrow` has all others.",
        "",
    ]
    return "\n".join(lines)


def feedback_schema() -> str:
    """Render the JSON Schema of the feedback payload."""
    return json.dumps(contract.feedback_json_schema(), indent=2, ensure_ascii=False) + "\n"


def commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """`command` and all below it, each with what is typed to reach it."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None and not found.hidden:
                yield from commands(found, f"{path} {name}")


def command_line() -> str:
    """Render the help of every command as Markdown."""
    from workbench.cli.main import cli

    lines = [
        "# Command line",
        "",
        NOTE,
        "",
        "Data goes to stdout, narration to stderr. `--json` gives a stable shape for programs.",
        "Bars of progress, what a stage took, the limit on memory: [long runs](long-runs.md).",
        "",
        "| exit code | meaning |",
        "| --- | --- |",
        "| 0 | done |",
        "| 1 | the query failed, or the data cannot be used |",
        "| 2 | the command line or the configuration is wrong; nothing was done |",
        "| 3 | something does not exist, or another process has locked it |",
        "| 4 | a query ran into its timeout |",
        "| 5 | a `--fail-if` condition held |",
        "| 130 | interrupted |",
    ]
    for path, command in commands(cli, "workbench"):
        context = click.Context(command, info_name=path, terminal_width=88, max_content_width=88)
        text = command.get_help(context)
        lines += ["", f"## {path}", "", "```text", text.rstrip(), "```"]
    return "\n".join([*lines, ""])


def joins() -> str:
    """Render every context join with its keys as Markdown."""
    from workbench.contexts import REASONS, contexts

    lines = [
        "# The joins of contexts",
        "",
        NOTE,
        "",
        'A `[context.NAME]` with `join = "..."` adds a struct column `NAME` to the enriched views.',
        "Beside `source`, `on` and `columns` ([configuration](configuration.md)), each join reads",
        "these keys.",
    ]
    origins = {"table": "a source", "log": 'a source, or `from = "inferences" | "feedback"`'}
    for name in contexts.names():
        join = contexts.get(name)
        about = inspect.cleandoc(
            importlib.import_module(f"workbench.contexts.{name}").__doc__ or ""
        )
        lines += ["", f"## {name}", "", about.replace("``", "`"), ""]
        lines += [f"Facts come from {origins.get(join.source, 'no source')}; `on` is {join.keys}."]
        if join.options:
            lines += ["", "| key | is | default | meaning |", "| --- | --- | --- | --- |"]
        for option in join.options:
            kind = ", ".join(f"`{c}`" for c in option.choices) or option.kind
            default = "*required*" if option.required else _default(option.default)
            lines.append(f"| `{option.name}` | {cell(kind)} | {default} | {cell(option.meaning)} |")
    lines += ["", "## Reasons", "", "Why a context found nothing, or cannot say all:", ""]
    lines += ["| reason | meaning |", "| --- | --- |"]
    lines += [f"| `{code}` | {meaning} |" for code, meaning in REASONS.items()]
    return "\n".join([*lines, ""])


def guide_lines(guide: Guide) -> list[str]:
    """What a registered thing says of itself as Markdown."""
    lines = [guide.at_a_glance]
    for title, text in guide.sections():
        lines += ["", f"**{title}.** {text.replace('``', '`')}"]
    return lines


def param_lines(params: Mapping[str, Param]) -> list[str]:
    """The parameters of a registered thing as a Markdown table; nothing where it has none."""
    lines = ["", "| parameter | default | meaning |", "| --- | --- | --- |"] if params else []
    for name, param in params.items():
        choices = ": " + ", ".join(f"`{c}`" for c in param.choices) if param.choices else ""
        about = param.about.removesuffix(".") + choices + "."
        lines.append(f"| `{name}` | `{param.default}` | {cell(about)} |")
    return lines


ARTEFACTS = """# Artefacts

{note}

An artefact is something that is fitted over a population of inferences: a recalibration, a gap by
bin. It is made on request, kept as a small file in `.workbench/artefacts`, and *pinned*: from the
next build on it fills columns of the enriched views. Nothing is ever fitted behind your back, and a
build says by id which artefacts it used.

```console
workbench fit recalibration --method isotonic   # fit on the build in force, judge, keep and pin
workbench build                                 # a new build with the column calibrated_p
workbench metrics --calibrated                  # before and after, on inferences it has not seen
workbench metrics --calibrated --only ece --by model_version
workbench fit --list                            # what was fitted; which of it is pinned
workbench fit recalibration --use ID            # pin an older one
workbench fit recalibration --drop              # use none
```

In Python: `p.fit("recalibration", params={{"method": "isotonic"}})`, `p.artefacts()`,
`p.use_artefact(kind, id)`, then `p.build()`.

**Which rows.** `--where` chooses the population; outside of it the columns are NULL, for what is
true of a part need not be true of the rest. `--since` and `--until` cut it by time. A kind that is
judged by *before* and *after* is fitted on the earlier rows and judged by the later ones: the
border is `--until`, else the median time. Where no row is earlier than another, half of the ids, by
md5, are held out; the artefact's `held_out` says which condition it was.

**What is kept.** `ID.json` holds the kind, the build, the parameters, the rows and their times,
the fitted state and the figures; `ID.parquet` values by row, for kinds that have those. The id is
a hash of what was fitted on what: equal input gives an equal id, and a file whose content does not
belong to its name is refused.

**When it does not fit.** A build stops, in words, where a pinned artefact reads a column that is
missing or is made from something else than when it was fitted. Where the build has model versions
that it was not fitted on, `workbench build` says so, and `workbench status --json` counts the newer
rows.
"""


def artefact_guide() -> str:
    """Render the kinds of artefacts as Markdown."""
    from workbench.artefacts import artefacts

    lines = [ARTEFACTS.format(note=NOTE).rstrip()]
    for kind in artefacts:
        columns = ", ".join(f"`{name}`" for name in kind.columns)
        needs = ", ".join(
            f"`{name}`" for name in kind.needs(check_params(kind.name, kind.params, {}))
        )
        lines += ["", f"## {kind.name}", "", *guide_lines(kind.guide)]
        uses = f"*Fills {columns}; reads {needs}.*"
        if kind.weighs_votes:
            uses = "*Weighs votes on labels; reads the deciding feedback.*"
        lines += ["", uses, *param_lines(kind.params)]
    return "\n".join([*lines, ""])


SAMPLERS = """# Samplers

{note}

A sampler says which rows of a relation to take when there are more than are wanted:

```console
workbench export enriched_inferences --where "label IS NULL" --limit 500 \\
  --sampler "uncertainty(score='entropy')" -o to-label.parquet
```

Each row that is taken carries four columns:

| column | meaning |
| --- | --- |
| `sampling_score` | what the sampler preferred it for; 1 where all rows are alike |
| `inclusion_probability` | the chance that it had to be taken; NULL where it is not known |
| `sample_weight` | how many rows it stands for: 1 / `inclusion_probability`, or LURE's weight |
| `random_number` | in (0, 1), from the md5 of the row's key and `--seed` |

A mean over rows that were chosen because they are hard says nothing of the others. Weigh each row
by `sample_weight`: the weighted sum of a value is then right on average for the population that was
drawn from, whatever the sampler preferred.

Equal builds, conditions and seeds give equal rows. A row keeps its random number from build to
build, so where few scores change, few rows do. Rows whose score is NULL, NaN or infinite cannot be
drawn and are no part of that population. Where the scores differ, rows are drawn by priority
sampling (Duffield, Lund and Thorup, J. ACM 54(6), 2007); where they do not, as a simple random
sample. Strata that no row is drawn from, for there are more of them than rows to draw, are not
spoken for by any weight.

With `scheme='sequential'` one row is drawn after the other, each time in proportion to the sizes of
those that are left. No closed form tells the chance of a row then, so `inclusion_probability` is
NULL, unless all rows are drawn. `sample_weight` is v N / M, with v the weight of a row in the
levelled unbiased risk estimator (LURE; Farquhar, Gal and Rainforth, ICLR 2021) of M rows drawn out
of N, in each stratum. Use it like any other weight: the weighted sum of a value, divided by N, is
right on average for the mean of the population (Horvitz and Thompson's estimator, or LURE); divided
by the sum of the weights it is Hajek's, which strays less, with a bias that fades as the sample
grows.

`scheme='top'` and `diversity(method='k_center')` choose without chance: their rows have no weight,
and no mean over them says anything of the population.
"""


def sampler_guide() -> str:
    """Render the samplers as Markdown."""
    from workbench.samplers import samplers

    lines = [SAMPLERS.format(note=NOTE).rstrip()]
    for sampler in samplers:
        lines += ["", f"## {sampler.name}", "", sampler.about, *param_lines(sampler.params)]
    return "\n".join([*lines, ""])


CLEANERS = """# Cleaners

{note}

A cleaner says which training examples to leave out before any are drawn, and why. It reads the
examples alone: the lake and the build stay as they are. Each is written with its parameters, as in
`near_duplicates(threshold=0.9)`.

What a cleaner keeps, it keeps when it is asked again. An example that stands for others is never
left out by the same cleaner. Examples without a prompt are known too little to be compared: only
`near_duplicates(over='answer')` does so.
"""

PATTERNS = """## Patterns that have a name

```toml
[cleaning.patterns.email]
builtin = "email"                     # masks: a match becomes [email]

[cleaning.patterns.keys]
builtin = "api_key"                   # drops the example
```

None of them is applied unless it is configured ([configuration](configuration.md#cleaning)). They
find what is written in the usual way, and no pattern finds all: a name, an address or a password
looks like any other words.

| builtin | default action | matches |
| --- | --- | --- |"""


def cleaner_guide() -> str:
    """Render the cleaners and the patterns that have a name as Markdown."""
    from workbench.cleaners import cleaners
    from workbench.configuration import BUILTINS

    lines = [CLEANERS.format(note=NOTE).rstrip()]
    for cleaner in cleaners:
        lines += ["", f"## {cleaner.name}", "", cleaner.about, *param_lines(cleaner.params)]
    lines += ["", PATTERNS]
    lines += [
        f"| `{name}` | `{entry.action}` | {cell(entry.about)} |" for name, entry in BUILTINS.items()
    ]
    return "\n".join([*lines, ""])


TRAINING_FORMATS = """# Training formats

{note}

A training format says what an example of a [dataset](datasets.md) is. It is written with its
parameters, as in `kto(good='reward >= 0.75')`:

```console
workbench dataset compile answers --slice answers --format "dpo(sources='correction', margin=0.5)"
```

The target says what an example teaches: `label`, what feedback made of an inference; `prediction`,
what the model answered, whether it was judged or not; or `none`. The first that is named below is
the default; `--target` of the slice chooses another.

Parameters that are SQL see the columns of `enriched_inferences`
([data dictionary](data-dictionary.md#enriched)). Every row of the slice that gives no example is
counted with its reason.
"""

PAIRS = """## Sources of pairs

Where a pair of a better and a worse answer comes from. A pair needs one prompt and two answers that
differ. A pair that two sources see in opposite ways is dropped as a `contradiction`; one that
several see alike is one pair with the events of all, and the source that stands first here. No
answer without feedback is ever the worse one.

| source | what it pairs |
| --- | --- |"""


def training_format_guide() -> str:
    """Render the training formats and the sources of pairs as Markdown."""
    from workbench.pairs import pair_sources
    from workbench.training_formats import training_formats

    lines = [TRAINING_FORMATS.format(note=NOTE).rstrip()]
    for form in training_formats:
        targets = ", ".join(f"`{name}`" for name in form.targets)
        lines += ["", f"## {form.name}", "", form.about, "", f"*Targets: {targets}.*", ""]
        lines += ["| column | what it is |", "| --- | --- |"]
        lines += [f"| `{name}` | {cell(about)} |" for name, about in form.schema.items()]
        lines += param_lines(form.params)
    lines += ["", PAIRS]
    ranked = sorted(pair_sources, key=lambda source: source.rank)
    lines += [f"| `{source.name}` | {cell(source.about)} |" for source in ranked]
    return "\n".join([*lines, ""])


def metric_guide() -> str:
    """Render what every metric says of itself as Markdown."""
    from workbench.metrics import FAMILIES, REASONS, metrics

    lines = [
        "# Metrics",
        "",
        NOTE,
        "",
        "`workbench metrics --only NAME` gives the value with a 95 % interval, `n` (rows in it)",
        "and `n_labelled`; `--by` gives it by group. Parameters stand in brackets, as in",
        "`ece(bins=20, bin_rule='guo')`. What is undefined is NULL with a reason: "
        + ", ".join(f"`{reason}`" for reason in REASONS)
        + ".",
    ]
    for family, title in FAMILIES.items():
        of_family = [metric for metric in metrics if metric.family == family]
        if not of_family:
            continue
        lines += ["", f"## {title}"]
        for metric in of_family:
            lines += ["", f"### {metric.name}", "", *guide_lines(metric.guide)]
            better = {"none": "neither direction is better"}.get(
                metric.better, f"{metric.better} is better"
            )
            needs = ", ".join(f"`{column}`" for column in metric.needs)
            lines += ["", f"*Reads {needs}; over {metric.over} rows; {better}.*"]
            lines += param_lines(metric.params)
    return "\n".join([*lines, ""])


def _default(value: object) -> str:
    if value is None or value == ():
        return ""
    return f"`{str(value).lower()}`" if isinstance(value, bool) else f"`{value}`"


GENERATED = {
    "joins.md": joins,
    "metrics.md": metric_guide,
    "artefacts.md": artefact_guide,
    "samplers.md": sampler_guide,
    "cleaners.md": cleaner_guide,
    "training-formats.md": training_format_guide,
    "data-dictionary.md": data_dictionary,
    f"feedback.v{contract.FEEDBACK_SCHEMA_VERSION}.schema.json": feedback_schema,
    "cli.md": command_line,
}


def main(arguments: list[str]) -> int:
    """Write or check the generated pages."""
    os.environ["NO_COLOR"] = "1"
    stale = []
    for name, make in GENERATED.items():
        path = DOCS / name
        text = make()
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        if "--check" in arguments:
            stale.append(name)
        else:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote docs/{name}\n")
    if stale:
        sys.stderr.write(f"not current: {', '.join(stale)}. Run: make docs\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
