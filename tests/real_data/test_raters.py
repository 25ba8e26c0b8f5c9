"""Agreement of raters on public data, out of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real_data.test_uncertainty import project, run

pytestmark = [pytest.mark.real_data, pytest.mark.published]


def pandalm(real_data: Path, folder: Path, judge: str, predictions: dict[str, str]) -> Path:
    """999 pairs of answers that three people compared, and a model: 0 a tie, else which is better.

    Predictions are SQL over the file of the judge, by the model version that they go under.
    """
    raw = (real_data / "pandalm").as_posix()
    listed = ", ".join(predictions.values())
    names = ", ".join(f"'{name}'" for name in predictions)
    n = len(predictions)
    return project(
        folder,
        f"""
        [inferences]
        source = "{raw}/{judge}"
        format = "jsonl"
        clock = "none"
        sql = '''
        SELECT source_file, source_row * {n} + v AS source_row, [{names}][v] AS model_version,
               idx || ' ' || v AS request_id, [{listed}][v] AS prediction
        FROM source, range(1, {n + 1}) AS versions(v)
        '''

        [feedback]
        source = "{raw}/testset-v1.json.gz"
        format = "jsonl"
        clock = "none"
        sql = '''
        SELECT source_file, source_row * {3 * n} + r * {n} + v AS source_row,
               idx || ' ' || v AS request_id, 'better' AS name, 'annotator ' || r AS rater_id,
               CAST([annotator1, annotator2, annotator3][r] AS VARCHAR) AS value
        FROM source, range(1, 4) AS raters(r), range(1, {n + 1}) AS versions(v)
        '''
        [feedback.signals.better]
        kind = "label"
        [labels]
        policy = "majority"
        """,
    )


def test_people_and_pandalm_compare_answers(
    real_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = pandalm(
        real_data,
        tmp_path_factory.mktemp("pandalm") / "project",
        "pandalm-7b-testset-v1.json.gz",
        {"pandalm-7b": "CAST(pandalm_result AS VARCHAR)"},
    )
    rows = run(folder, "metrics", "--agreement", "--json")
    values = {
        (row["metric"], row["by"].get("rater_a"), row["by"].get("rater_b")): row for row in rows
    }
    cohen = {
        f"{a} {b}": round(row["value"], 4)
        for (name, a, b), row in values.items()
        if "cohen" in name
    }
    assert cohen == {
        "annotator 1 annotator 2": 0.8520,
        "annotator 1 annotator 3": 0.8789,
        "annotator 2 annotator 3": 0.8617,
    }
    assert round(values["fleiss_kappa", None, None]["value"], 4) == 0.8642
    assert round(values["krippendorff_alpha(level='nominal')", None, None]["value"], 4) == 0.8642
    for row in rows:
        assert row["low"] < row["value"] < row["high"]
        assert (row["n"], row["n_labelled"], row["reason"]) == (999, 999, None)
    labels = run(
        folder, "sql", "SELECT label, count(*) AS n FROM labels GROUP BY 1 ORDER BY 1", "--format",
        "json",
    )  # fmt: skip
    assert [row["n"] for row in labels] == [105, 422, 472]
    (accuracy,) = run(folder, "metrics", "--only", "accuracy", "--json")
    assert (round(accuracy["value"], 4), accuracy["n"]) == (0.6677, 999)
    (row,) = [row for row in run(folder, "metrics", "--policies", "--json") if row["configured"]]
    assert (row["policy"], row["n_labelled"], row["n_changed"]) == ("majority", 999, 0)


def test_gpt_35_with_its_garbage_as_ties_as_wrong_and_dropped(
    real_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    said = "CASE gpt_result WHEN 'Tie' THEN '0' WHEN 'garbage' THEN {} ELSE gpt_result END"
    folder = pandalm(
        real_data,
        tmp_path_factory.mktemp("gpt") / "project",
        "gpt-3.5-turbo-testset-v1.json.gz",
        {
            "ties": said.format("'0'"),
            "wrong": said.format("'garbage'"),
            "dropped": said.format("NULL"),
        },
    )
    rows = run(folder, "metrics", "--only", "accuracy", "--by", "model_version", "--json")
    found = {row["by"]["model_version"]: (round(row["value"], 4), row["n"]) for row in rows}
    assert found == {"ties": (0.7107, 999), "wrong": (0.6977, 999), "dropped": (0.7156, 974)}


def test_the_worked_table_of_krippendorff(
    real_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Twelve units, four coders, values missing (Krippendorff 2011)."""
    source = (real_data / "rating_goldens" / "krippendorff_codings.csv").as_posix()
    folder = tmp_path_factory.mktemp("krippendorff")
    coders = Path(source).read_text(encoding="utf-8").split()
    for kind, rows in (
        ("units", [f"u{u}" for u in range(12)]),
        (
            "codings",
            [
                f"u{u},coder {c},{value}"
                for c, line in enumerate(coders)
                for u, value in enumerate(line.split(","))
                if value
            ],
        ),
    ):
        head = {"units": "request_id", "codings": "request_id,rater_id,value"}[kind]
        (folder / f"{kind}.csv").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    made = project(
        folder / "project",
        f"""
        [inferences]
        source = "{folder.as_posix()}/units.csv"
        clock = "none"
        columns = {{ model_version = "'none'" }}
        [feedback]
        source = "{folder.as_posix()}/codings.csv"
        clock = "none"
        columns = {{ name = "'code'" }}
        [feedback.signals.code]
        kind = "rating"
        scale = [1, 5]
        """,
    )
    rows = run(made, "metrics", "--agreement", "--json")
    found = {row["metric"]: row for row in rows}
    levels = ("nominal", "ordinal", "interval", "ratio")
    alphas = [found[f"krippendorff_alpha(level='{level}')"] for level in levels]
    expected = [904 / 1216, 0.815388, 0.849107, 0.797403]
    assert [row["value"] for row in alphas] == pytest.approx(expected, abs=5e-7)
    assert alphas[0]["value"] == pytest.approx(904 / 1216, rel=1e-12)
    for row in alphas:
        assert (row["n"], row["n_labelled"], row["n_raters"]) == (11, 12, 4)
        assert row["low"] < row["value"] < row["high"]
