"""Whether models know when they are wrong, on public data, out of the command line."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.cli import conftest as cli

pytestmark = [pytest.mark.real_data, pytest.mark.published]


def run(folder: Path, *arguments: str) -> Any:
    """The JSON that a command prints."""
    done = cli.run(*arguments, "--project", folder)
    assert done.code == 0, done.err
    return json.loads(done.out)


def project(folder: Path, config: str) -> Path:
    folder.mkdir()
    (folder / "workbench.toml").write_text(config, encoding="utf-8")
    run(folder, "build", "--json")
    return folder


@pytest.fixture(scope="module")
def cifar(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = (real_data / "cifar10_vgg_probs" / "cifar_probs.csv.gz").as_posix()
    listed = ", ".join(f"CAST(p{k} AS DOUBLE)" for k in range(10))
    return project(
        tmp_path_factory.mktemp("cifar") / "project",
        f"""
        [inferences]
        source = "{source}"
        clock = "none"
        classes = [{", ".join(f'"{k}"' for k in range(10))}]
        sql = '''
        SELECT *, list_max(probabilities) AS confidence,
               CAST(list_position(probabilities, list_max(probabilities)) - 1 AS VARCHAR)
               AS prediction
        FROM (SELECT source_file, source_row, CAST(idx AS VARCHAR) AS request_id,
                     [{listed}] AS probabilities FROM source)
        '''
        columns = {{ model_version = "'vgg'" }}

        [feedback]
        source = "{source}"
        clock = "none"
        sql = '''
        SELECT source_file, source_row, CAST(idx AS VARCHAR) AS request_id, 'truth' AS name,
               CAST(label AS VARCHAR) AS value FROM source
        '''
        [feedback.signals.truth]
        kind = "label"
        """,
    )


def test_the_least_confident_tenth_holds_most_errors(cifar: Path) -> None:
    calls = [f"error_capture_rate(share=0.1, score='{name}')" for name in ("margin", "entropy")]
    rows = run(cifar, "metrics", "--json", "--only", ",".join(["error_capture_rate", *calls]))
    assert [round(100 * row["value"], 1) for row in rows] == [64.9, 64.6, 65.1]
    assert all(row["n"] == 10_000 and row["low"] > 0.6 and row["high"] < 0.7 for row in rows)
    (count,) = run(
        cifar, "sql", "SELECT count(*) AS n FROM enriched_inferences WHERE NOT correct", "--format",
        "json",
    )  # fmt: skip
    assert count == {"n": 641}


def test_doubt_detects_errors_as_scikit_learn_counts_it(cifar: Path, real_data: Path) -> None:
    import numpy as np
    from sklearn.metrics import roc_auc_score

    raw = np.loadtxt(
        real_data / "cifar10_vgg_probs" / "cifar_probs.csv.gz", delimiter=",", skiprows=1
    )
    p, label = raw[:, 1:11], raw[:, 11]
    (row,) = run(cifar, "metrics", "--json", "--only", "error_detection_auroc")
    expected = roc_auc_score(p.argmax(axis=1) != label, 1 - p.max(axis=1))
    assert row["value"] == pytest.approx(expected, abs=1e-12)
    assert row["low"] < expected < row["high"]


def test_few_labels_of_the_test_set_are_suspected(cifar: Path) -> None:
    """298, as cleanlab finds in the same file; tests/oracles compares which."""
    (row,) = run(cifar, "metrics", "--json", "--only", "label_issue_rate")
    assert (round(row["value"] * 10_000), row["n"]) == (298, 10_000)


@pytest.mark.parametrize(
    ("pair", "pearson"), [("ro-en", 0.6470), ("en-de", 0.2084)], ids=["ro-en", "en-de"]
)
def test_log_probabilities_of_a_translator_follow_its_readers(
    real_data: Path, tmp_path: Path, pair: str, pearson: float
) -> None:
    with tarfile.open(real_data / "mlqe_pe" / f"da_{pair}_test20.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    short = pair.replace("-", "")
    table = tmp_path / pair / f"test20.{short}.df.short.tsv"
    words = tmp_path / pair / "word-probas" / f"word_probas.test20.{short}"
    tokens = tmp_path / "tokens.parquet"
    duckdb.sql(
        f"SELECT row_number() OVER () - 1 AS nth, "
        f"list_transform(string_split(trim(line), ' '), lambda t: CAST(t AS DOUBLE)) AS logprobs "
        f"FROM read_csv('{words}', columns = {{'line': 'VARCHAR'}}, delim = '\\0', quote = '', "
        "header = false)"
    ).write_parquet(str(tokens))
    rated = tmp_path / "rated.parquet"
    duckdb.sql(
        "SELECT CAST(d.index AS VARCHAR) AS request_id, translation, mean, z_mean, model_scores, "
        f"logprobs FROM read_csv('{table}', delim = '\\t', quote = '', header = true) d "
        f"JOIN '{tokens}' t ON d.index = t.nth ORDER BY d.index"
    ).write_parquet(str(rated))
    folder = project(
        tmp_path / "project",
        f"""
        [inferences]
        source = "{rated}"
        clock = "none"
        columns = {{ model_version = "'{pair}'",
          output = "translation", token_logprobs = "logprobs",
          scores = "[{{'name': 'model', 'value': model_scores}}]" }}

        [feedback]
        source = "{rated}"
        clock = "none"
        columns = {{ name = "'adequacy'", value = "mean" }}
        [feedback.signals.adequacy]
        kind = "rating"
        scale = [0, 100]

        [context.readers]
        source = "{rated}"
        join = "lookup"
        on = "request_id"
        columns = ["z_mean"]
        """.replace(",\n          ", ", "),
    )
    (found,) = run(
        folder,
        "sql",
        "SELECT count(reward) AS n, corr(scores[1].value, readers.z_mean) AS pearson, "
        "corr(mean_logprob, scores[1].value) AS same, "
        "max(abs(perplexity - exp(-mean_logprob))) AS off FROM enriched_inferences",
        "--format",
        "json",
    )
    assert found["n"] == 1000
    assert round(found["pearson"], 4) == pearson
    assert found["same"] > 0.99
    assert found["off"] < 1e-9
