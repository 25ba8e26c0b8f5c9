"""Artefacts from the command line to the columns of a build."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss, log_loss

import workbench
from tests.artefacts.conftest import LABELLED, N
from tests.build.equality import differences
from tests.cli.conftest import Done, run
from tests.ingest.folder import Folder, inference, lines
from workbench.artefacts import ArtefactKind, Fitted, Rows, artefact_kind, artefacts
from workbench.build import artefacts as applying
from workbench.configuration import load
from workbench.errors import DataError

HALF = LABELLED // 2


def at(project: Folder, *arguments: object) -> Done:
    return run(*arguments, "--project", project.path)


def fit(project: Folder, *arguments: object) -> dict[str, Any]:
    done = at(project, "fit", *arguments, "--json")
    assert done.code == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    return found


def metric(rows: list[dict[str, Any]], name: str, probability: str) -> dict[str, Any]:
    (row,) = (r for r in rows if r["metric"] == name and r["probability"] == probability)
    return row


def test_figures_are_of_later_rows_that_were_not_fitted_on(
    project: Folder, given: tuple[np.ndarray, np.ndarray]
) -> None:
    made = fit(project, "recalibration", "--method", "isotonic")
    p, y = given
    # The border is the time of a row, which is one of the later ones.
    before, later = slice(0, HALF - 1), slice(HALF - 1, LABELLED)
    oracle = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(p[before], y[before])
    assert made["state"]["x"] == oracle.X_thresholds_.tolist()
    assert made["n"] == HALF - 1
    figures = {row["metric"]: row for row in made["figures"]["held_out"]}
    after = oracle.predict(p[later])
    for side, q in (("before", p[later]), ("after", after)):
        found = figures["brier_score"][side]
        assert found["value"] == pytest.approx(brier_score_loss(y[later], q), rel=1e-12)
        assert found["low"] < found["value"] < found["high"]
        assert found["n"] == LABELLED - HALF + 1
        if "log_loss" in figures:
            expected = log_loss(y[later], q)
            assert figures["log_loss"][side]["value"] == pytest.approx(expected, rel=1e-12)
    assert figures["ece"]["after"]["value"] < figures["ece"]["before"]["value"]

    assert at(project, "build").code == 0
    rows = project.ask("SELECT calibration_p, calibrated_p FROM enriched_inferences ORDER BY ts")
    assert len(rows) == N
    scores, corrected = np.array(rows).T
    assert np.abs(corrected - oracle.predict(scores)).max() < 1e-12
    measured = json.loads(at(project, "metrics", "--calibrated", "--json").out)
    for name in figures:
        for side, column in (("before", "calibration_p"), ("after", "calibrated_p")):
            found = metric(measured, name, column)
            assert found["value"] == pytest.approx(figures[name][side]["value"], rel=1e-12)
            assert found["n"] == figures[name][side]["n"]
    groups = at(project, "metrics", "--calibrated", "--only", "ece(bins=5)", "--by", "score > 0.5",
                "--where", "score <> 0.5")  # fmt: skip
    assert groups.code == 0, groups.err
    assert groups.out.splitlines()[0].split()[:2] == ["metric", "probability"]
    assert len(groups.out.splitlines()) == 2 + 4


def test_without_an_artefact_the_columns_are_there_and_null(built: Folder) -> None:
    (row,) = built.ask(
        "SELECT count(calibrated_p), count(calibration_gap), count(density), "
        "count(response_propensity), count(sample_weight) FROM enriched_inferences"
    )
    assert row == (0, 0, 0, 0, 0)
    assert built.status()["artefacts"] == {}
    done = at(built, "metrics", "--calibrated")
    assert done.code == 1
    assert "workbench fit recalibration" in done.err


def test_equal_input_gives_an_equal_id_and_a_build_settles(project: Folder) -> None:
    one = fit(project, "gap")
    leftover = project.write(".workbench/artefacts/gap-0.json.unfinished", "half")
    again = fit(project, "gap")
    assert one == again
    assert not leftover.exists()
    assert fit(project, "gap", "--param", "bins=5", "--no-pin")["id"] != one["id"]
    first = project.build()
    assert first["fresh"]
    manifest = json.loads((project.path / ".workbench/current").read_text())
    assert manifest["artefacts"] == {"gap": one["id"]}
    # Another build of the same rows: the same fit, so nothing new to build.
    assert fit(project, "gap")["id"] == one["id"]
    assert not project.build()["fresh"]
    assert at(project, "fit", "gap", "--drop").code == 0
    assert project.build()["fresh"]
    assert project.ask("SELECT count(calibration_gap) FROM enriched_inferences") == [(0,)]
    assert at(project, "fit", "gap", "--use", one["id"]).code == 0
    listed = json.loads(at(project, "fit", "--list", "--json").out)
    assert [made["id"] for made in listed if made["pinned"]] == [one["id"]]


def test_a_gap_is_the_mean_of_its_bin(
    project: Folder, given: tuple[np.ndarray, np.ndarray]
) -> None:
    made = fit(project, "gap")
    p, y = given
    bins = np.minimum(np.digitize(p, np.linspace(0, 1, 11)) - 1, 9)
    expected = {k: float((p - y)[bins == k].mean()) for k in np.unique(bins)}
    found = {row["bin"]: row["gap"] for row in made["figures"]["bins"]}
    assert found == pytest.approx(expected, rel=1e-12)
    assert made["n"] == LABELLED
    project.build()
    rows = project.ask("SELECT prob_bin, calibration_gap FROM enriched_inferences")
    assert len(rows) == N
    assert [gap for _, gap in rows] == pytest.approx([expected[k] for k, _ in rows], rel=1e-12)


def test_a_build_with_artefacts_is_equal_to_a_rebuild(project: Folder, tmp_path: Path) -> None:
    fit(project, "recalibration", "--method", "platt")
    fit(project, "gap")
    project.build()
    other = tmp_path / "other"
    shutil.copytree(project.path, other, ignore=shutil.ignore_patterns(".workbench"))
    shutil.copytree(project.path / ".workbench/artefacts", other / ".workbench/artefacts")
    workbench.open(other).build()
    assert differences(project.path, other) == []


def test_an_artefact_of_another_score_is_not_applied(project: Folder) -> None:
    made = fit(project, "recalibration")
    text = (project.path / "workbench.toml").read_text()
    project.write("workbench.toml", text.replace('score = "p"', 'score = "other"'))
    before = project.status()["build"]
    with pytest.raises(DataError, match=f"{made['id']} was fitted where score was p; now") as error:
        project.build()
    assert "--drop" in str(error.value)
    assert project.status()["build"] == before
    assert at(project, "fit", "recalibration", "--drop").code == 0
    project.build()


def test_an_artefact_whose_column_is_gone_is_not_applied(
    project: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = artefact_kind(
        columns=("density",),
        fit=lambda rows, params: Fitted(state={}, n=1),
        needs=(),
        reads=("user",),
        apply=lambda rows, state: {"density": rows["user"]["age"]},
    )
    monkeypatch.setitem(artefacts._loaded, "lonely", kind)
    workbench.open(project.path).fit("lonely")
    with pytest.raises(DataError, match="reads the column 'user', which the build does not"):
        project.build()


def test_a_build_says_which_versions_an_artefact_has_not_seen(project: Folder) -> None:
    made = fit(project, "gap")
    new = inference(5_000, request_id="new", p=0.5, model_version="v2")
    project.write("logs/b.jsonl", lines([new]))
    done = at(project, "build")
    assert f"({made['id']}) was not fitted on model version 'v2'" in done.err
    assert at(project, "build").err.count("v2") == 0
    told = project.status()["artefacts"]["gap"]
    assert told["other_versions"] == ["v2"]
    # Of the first inferences 200 are later than the last labelled one.
    assert told["newer"] == N - LABELLED + 1
    assert told["fitted_to"] == made["fitted_to"]
    shown = at(project, "status").out.splitlines()
    assert shown[-1].split() == ["gap", made["id"], made["fitted_to"], str(told["newer"]), "v2"]


def by_row(column: str) -> ArtefactKind:
    """A kind whose value of each row is its score."""

    def fit_rows(rows: Rows, params: Any) -> Fitted:
        table = rows.execute(rows.table.select("request_id", "score"))
        return Fitted(state={}, n=len(table), table=table.rename_columns(["request_id", column]))

    return artefact_kind(columns=(column,), fit=fit_rows, needs=("score",))


def test_values_by_row_are_joined_and_new_rows_have_none(
    project: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(artefacts._loaded, "one", by_row("density"))
    monkeypatch.setitem(artefacts._loaded, "two", by_row("sample_weight"))
    handle = workbench.open(project.path)
    made = handle.fit("one", until="2026-03-01T00:05:00Z")
    assert handle.fit("one", until="2026-03-01T00:05:00Z")["id"] == made["id"]
    assert (project.path / f".workbench/artefacts/{made['id']}.parquet").is_file()
    handle.fit("two", where="score > 0.5")
    handle.build()
    rows = project.ask("SELECT score, density, sample_weight FROM enriched_inferences ORDER BY ts")
    assert len(rows) == N
    for place, (score, density, weight) in enumerate(rows):
        assert density == (score if place < 300 else None)
        assert weight == (score if score > 0.5 else None)


def test_an_artefact_of_a_part_says_nothing_of_the_rest(project: Folder) -> None:
    # `input` is a wide column, which only the lake has.
    where = "score > 0.3 AND input IS NULL -- the sure ones"
    made = fit(project, "recalibration", "--method", "temperature", "--where", where)
    fit(project, "gap", "--where", where)
    project.build()
    rows = project.ask("SELECT score, calibrated_p, calibration_gap FROM enriched_inferences")
    assert len(rows) == N
    for score, corrected, gap in rows:
        assert (corrected is not None) == (gap is not None) == (score > 0.3)
    (before, after) = json.loads(
        at(project, "metrics", "--calibrated", "--only", "ece", "--json").out
    )
    assert before["n"] == after["n"] == made["figures"]["held_out"][0]["after"]["n"]


def test_a_part_that_the_build_cannot_tell_is_said_in_words(project: Folder) -> None:
    config = (project.path / "workbench.toml").read_text()
    project.write("users.csv", "user_id,tier\nu1,gold\n")
    context = '[context.user]\nsource = "users.csv"\non = "user_id"\n'
    project.write("workbench.toml", config + context)
    project.build()
    made = fit(project, "gap", "--where", "user.tier IS NULL")
    project.write("workbench.toml", config)
    with pytest.raises(DataError, match=f"{made['id']} is for inferences where user.tier IS NULL"):
        project.build()


def test_without_clocks_half_of_the_ids_are_held_out(project: Folder, tmp_path: Path) -> None:
    config = (project.path / "workbench.toml").read_text()
    for source in ("logs", "events"):
        config = config.replace(f'"{source}"', f'"{source}"\nclock = "none"')
    other = Folder(tmp_path / "clockless")
    other.write("workbench.toml", config)
    for name in ("logs/a.jsonl", "events/a.jsonl"):
        rows = map(json.loads, (project.path / name).read_text().splitlines())
        other.write(name, lines({k: v for k, v in row.items() if k != "ts"} for row in rows))
    other.build()
    done = at(other, "fit", "recalibration")
    assert done.code == 0, done.err
    assert "md5(request_id" in done.err
    (made,) = json.loads(at(other, "fit", "--list", "--json").out)
    (row,) = made["figures"]["held_out"][:1]
    assert made["n"] + row["after"]["n"] == LABELLED
    assert abs(made["n"] - HALF) < 60


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["fit", "recalibraton"], 2, "Did you mean 'recalibration'?"),
        (["fit", "recalibration", "--method", "isotonik"], 2, "Did you mean 'isotonic'?"),
        (["fit", "gap", "--param", "bin=5"], 2, "Did you mean 'bins'?"),
        (["fit", "gap", "--param", "bins"], 2, "has no value"),
        (["fit", "gap", "--param", "bins=0"], 2, "Use at least 1"),
        (["fit", "gap", "--where", "scor > 0.5"], 1, "score"),
        (["fit", "gap", "--where", "score > 2"], 1, "no rows to fit gap on"),
        (["fit", "gap", "--until", "yesterday-ish"], 2, "is not a time"),
        (["fit", "gap", "--use", "gap-0"], 3, "There is no artefact 'gap-0'"),
        (["fit", "gap", "--use", "gap-0", "--drop"], 2, "exclude each other"),
        (["fit", "recalibration", "--until", "2026-03-01T00:00:00Z"], 1, "no rows to fit"),
        (["metrics", "--calibrated", "--only", "accuracy"], 2, "does not read the probability"),
        (["metrics", "--calibrated", "--fail-if", "ece > 0"], 2, "--calibrated"),
    ],
)
def test_what_is_wrong_is_said_in_words(
    built: Folder, arguments: list[str], code: int, words: str
) -> None:
    done = at(built, *arguments)
    assert (done.code, words in done.err) == (code, True), done.err


def test_an_artefact_of_another_kind_is_not_pinned(project: Folder) -> None:
    made = fit(project, "gap")
    done = at(project, "fit", "recalibration", "--use", made["id"])
    assert done.code == 2
    assert applying.pinned(load(project.path)) == {"gap": made["id"]}
