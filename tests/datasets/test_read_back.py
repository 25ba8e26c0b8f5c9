"""Every row of every training format is what the raw log says, whatever was built in between."""

from __future__ import annotations

from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.datasets import world
from tests.datasets.world import Row, at
from tests.ingest.folder import Folder, lines
from workbench.datasets.hashes import PROVENANCE
from workbench.datasets.versions import export_dataset

CALLS = {row["request_id"]: row for row in world.calls()}


def written(messages: list[Row]) -> str:
    """Messages as one text."""
    if len(messages) == 1:
        return str(messages[0]["content"])
    return "\n\n".join(f"{m['role']}: {m['content']}" for m in messages)


def prompt_of(request: str, style: str) -> Any:
    """What an inference was asked, from its raw row."""
    if request.startswith("r"):
        messages = world.asked(int(request[1:]) // 2)[1]
    else:
        messages = [{"role": "user", "content": CALLS[request]["input"]}]
    return messages if style == "messages" else written(messages)


def answer(text: str, style: str) -> Any:
    return [{"role": "assistant", "content": text}] if style == "messages" else text


def common(request: str, said: world.Said) -> Row:
    """What an example of one judged inference carries in every format."""
    return {
        "example_id": request, "request_id": request, "other_id": None, "strength": None,
        "feedback_ids": said.ids, "label_ts": said.last,
    }  # fmt: skip


def singles(training_format: str, events: list[Row]) -> list[Row]:
    """The examples of a format of single answers, from the raw events."""
    style = "text" if "text" in training_format else "messages"
    found = []
    for request, said in sorted(world.said(events).items()):
        call = CALLS[request]
        row = common(request, said)
        asked_and_answered = {
            "prompt": prompt_of(request, style), "completion": answer(call["output"], style),
        }  # fmt: skip
        features = {name: call.get(name) for name in ("age", "plan")}
        kind = training_format.split("(")[0]
        if kind == "kto":
            row |= {**asked_and_answered, "label": said.good, "source": "feedback"}
        elif kind == "reward":
            reward = pytest.approx(said.reward, abs=1e-12)
            row |= {**asked_and_answered, "reward": reward, "source": "feedback"}
        elif kind == "tabular":
            row |= {**features, "label": "1" if said.good else "0", "source": "feedback"}
        elif kind == "soft_labels":
            shares = pytest.approx(list(said.votes.values()))
            row |= {
                "input": call["input"], "features": features,
                "classes": list(said.votes), "probabilities": shares, "source": "votes",
                "n_raters": len({e["rater_id"] for e in events if e["feedback_id"] in said.ids}),
            }  # fmt: skip
        elif kind == "recsys":
            if call.get("item_id") is None:
                continue
            names = ("user_id", "item_id", "position", "propensity")
            row |= {
                **{name: call[name] for name in names}, "context": features,
                "reward": pytest.approx(said.reward, abs=1e-12), "ts": at(call["ts"]),
                "source": "feedback",
            }  # fmt: skip
        found.append(row)
    return found


def demonstrations(training_format: str, events: list[Row]) -> list[Row]:
    """The examples of supervised fine-tuning: corrections, and answers that were judged good."""
    style = "text" if "text" in training_format else "messages"
    fixes = {e["request_id"]: e for e in events if e["name"] == "fix"}
    judged = world.said(events)
    found = []
    for request in sorted({*fixes, *judged}):
        output = CALLS[request]["output"]
        if request in fixes:
            fix = fixes[request]
            text = fix["corrected_output"]
            row = {
                "feedback_ids": [fix["feedback_id"]], "label_ts": at(fix["ts"]),
                "source": "confirmed" if text == output else "correction",
            }  # fmt: skip
        elif judged[request].good:
            said = judged[request]
            text, row = output, {"feedback_ids": said.ids, "label_ts": said.last}
            row["source"] = "output"
        else:
            continue
        prompt, done = prompt_of(request, style), answer(text, style)
        data = {"messages": prompt + done} if style == "messages" else {
            "prompt": prompt, "completion": done,
        }  # fmt: skip
        found.append({"example_id": request, "request_id": request, **row, **data})
    return found


def runs(events: list[Row]) -> list[Row]:
    """The examples of stepwise supervision; the last step is credited."""
    judged = world.said(events)
    found = []
    for trace in sorted({row["trace_id"] for row in CALLS.values() if "trace_id" in row}):
        steps = [row for row in CALLS.values() if row.get("trace_id") == trace]
        last = judged.get(steps[-1]["request_id"])
        if last is None:
            continue
        before = [None] * (len(steps) - 1)
        found.append(
            {
                "example_id": trace,
                "request_id": steps[0]["request_id"],
                "prompt": steps[0]["input"],
                "completions": [step["output"] for step in steps],
                "rewards": [*before, last.reward],
                "labels": [*before, last.good],
                "feedback_ids": last.ids,
                "label_ts": last.last,
                "source": "trace",
            }
        )
    return found


def pairs(training_format: str, events: list[Row]) -> list[Row]:
    """The pairs: each kind of question has its own source."""
    style = "text" if "text" in training_format else "messages"
    judged = world.said(events)
    found = []
    for k in range(96):
        one, two = f"r{2 * k:03}", f"r{2 * k + 1:03}"
        about = [
            e for e in events
            if {e.get("request_id"), e.get("chosen_id"), e.get("rejected_id")} & {one, two}
            and e["name"] and not e.get("retracts")
        ]  # fmt: skip
        ids = sorted(e["feedback_id"] for e in about)
        if k % 4 == 3:
            about = [e for e in about if e["name"] == "fix"][-1:]
            ids = [e["feedback_id"] for e in about]
            if not about or about[0]["corrected_output"] == CALLS[one]["output"]:
                continue
            row = {
                "request_id": one, "other_id": None, "source": "correction", "strength": 1.0,
                "chosen": about[0]["corrected_output"], "rejected": CALLS[one]["output"],
            }  # fmt: skip
        else:
            if k % 4 == 2:
                votes = [e["chosen_id"] for e in about if e["value"] != "tie"]
                if len(votes) <= 1:  # of three raters, two saw none better
                    continue
                chosen = max((one, two), key=votes.count)
                strength = (2 * votes.count(chosen) - len(votes)) / len(about)
                source = "preference"
            else:
                if judged.keys() & {one, two} != {one, two}:
                    continue
                chosen = max((one, two), key=lambda name: judged[name].reward)
                strength = abs(judged[one].reward - judged[two].reward)
                if strength < 0.25:
                    continue
                source = "thumbs" if k % 4 == 0 else "answers"
            other = two if chosen == one else one
            row = {
                "request_id": chosen, "other_id": other, "source": source,
                "strength": pytest.approx(strength, abs=1e-12),
                "chosen": CALLS[chosen]["output"], "rejected": CALLS[other]["output"],
            }  # fmt: skip
        found.append(
            {
                **row,
                "prompt": prompt_of(one, style),
                "chosen": answer(row["chosen"], style),
                "rejected": answer(row["rejected"], style),
                "feedback_ids": ids,
                "label_ts": at(max(e["ts"] for e in about)),
            }
        )
    return found


def expected(training_format: str, events: list[Row]) -> dict[str, Row]:
    """The examples that the raw rows give, by the inference that they are about."""
    kind = training_format.split("(")[0]
    if kind == "dpo":
        rows = pairs(training_format, events)
    elif kind == "sft":
        rows = demonstrations(training_format, events)
    else:
        rows = runs(events) if kind == "stepwise" else singles(training_format, events)
    return {row["request_id"]: row for row in rows}


def compare(found: list[Row], wanted: dict[str, Row]) -> None:
    """All rows are there, once each, with all that is known of them."""
    assert len(found) == len(wanted)
    for row in found:
        want = wanted[row["request_id"]]
        assert {name: row[name] for name in want} == want


@pytest.mark.parametrize("training_format", world.FORMATS)
def test_every_example_is_what_the_raw_rows_say(
    built: Folder, versions: dict[str, Row], training_format: str
) -> None:
    rows = world.rows_of(built, versions[training_format])
    assert len(rows) >= (9 if training_format == "stepwise" else 20)
    compare(rows, expected(training_format, world.events()))
    assert {row["revision"] for row in rows} == {1}


def test_a_label_that_changed_later_is_a_new_revision(own: Folder) -> None:
    """The old version says what it said, and the difference between the two says what is new."""
    kinds = ("kto", "sft", "dpo")
    old = {kind: world.compiled(own, kind) for kind in kinds}
    own.write("events/late.jsonl", lines(world.late()))
    own.build()
    both = [*world.events(), *world.late()]
    revised = 0
    for kind in kinds:
        new = world.compiled(own, kind)
        assert (old[kind]["version"], new["version"]) == ("v1.0", "v1.1")
        compare(world.rows_of(own, old[kind]), expected(kind, world.events()))
        compare(world.rows_of(own, new), expected(kind, both))
        revised += check_changes(own, kind, old[kind], new)
    assert revised >= 2
    # What was left out for a version comes back with the revision that it has now.
    world.compiled(own, "kto", where="request_id >= 'r020'")
    again = world.compiled(own, "kto")
    assert (again["version"], again["previous"]) == ("v3.0", "v2.0")
    revisions = {row["example_id"]: row["revision"] for row in world.rows_of(own, again)}
    assert revisions["r000"] == 2
    # The same label, of two votes now: what an example says of its votes is never stale.
    assert revisions["r009"] == 2
    assert revisions["r001"] == 1
    assert again["revised"] == again["added"] == 0


def check_changes(own: Folder, kind: str, old: Row, new: Row) -> int:
    """What is exported as new is what differs; how many examples were revised."""
    target = own.path / f"{kind}.parquet"
    export_dataset(own.path, kind, "parquet", target, since="v1.0")
    changes = {row["example_id"]: row for row in pq.read_table(target).to_pylist()}
    before, after = (
        {row["example_id"]: row for row in world.rows_of(own, manifest)} for manifest in (old, new)
    )
    gone, come = before.keys() - after.keys(), after.keys() - before.keys()
    other = {
        name for name in before.keys() & after.keys()
        if any(before[name][key] != after[name][key] for key in (*new["columns"], *PROVENANCE))
    }  # fmt: skip
    marked = {
        mark: {name for name, row in changes.items() if row["change"] == mark}
        for mark in ("added", "revised", "withdrawn")
    }
    assert marked == {"added": come, "revised": other, "withdrawn": gone}
    assert {mark: new[mark] for mark in marked} == {m: len(ids) for m, ids in marked.items()}
    assert new["unchanged"] == len(after) - len(come) - len(other)
    for name, row in after.items():
        assert row["revision"] == (2 if name in other else 1)
        if name in changes:
            assert {key: changes[name][key] for key in row} == row
    return len(other)
