"""What a sampler is, and its written form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from workbench import guide
from workbench.calls import read_call
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
        about="priority draws by chance with known probabilities; top takes the highest scores, "
        "whose inclusion probabilities and weights are NULL, for no weight can undo the choice.",
        choices=("priority", "top"),
    ),
}
#: Ways to share a sample out between strata, each with the share of a stratum of `n_rows`, as SQL.
SHARES = {"equal": "1", "proportional": "n_rows", "square_root": "sqrt(n_rows)"}


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
    """

    score: str | None = None
    by: str | None = None
    allocation: str = "proportional"
    floor: float = 0.01
    power: float = 1.0
    scheme: str = "priority"


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
    """

    name: str
    about: str
    params: Mapping[str, Param] = field(default_factory=dict)
    plan: Callable[..., Plan]
    expressions: tuple[str, ...] = ()


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
        changed = ", ".join(
            f"{name}={value!r}"
            for name, value in self.params.items()
            if value != self.sampler.params[name].default
        )
        return f"{self.sampler.name}({changed})" if changed else self.sampler.name

    def plan(self, checked: Callable[[str], str] = str) -> Plan:
        """How to draw; `checked` takes each SQL expression and returns what to use for it."""
        typed = {
            name: checked(text)
            for name in self.sampler.expressions
            if (text := str(self.params[name])).strip()
        }
        return self.sampler.plan(**{**self.params, **typed})


def parse_sampler(text: str) -> SamplerCall:
    """Read a sampler such as ``uncertainty(score='entropy')`` and check its parameters.

    Raises
    ------
    ConfigError
        If the sampler, a parameter or a value is unknown.
    """
    sampler, given = read_call(
        text, samplers, noun="a sampler", example="uncertainty(score='entropy')"
    )
    return SamplerCall(sampler, guide.check_params(sampler.name, sampler.params, given))
