"""What a sampler is, and its written form."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from workbench.calls import checked_params, parse_call, write_call
from workbench.errors import ConfigError
from workbench.guide import Param
from workbench.registry import Registry

#: The uncertainty by which a sampler prefers rows.
UNCERTAINTY = Param(
    default="margin",
    about="Which uncertainty: 1 - (first - second probability), 1 - the first, Shannon's "
    "entropy, or the disagreement of an ensemble.",
    choices=("margin", "least_confidence", "entropy", "disagreement"),
)
POWER = Param(
    default=1.0,
    about="Exponent of the score: the higher, the more the draw keeps to the top.",
    minimum=0.0,
    maximum=20.0,
)
#: How far a draw follows its scores.
DRAW = {
    "floor": Param(
        default=0.01,
        about="Least size of a row as a share of the greatest: no row is out of reach.",
        minimum=0.0001,
        maximum=1.0,
    ),
    "scheme": Param(
        default="priority",
        about="priority draws by chance with known probabilities; sequential draws one row after "
        "the other in proportion to their sizes, with the weights of LURE; top takes the highest "
        "scores, whose inclusion probabilities and weights are NULL, for no weight can undo the "
        "choice.",
        choices=("priority", "sequential", "top"),
    ),
}
#: Ways to share a sample out between strata, each with the share of a stratum of `n_rows`, as SQL.
SHARES = {"equal": "1", "proportional": "n_rows", "square_root": "sqrt(n_rows)"}
#: Runs a query and returns its rows as an Arrow table.
Run = Callable[[str], Any]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How the rows of a relation are to be drawn, as SQL over its columns.

    Attributes
    ----------
    score
        Non-negative number by which rows are preferred; None where all are alike. Rows for which
        it is NULL, NaN or infinite cannot be drawn.
    by
        Expression whose values split the rows into strata, each drawn on its own; None for one.
    allocation
        How the sample is shared out between strata: one of `SHARES`.
    floor, power, scheme
        See `DRAW` and `POWER`.
    parts
        Plans of which this one is a mix, with their weights, in place of `score` and `by`: the size
        of a row is the weighted mean of what it is in each, as a share of the whole.
    fit
        What has to be computed of the rows before they can be drawn: from a way to run a query, the
        relation, the key and the number of rows to draw, the plan to draw by. It must not depend
        on the random numbers of the draw, or its probabilities would be wrong.
    """

    score: str | None = None
    by: str | None = None
    allocation: str = "proportional"
    floor: float = 0.01
    power: float = 1.0
    scheme: str = "priority"
    parts: tuple[tuple[float, Plan], ...] = ()
    fit: Callable[[Run, str, str, int | None], Plan] | None = None

    @property
    def expressions(self) -> tuple[str, ...]:
        """The expressions over the columns that the relation must be able to answer."""
        own = tuple(text for text in (self.by, self.score) if text)
        return own + tuple(text for _, part in self.parts for text in part.expressions)

    def fitted(self, run: Run, source: str, key: str, n: int | None) -> Plan:
        """The plan with all that had to be computed of the rows of `source`, see `fit`."""
        plan = self.fit(run, source, key, n) if self.fit else self
        parts = tuple((weight, part.fitted(run, source, key, n)) for weight, part in plan.parts)
        return replace(plan, parts=parts, fit=None)


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """A way to choose rows.

    Attributes
    ----------
    name
        Name of its file.
    about
        One sentence on when to choose it.
    params
        Parameters by name, with their defaults.
    plan
        From all parameters, how to draw.
    expressions
        Parameters that are SQL expressions over the columns, typed by a person.
    mixes
        Parameters that are weighted samplers, such as ``uncertainty: 0.5, uniform: 0.5``; `plan` is
        given pairs of a weight and a plan.
    """

    name: str
    about: str
    params: Mapping[str, Param] = field(default_factory=dict)
    plan: Callable[..., Plan]
    expressions: tuple[str, ...] = ()
    mixes: tuple[str, ...] = ()


samplers: Registry[Sampler] = Registry("workbench.samplers", "sampler", label="sampler")


@dataclass(frozen=True)
class SamplerCall:
    """A sampler with all of its parameters.

    Attributes
    ----------
    sampler
        The sampler.
    params
        Values by name, in the order of declaration.
    """

    sampler: Sampler
    params: Mapping[str, Any]

    def __str__(self) -> str:
        return write_call(self.sampler, self.params)

    def plan(self, checked: Callable[[str], str] = str) -> Plan:
        """How to draw; `checked` takes each SQL expression and returns what to use for it."""
        params = checked_params(self.params, self.sampler.expressions, checked)
        mixed = {name: _mix(self.params[name], checked) for name in self.sampler.mixes}
        return self.sampler.plan(**{**params, **mixed})


def _mix(text: str, checked: Callable[[str], str]) -> tuple[tuple[float, Plan], ...]:
    """Read weighted samplers: they are written like the inside of a Python dictionary."""
    wrong = ConfigError(
        f"{text.strip()!r} is no mix of samplers.",
        "Write samplers with weights, for example: uncertainty: 0.5, uniform: 0.5",
    )
    try:
        node = ast.parse(f"{{{text}}}", mode="eval").body
        pairs = [(k, ast.literal_eval(v)) for k, v in zip(node.keys, node.values, strict=True)]  # type: ignore[attr-defined]
    except (SyntaxError, ValueError, TypeError, AttributeError, RecursionError, MemoryError):
        raise wrong from None
    if not pairs:
        raise wrong
    parts = []
    for name, weight in pairs:
        if name is None or type(weight) not in (int, float) or not 0 < weight < float("inf"):
            raise wrong
        parts.append((float(weight), parse_sampler(ast.unparse(name)).plan(checked)))
    return tuple(parts)


def parse_sampler(text: str) -> SamplerCall:
    """Read a sampler such as ``uncertainty(score='entropy')`` and check its parameters.

    Raises
    ------
    ConfigError
        If the sampler, a parameter or a value is unknown.
    """
    example = "uncertainty(score='entropy')"
    return SamplerCall(*parse_call(text, samplers, noun="a sampler", example=example))
