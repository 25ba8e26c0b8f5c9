"""What a training format is, and its written form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from workbench.calls import checked_params, parse_call, write_call
from workbench.errors import ConfigError, suggest
from workbench.guide import Param
from workbench.registry import Registry

#: What an example teaches: the label, what the model predicted, or nothing.
TARGETS = ("label", "prediction", "none")
#: When an answer counts as good.
GOOD = Param(
    default="positive",
    about="SQL condition over the columns of enriched_inferences under which an answer is good; "
    "where it is NULL there is no example.",
)
STYLE = Param(
    default="messages",
    about="messages: lists of role and content. text: plain texts.",
    choices=("messages", "text"),
)


@dataclass(frozen=True, kw_only=True)
class TrainingFormat:
    """A kind of training example, written as SQL over the relations of a compile.

    Those relations are

    ``records``
        The inferences of the slice, one row each, with the narrow columns of
        ``enriched_inferences`` and ``feedback_ids`` (of its deciding events), ``label_ts`` (when
        the last of them happened), ``prompt_key``, ``prompt_length``, ``answer_key``,
        ``answer_length`` (of its texts; NULL where `texts` is false).
    ``events``
        Their events that were not withdrawn, with the columns of ``enriched_feedback``, and of a
        correction ``answer_key`` and ``answer_length``.
    ``texts``, ``corrections``
        The wide columns by ``request_id``, and ``corrected_output`` by ``feedback_id``; masked.

    Protected columns are in none of them unless the slice names them.

    Attributes
    ----------
    name
        Name of its file.
    about
        One sentence on what it is for.
    params
        Parameters by name, with their defaults.
    expressions
        Parameters that are SQL expressions over ``records``, typed by a person.
    targets
        Which of `TARGETS` it can teach; the first is the default.
    texts
        Whether its candidates depend on prompts and answers.
    pairs
        Whether an example compares two answers.
    candidates
        From all parameters and ``target``, a query of every example that there could be:
        ``example_id`` (never made of a label, so that a changed label is the same example),
        ``request_id``, ``other_id``, ``feedback_ids``, ``label``, ``label_ts``, ``strength``,
        ``source``, and ``reason``: why it cannot be one, else NULL.
    payload
        From the name of a relation with those columns, and all parameters, ``target`` and
        ``columns`` (the names in ``texts`` and ``records``), a query of ``example_id`` and the
        columns of the format.
    schema
        Columns of `payload` and what each is; ``*`` stands for columns that depend on the slice.
    asked
        From all parameters, what is asked and what is answered: two SQL texts over the columns of
        `payload`. By them duplicates are found and secrets looked for.
    """

    name: str
    about: str
    params: Mapping[str, Param] = field(default_factory=dict)
    expressions: tuple[str, ...] = ()
    targets: tuple[str, ...] = ("label",)
    texts: bool = False
    pairs: bool = False
    candidates: Callable[..., str]
    payload: Callable[..., str]
    schema: Mapping[str, str]
    asked: Callable[..., tuple[str, str]]


training_formats: Registry[TrainingFormat] = Registry(
    "workbench.training_formats", "training_format", label="training format"
)


@dataclass(frozen=True)
class FormatCall:
    """A training format with all of its parameters.

    Attributes
    ----------
    format
        The training format.
    params
        Values by name, in the order of declaration.
    """

    format: TrainingFormat
    params: Mapping[str, Any]

    def __str__(self) -> str:
        return write_call(self.format, self.params)

    def target(self, wanted: str | None) -> str:
        """What to teach: `wanted`, or the first that the format can.

        Raises
        ------
        ConfigError
            If the format cannot teach it.
        """
        if wanted and wanted not in self.format.targets:
            raise ConfigError(
                f"{self.format.name} cannot have the target {wanted!r}.",
                suggest(wanted, self.format.targets),
            )
        return wanted or self.format.targets[0]

    def checked(self, check: Callable[[str], str] = str) -> dict[str, Any]:
        """All parameters; `check` takes each SQL expression and returns what to use for it."""
        return checked_params(self.params, self.format.expressions, check)


def parse_training_format(text: str) -> FormatCall:
    """Read a training format such as ``kto(good='reward >= 0.75')`` and check its parameters.

    Raises
    ------
    ConfigError
        If the format, a parameter or a value is unknown.
    """
    example = "kto(good='reward >= 0.75')"
    return FormatCall(
        *parse_call(text, training_formats, noun="a training format", example=example)
    )
