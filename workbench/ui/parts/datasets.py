"""The parts of the Datasets page: versions, their cards, what differs, and files to take away."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from workbench import charts
from workbench.datasets.card import card as card_of
from workbench.datasets.versions import export_dataset
from workbench.errors import WorkbenchError
from workbench.formats import formats
from workbench.ui import data, data_datasets, state
from workbench.ui.parts import words
from workbench.ui.parts.cards import chart_card, rows_table
from workbench.ui.parts.controls import BOUND
from workbench.ui.parts.empty import problem
from workbench.ui.parts.export import offer
from workbench.ui.parts.links import link

VIEWS = ("card", "examples", "compare", "download")

_LEAKS = {
    "same_content": "have the same data as an example of the other part",
    "near_same_prompt": "have nearly the same prompt as an example of the other part",
    "same_user_id": "are of a user who is in the other part too",
    "same_session_id": "are of a session that is in the other part too",
    "same_trace_id": "are of a trace that is in the other part too",
    "label_from_the_future": "were judged when the other part had begun already",
    "moved": "were in another part in the version before",
}
CHANGES = ("added", "revised", "unchanged", "withdrawn")

Manifest = Mapping[str, Any]


def none_yet() -> None:
    """Say that there is no dataset, and how to make one."""
    st.info(
        "There is no dataset yet. Choose rows on the Slices page and compile them: each compile "
        "makes a version that stays as it is.",
        icon=":material/inventory_2:",
    )
    link("slices", "Choose rows")


def all_withdrawn(name: str) -> None:
    """Say that no version can be read any more."""
    st.info(
        f"Every version of {name} was withdrawn, because some of its examples were erased. "
        "Compile it anew.",
        icon=":material/delete:",
    )
    link("slices", "Choose rows")


def choose(names: Sequence[str]) -> tuple[str, list[Manifest], Manifest | None]:
    """Draw the choice of dataset and version; all versions that can be read, and the chosen one."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        _settle("dataset", names)
        name = st.selectbox("Dataset", names, key="dataset", bind=BOUND, width=320) or names[0]
        told = data_datasets.versions(name)
        known = {each["version"]: each for each in reversed(told) if data_datasets.is_there(each)}
        _settle("version", list(known))
        version = st.selectbox("Version", list(known), key="version", bind=BOUND, width=200)
    _versions(name, told)
    return name, list(known.values()), known.get(version or "")


def _settle(key: str, options: Sequence[str], index: int = 0) -> None:
    """Put what can be chosen in place of a choice that no longer can."""
    if state.chosen(key) is not None and state.chosen(key) not in options:
        state.choose(key, options[index] if options else None)


def _versions(name: str, told: Sequence[Manifest]) -> None:
    tags: dict[str, list[str]] = {}
    for tag, version in data_datasets.dataset(name).tags().items():
        tags.setdefault(version, []).append(tag)

    def gone(each: Manifest) -> dict[str, str]:
        there = data_datasets.is_there(each)
        return {} if there else {"withdrawn": f"{each['erased']:,} erased"}

    st.dataframe(
        [
            {
                "version": each["version"],
                "tags": ", ".join(sorted(tags.get(each["version"], []))),
                "made": str(each["created_at"])[:16].replace("T", " ") + " UTC",
                "examples": each["rows"],
                "added": each["added"],
                "revised": each["revised"],
                "training format": each["training_format"],
                "slice": each["slice_id"],
                **gone(each),
            }
            for each in reversed(told)
        ],
        hide_index=True,
        height="content" if len(told) < 8 else 300,
        alt=f"The versions of {name}, the newest first.",
    )


def leaks(manifest: Manifest) -> None:
    """Say what one part of a version gives away of another."""
    found = manifest["leaks"]
    if found:
        lines = [
            f"- {words.plural(row['rows'], 'example')} "
            f"{_LEAKS.get(row['kind'], words.code(row['kind']))} ({row['between']})."
            for row in found
        ]
        st.warning(
            "One part gives something away of another:\n" + "\n".join(lines),
            icon=":material/warning:",
        )
    elif len(manifest["counts"]["split"]) > 1:
        st.caption("No example of one part was found in another, by content, user or session.")


def card(manifest: Manifest) -> None:
    """Show the card of a version."""
    with st.container(border=True):
        st.markdown(shown(card_of(manifest)))


def shown(text: str) -> str:
    """A card under the page's heading: smaller headings, and a dollar sign is no formula."""
    parts = text.partition("\n")[2].split("```")
    # Every second part is code, which stays as it is.
    parts[::2] = [
        re.sub(r"^#(?=#* )", "###", part, flags=re.MULTILINE).replace("$", "\\$")
        for part in parts[::2]
    ]
    return "```".join(parts)


def examples(name: str, manifest: Manifest) -> None:
    """Show the first examples of a version."""
    table = data_datasets.examples(name, manifest)
    st.caption(f"The first {table.num_rows} of {words.plural(manifest['rows'], 'example')}.")
    rows_table(table, alt=f"The first {table.num_rows} examples of {manifest['version']}.")


def compare(manifest: Manifest, known: Sequence[Manifest]) -> None:
    """Show what differs between a version and another one."""
    others = {each["version"]: each for each in known if each["version"] != manifest["version"]}
    if not others:
        st.info("There is no other version to compare with.", icon=":material/compare_arrows:")
        return
    index = list(others).index(manifest["previous"]) if manifest["previous"] in others else 0
    _settle("against", list(others), index)
    other = st.selectbox("Compare with", list(others), index, key="against", bind=BOUND, width=240)
    before = others[str(other)]
    found = data_datasets.compared(str(data.project_dir()), before, manifest)
    with st.container(horizontal=True):
        for name in CHANGES:
            with st.container(border=True, width=170):
                st.metric(name.capitalize(), f"{found[name]:,}", help=_ABOUT[name])
    if found["test_was_trained"]:
        st.warning(
            f"{words.plural(found['test_was_trained'], 'example')} that {manifest['version']} "
            f"tests on were trained on in {before['version']}.",
            icon=":material/warning:",
        )
    _changed_slice(found, manifest, before)
    rows = [
        {"name": f"{words.code(name)}: {value}", "first": first, "second": second}
        for name, shift in found["counts"].items()
        for value, (first, second) in shift["values"].items()
    ]
    distances = ", ".join(
        f"{words.code(name)} {shift['distance']:.1%}" for name, shift in found["counts"].items()
    )
    names = (f"{before['version']}", f"{manifest['version']}")
    chart_card(
        charts.shares(rows, names=names, what="Share of the examples"),
        rows,
        key="shifts",
        said=f"Of {found['rows'][0]:,} and {found['rows'][1]:,} examples. Total distance "
        f"(half the sum of the differences): {distances}.",
    )


_ABOUT = {
    "added": "Examples that the other version has not.",
    "revised": "Examples of both whose data changed, such as a label.",
    "unchanged": "Examples of both that are the same.",
    "withdrawn": "Examples that only the other version has.",
}


def _changed_slice(found: Mapping[str, Any], manifest: Manifest, before: Manifest) -> None:
    if not found["slice"]:
        st.caption("Both were made of the same slice.")
        return
    st.dataframe(
        [
            {
                "setting": words.code(name),
                before["version"]: _said(old),
                manifest["version"]: _said(new),
            }
            for name, (old, new) in found["slice"].items()
        ],
        hide_index=True,
        alt="What changed in the slice.",
    )


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{value['by']}: " + ", ".join(f"{name}={share:g}" for name, share in value["parts"])
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def take_away(name: str, manifest: Manifest, known: Sequence[Manifest]) -> None:
    """Draw the choice of a file format, write the file, and offer it."""
    older = [each["version"] for each in known if each["version"] != manifest["version"]]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        fmt = st.segmented_control(
            "Format", formats.names(), default="parquet", required=True, key="file", bind=BOUND
        )
        state.drop_unless("newer", older)
        since = st.selectbox(
            "Only what is new since",
            older,
            None,
            key="newer",
            bind=BOUND,
            placeholder="all examples",
            width=220,
            help="Examples that were added, revised or withdrawn since that version, with a column "
            "that says which.",
        )
        prepare = st.button("Prepare the file", type="primary", icon=":material/inventory_2:")
    kind = formats.get(str(fmt))
    st.caption(kind.about)
    what = f"{name}@{manifest['version']}"
    file = f"{name}-{manifest['version']}" + (f"-since-{since}" if since else "") + kind.suffix
    folder = data_datasets.dataset(name).state / "exports" / manifest["compile_id"]
    if prepare:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with st.spinner(f"Writing {what}", show_time=True):
                done = export_dataset(
                    data.project_dir(), what, str(fmt), folder / file, since=since, force=True
                )
            state.keep_export(done)
        except (WorkbenchError, OSError) as error:
            state.keep_export(None)
            problem(error if isinstance(error, WorkbenchError) else WorkbenchError(str(error)))
    made = state.exported()
    if made and made["path"] == str(folder / file) and (folder / file).exists():
        offer(made, file, kind.media_type)
    given = ["workbench", "export", what, "--format", str(fmt), "-o", file]
    given += ["--since", since] if since else []
    st.caption("The same without this page")
    st.code(shlex.join(given), language="bash", wrap_lines=True)
