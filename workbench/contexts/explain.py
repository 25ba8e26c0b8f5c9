"""Feature attributions (SHAP values) of a scikit-learn model, computed for each inference.

The model is a file that joblib reads. Reading it runs code that is in it: use your own files only.
The ``shap`` package does the work (``pip install 'feedback-workbench[explain]'``), exactly for
linear models and trees, in the units of the model's own margin (log-odds) where it has one, else of
the probability of its second class or of its predicted value.

Results are kept by model and row, so a row is explained once. The struct has ``base`` (the mean
output over the background), ``output`` (the model's own, for this row), ``units``, ``error`` =
``|base + sum of attributions - output|``, ``top`` (the feature of the largest attribution by
size), and ``attributions``: structs of ``feature``, ``value`` and ``attribution`` in the model's
order. The report tells the largest error and the number of rows beyond 1e-6 (Lundberg and Lee 2017,
local accuracy).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq

from workbench.contexts import (
    ContextJoin,
    Inputs,
    JoinSpec,
    Option,
    age_column,
    known_column,
    reason_column,
)
from workbench.errors import ConfigError, DataError

#: Greatest additivity error of a row that is not counted.
TOLERANCE = 1e-6
_BATCH = 5_000
_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("base", pa.float64()),
        ("output", pa.float64()),
        ("units", pa.string()),
        ("error", pa.float64()),
        ("top", pa.string()),
        (
            "attributions",
            pa.list_(
                pa.struct(
                    [
                        ("feature", pa.string()),
                        ("value", pa.float64()),
                        ("attribution", pa.float64()),
                    ]
                )
            ),
        ),
    ]
)


def _key(features: ir.StructValue) -> ir.StringValue:
    """Identity of a row: the md5 of all of its features."""
    parts = [
        ibis.coalesce(features[name].cast("string"), ibis.literal("\x1e"))
        for name in features.type().names
    ]
    return ibis.literal("\x1f").join(parts).hexdigest("md5")


def _explain(inferences: ir.Table, _: ir.Table, spec: JoinSpec) -> ir.Table:
    assert spec.computed is not None
    found = spec.computed
    fields = [name for name in _SCHEMA.names if name != "key"]
    packed = found.select(__key=found["key"], __made=ibis.struct({n: found[n] for n in fields}))
    keyed = inferences.mutate(__asked=_key(inferences["features"]))
    joined = keyed.left_join(packed, keyed["__asked"] == packed["__key"])
    return joined.mutate(
        **{
            spec.name: joined["__made"],
            age_column(spec.name): ibis.null("float64"),
            reason_column(spec.name): ibis.ifelse(
                joined["__key"].notnull(), ibis.null("string"), "missing_features"
            ),
            known_column(spec.name): ibis.null(inferences["ts"].type()),
        }
    ).drop("__asked", "__key", "__made")


def _compute(inputs: Inputs) -> pa.Table:
    """The explanation of each distinct row of features; what was explained before is read."""
    place = f"[context.{inputs.spec.name}]"
    path = inputs.root / str(inputs.spec.options["model"])
    if not path.is_file():
        raise ConfigError(
            f"{place} model = {str(inputs.spec.options['model'])!r}: there is no such file.",
            "Write the path of a joblib file, relative to the project.",
        )
    features = inputs.inferences["features"]
    if not isinstance(features, ir.StructValue):
        raise ConfigError(
            f"{place} explains features, but none are configured.",
            "Name them with their types in [inferences.features].",
        )
    count = int(inputs.spec.options["background"])
    known = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    folder = inputs.folder / f"{known}-{count}"
    asked = inputs.inferences.filter(features.notnull())
    rows = asked.select(key=_key(asked["features"]), features=asked["features"])
    rows = rows.filter(rows["key"].notnull()).distinct()
    done = _read(folder)
    have = set(done["key"].to_pylist())
    new = _missing(inputs.stream(rows, _BATCH), have)
    if new:
        done = pa.concat_tables([done, _made(path, folder, new, count, place)])
    return done


def _read(folder: Path) -> pa.Table:
    parts = [pq.read_table(part, schema=_SCHEMA) for part in sorted(folder.glob("part-*.parquet"))]
    return pa.concat_tables([_SCHEMA.empty_table(), *parts])


def _missing(batches: Iterator[pa.RecordBatch], have: set[str]) -> list[pa.Table]:
    """The rows that were not explained yet."""
    import pyarrow.compute as pc

    known = pa.array(sorted(have), pa.string())
    left = []
    for batch in batches:
        kept = batch.filter(pc.invert(pc.is_in(batch["key"], value_set=known)))
        if kept.num_rows:
            left.append(pa.Table.from_batches([kept]))
    return left


def _made(path: Path, folder: Path, new: list[pa.Table], count: int, place: str) -> pa.Table:
    """Explain new rows and keep the result; the background is chosen once for a model."""
    import joblib
    import numpy as np

    model = joblib.load(path)
    # One order, so that the background does not depend on that of the files.
    rows = pa.concat_tables(new).sort_by("key")
    fields = [field.name for field in rows.schema.field("features").type]
    names = _names(model, fields, place)
    values = np.column_stack([_numbers(rows, name, place) for name in names])
    usable = ~np.isnan(values).any(axis=1)
    rows, values = rows.filter(pa.array(usable)), values[usable]
    if not len(values):
        return _SCHEMA.empty_table()
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "background.parquet"
    if kept.is_file():
        table = pq.read_table(kept)
        background = np.column_stack([table[name].to_numpy() for name in table.column_names])
    else:
        background = values[:count]
        columns = {f"f{n}": background[:, n] for n in range(background.shape[1])}
        pq.write_table(pa.table(columns), kept)
    base, shares, output, units = _shares(model, background, values, names)
    error = np.abs(base + shares.sum(axis=1) - output)
    top = np.asarray(names, dtype=object)[np.abs(shares).argmax(axis=1)]
    flat = pa.StructArray.from_arrays(
        [
            pa.array(list(names) * len(values), pa.string()),
            pa.array(values.ravel()),
            pa.array(shares.ravel()),
        ],
        fields=list(_SCHEMA.field("attributions").type.value_type),
    )
    offsets = pa.array(np.arange(0, len(flat) + 1, len(names)), pa.int32())
    made = pa.table(
        [
            rows["key"],
            pa.array(np.broadcast_to(base, len(values))),
            pa.array(output),
            pa.array([units] * len(values)),
            pa.array(error),
            pa.array(top, pa.string()),
            pa.ListArray.from_arrays(offsets, flat),
        ],
        schema=_SCHEMA,
    )
    part = folder / f"part-{len(list(folder.glob('part-*.parquet'))):06d}.parquet"
    unfinished = part.with_suffix(".unfinished")
    pq.write_table(made, unfinished)
    unfinished.replace(part)
    return made


def _names(model: Any, fields: Sequence[str], place: str) -> list[str]:
    """The features that the model takes, in its order."""
    names = [str(name) for name in getattr(model, "feature_names_in_", fields)]
    missing = [name for name in names if name not in fields]
    if missing:
        raise ConfigError(
            f"{place} the model takes features that are not configured: {', '.join(missing)}.",
            f"Name them in [inferences.features]; configured are: {', '.join(fields)}.",
        )
    taken = getattr(model, "n_features_in_", len(names))
    if taken != len(names):
        raise ConfigError(
            f"{place} the model takes {taken} features, but {len(names)} are configured.",
            "Train it on a data frame, so that it knows their names.",
        )
    return names


def _numbers(rows: pa.Table, name: str, place: str) -> Any:
    import numpy as np
    import pyarrow.compute as pc

    column = pc.struct_field(rows["features"].combine_chunks(), name)
    kind = column.type
    if not (pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise ConfigError(
            f"{place} the feature {name!r} is {kind}, not a number.",
            "Explain a model that takes numbers, with the encoding done before it is logged.",
        )
    return np.asarray(pc.fill_null(column.cast(pa.float64()), float("nan")))


def _shares(model: Any, background: Any, values: Any, names: Sequence[str]) -> Any:
    """Base, attributions, the model's own output, and its units."""
    import numpy as np

    try:
        import shap
    except ImportError as error:
        raise ConfigError(
            "Explaining a model needs the package shap, which is not installed.",
            "Install it with: pip install 'feedback-workbench[explain]'",
        ) from error
    from sklearn.base import is_classifier

    classes = len(getattr(model, "classes_", ()))
    if is_classifier(model) and classes != 2:
        raise DataError(
            f"The model tells {classes} classes apart; explanations are of two, or of a number.",
            "Explain one class against the rest.",
        )

    def frame(rows: Any) -> Any:
        if not hasattr(model, "feature_names_in_"):
            return rows
        import pyarrow as arrow

        columns = {name: rows[:, place] for place, name in enumerate(names)}
        return arrow.table(columns).to_pandas()

    def own(rows: Any) -> Any:
        if not is_classifier(model):
            return model.predict(frame(rows))
        return model.predict_proba(frame(rows))[:, 1]

    kind = type(model).__module__
    if hasattr(model, "coef_") and hasattr(model, "decision_function"):
        explainer = shap.LinearExplainer(model, background)
        found = explainer(values)
        return _parts(found, model.decision_function(frame(values)), "log_odds")
    if hasattr(model, "coef_"):
        return _parts(shap.LinearExplainer(model, background)(values), own(values), "value")
    if kind.startswith(("sklearn.ensemble", "sklearn.tree")):
        found = shap.TreeExplainer(model, background)(values, check_additivity=False)
        if is_classifier(model) and hasattr(model, "decision_function"):
            return _parts(found, np.ravel(model.decision_function(frame(values))), "log_odds")
        return _parts(found, own(values), "probability" if is_classifier(model) else "value")
    found = shap.explainers.Permutation(own, background, seed=0)(
        values, max_evals=2 * values.shape[1] + 1
    )
    return _parts(found, own(values), "probability" if is_classifier(model) else "value")


def _parts(found: Any, output: Any, units: str) -> Any:
    import numpy as np

    shares, base = np.asarray(found.values, float), np.asarray(found.base_values, float)
    if shares.ndim == 3:
        # One layer per class: the second one is the class that is explained.
        shares, base = shares[:, :, -1], base[..., -1]
    return np.ravel(base), shares, np.asarray(output, float), units


def _figures(_: ir.Table, spec: JoinSpec) -> ir.Table | None:
    if spec.computed is None:
        return None
    error = spec.computed["error"]
    return spec.computed.agg(
        explained=spec.computed.count(),
        largest_error=error.max(),
        not_additive=(error > TOLERANCE).cast("int64").sum().cast("int64"),
    )


context_join = ContextJoin(
    join=_explain,
    options=(
        Option(
            name="model",
            kind="text",
            required=True,
            meaning="path of a joblib file of a fitted estimator, relative to the project",
        ),
        Option(
            name="background",
            kind="count",
            default=100,
            meaning="rows that stand for the population; chosen once for a model",
        ),
    ),
    keys="none",
    source="none",
    columns="none",
    reads=lambda _: ("features",),
    figures=_figures,
    compute=_compute,
)
