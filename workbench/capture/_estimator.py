"""An estimator of scikit-learn's kind whose predictions are logged, one row per sample."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Sequence
from typing import Any

from workbench.capture._context import current
from workbench.capture._copies import copied
from workbench.capture._ids import new_id
from workbench.capture._log import Log


def estimator(model: Any, log: Log, /, version: str, **columns: Any) -> Any:
    """Wrap a fitted estimator so that its predictions are logged.

    Parameters
    ----------
    model
        Anything with ``predict``, ``predict_proba`` or both.
    log
        Where to.
    version
        The ``model_version``.
    **columns
        Columns of every row.

    Returns
    -------
    Estimator
        It answers as the model does, and has all its other attributes. ``predict`` logs features
        and prediction. ``predict_proba`` logs features, probabilities, the most probable class as
        prediction, its probability as ``confidence``, and with two classes the probability of the
        second one as ``score``. Both take ``request_ids``, one per sample, which feedback can then
        name.
    """
    return Estimator(model, log, {"model_version": version, **columns})


class Estimator:
    """What `estimator` returns."""

    def __init__(self, model: Any, log: Log, columns: dict[str, Any]) -> None:
        self._model = model
        self._log = log
        self._columns = columns

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # while it is being copied it has no model yet
            raise AttributeError(name)
        found = getattr(self._model, name)
        if name not in ("predict", "predict_proba"):
            return found

        @functools.wraps(found)
        def logged(
            X: Any,  # noqa: N803 - the name that everybody passes it by
            *arguments: Any,
            request_ids: Sequence[str] | None = None,
            **named: Any,
        ) -> Any:
            began = time.perf_counter()
            result = found(X, *arguments, **named)
            if name == "predict":
                self._put(X, request_ids, result, None, began)
            else:
                self._put(X, request_ids, None, result, began)
            return result

        return logged

    def _put(
        self,
        samples: Any,
        request_ids: Sequence[str] | None,
        predictions: Any,
        probabilities: Any,
        began: float,
    ) -> None:
        """Hand in one batch; its rows are made on the writer's thread."""
        try:
            ts, took = time.time_ns(), (time.perf_counter() - began) * 1000
            n = int(samples.shape[0]) if hasattr(samples, "shape") else len(samples)
            request, single = current.get(), {}
            if request is not None:
                single = {"trace_id": request.trace_id, **request.columns}
                if n == 1 and request_ids is None:
                    request_id, single["parent_id"] = request.take()
                    request_ids = [request_id]
            shared = {"ts": ts, "latency_ms": round(took / n, 6), **single, **self._columns}
            ids = list(request_ids) if request_ids is not None else None
            kept = copied(samples), copied(predictions), copied(probabilities)
            model = self._model

            def rows() -> Iterator[dict[str, Any]]:
                features, predicted, shares = _records(kept[0], model), kept[1], kept[2]
                classes = getattr(model, "classes_", None)
                outcome = _probable(shares, classes) if shares is not None else _plain(predicted)
                for i, (values, found) in enumerate(zip(features, outcome, strict=True)):
                    own = found if shares is not None else {"prediction": found}
                    request_id = ids[i] if ids is not None else new_id()
                    yield {**shared, "request_id": request_id, "features": values, **own}

            self._log.put_rows(0, rows, n)
        except Exception as error:  # noqa: BLE001 - logging may never break the prediction
            self._log.failed(error)


def _records(samples: Any, model: Any) -> Iterator[dict[str, Any]]:
    """The features of each sample by name."""
    if hasattr(samples, "columns"):
        names = [str(name) for name in samples.columns]
        values: Iterator[Sequence[Any]]
        values = zip(*(samples[name].to_list() for name in samples.columns), strict=True)
    else:
        if hasattr(samples, "toarray"):
            samples = samples.toarray()
        table = samples.tolist() if hasattr(samples, "tolist") else list(samples)
        known = getattr(model, "feature_names_in_", None)
        width = len(table[0]) if table and isinstance(table[0], (list, tuple)) else 1
        names = [str(name) for name in known] if known is not None else []
        names = names or [f"x{i}" for i in range(width)]
        values = (row if isinstance(row, (list, tuple)) else [row] for row in table)
    return (dict(zip(names, row, strict=True)) for row in values)


def _probable(probabilities: Any, classes: Any) -> Iterator[dict[str, Any]]:
    """Columns of each sample from its probabilities."""
    named = _plain(classes) if classes is not None else None
    for shares in _plain(probabilities):
        best = max(range(len(shares)), key=shares.__getitem__)
        found = {
            "probabilities": shares,
            "prediction": named[best] if named is not None else best,
            "confidence": shares[best],
        }
        if len(shares) == 2:
            found["score"] = shares[1]
        yield found


def _plain(values: Any) -> list[Any]:
    found: list[Any] = values.tolist() if hasattr(values, "tolist") else list(values)
    return found
