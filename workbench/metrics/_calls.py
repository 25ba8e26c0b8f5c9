"""The written form of a metric: ``ece`` or ``ece(bins=20, bin_rule='guo')``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from workbench import guide
from workbench.calls import read_call
from workbench.errors import ConfigError, suggest
from workbench.metrics._metric import metrics


@dataclass(frozen=True)
class MetricCall:
    """A metric with the parameters that were given; the others have their defaults.

    Parameters
    ----------
    name
        Name of a registered metric.
    params
        Given parameters by name.
    """

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.params.items())
        return f"{self.name}({given})" if given else self.name

    def __hash__(self) -> int:
        return hash((self.name, frozenset(self.params)))


def split_calls(text: str) -> list[str]:
    """Split a list of metrics at its commas, but not at those in brackets or quotes.

    Parameters
    ----------
    text
        For example ``accuracy,ece(bins=20, bin_rule='guo')``.

    Returns
    -------
    list of str
        The parts without outer blanks; empty ones are left out.
    """
    parts: list[str] = []
    start, depth, quote = 0, 0, ""
    for position, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == "," and depth <= 0:
            parts.append(text[start:position])
            start = position + 1
    parts.append(text[start:])
    return [part.strip() for part in parts if part.strip()]


def parse_call(text: str) -> MetricCall:
    """Read one metric with its parameters and check both.

    Parameters
    ----------
    text
        For example ``ece(bins=20, bin_rule='guo')``.

    Returns
    -------
    MetricCall
        With the given parameters in the order in which the metric declares them.

    Raises
    ------
    ConfigError
        If the text is no such call, or the metric, a parameter or a value is unknown.
    """
    metric, params = read_call(
        text, metrics, noun="a metric", example="ece(bins=20, bin_rule='guo')"
    )
    call = MetricCall(metric.name, params)
    check_params(call)
    return MetricCall(metric.name, {name: params[name] for name in metric.params if name in params})


def parse_calls(texts: Iterable[str]) -> list[MetricCall]:
    """Read lists of metrics, each as `split_calls` takes it; repeated ones are read once.

    Parameters
    ----------
    texts
        For example the values of a repeated option.

    Returns
    -------
    list of MetricCall
        In the order in which they were written.

    Raises
    ------
    ConfigError
        If a text names no metric, or an unknown one.
    """
    calls: dict[MetricCall, None] = {}
    for text in texts:
        parts = split_calls(text)
        if not parts:
            raise ConfigError("A list of metrics is empty.", suggest("", metrics.names()))
        calls.update(dict.fromkeys(parse_call(part) for part in parts))
    return list(calls)


def check_params(call: MetricCall) -> dict[str, Any]:
    """All parameters of a call, with the defaults of those that were not given.

    Parameters
    ----------
    call
        A metric and its given parameters.

    Returns
    -------
    dict
        Values by name, in the order of declaration.

    Raises
    ------
    ConfigError
        If the metric, a parameter or a value is unknown.
    """
    metric = metrics.get(call.name)
    return guide.check_params(metric.name, metric.params, call.params)


def expressions(call: MetricCall) -> list[str]:
    """The SQL expressions among the parameters of a call."""
    metric = metrics.get(call.name)
    given = ((name, call.params.get(name)) for name in metric.expressions)
    return [text for name, text in given if text not in (None, metric.params[name].default)]
