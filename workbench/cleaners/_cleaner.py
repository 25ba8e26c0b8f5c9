"""What a cleaner is, and its written form.

Cleaners read two relations. ``examples`` has one row per candidate: ``example_id`` (unique),
``request_id``, ``ts`` (of the inference), ``user_id``, ``rater_id``, ``label_ts`` (when it was
judged), ``prompt``, ``answer`` and ``label`` (the target as text); all but the first two may be
NULL. Of a pair, ``answer`` is the text of both sides in an order that does not depend on which was
chosen, and ``label`` says which was. ``records`` has one row per ``request_id`` with all columns of
``enriched_inferences``.

An example without a prompt is known too little to be like another: no cleaner compares it, unless
it is told to look at answers alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from workbench.calls import parse_call, write_call
from workbench.guide import Param
from workbench.project import Cleaning
from workbench.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Cleaner:
    """A way to say which examples are not to be trained on.

    Attributes
    ----------
    name
        Name of its file.
    about
        One or two sentences on what it leaves out, and for what reason.
    params
        Parameters by name, with their defaults.
    drop
        From the project's cleaning, the two relations and all parameters, a query that returns
        ``example_id``, ``reason`` and ``kept_id``; see `CleanerCall.drop_sql`.
    mask
        From the project's cleaning, a column of ``examples``, an expression of such a text and all
        parameters, the expression of the masked text; None where it masks nothing.
    configured
        From the project's cleaning, whether it can leave out anything.
    """

    name: str
    about: str
    params: Mapping[str, Param] = field(default_factory=dict)
    drop: Callable[..., str]
    mask: Callable[..., str] | None = None
    configured: Callable[[Cleaning], bool] = lambda _: True


cleaners: Registry[Cleaner] = Registry("workbench.cleaners", "cleaner", label="cleaner")


@dataclass(frozen=True)
class CleanerCall:
    """A cleaner with all of its parameters.

    Attributes
    ----------
    cleaner
        The cleaner.
    params
        Values by name, in the order of declaration.
    """

    cleaner: Cleaner
    params: Mapping[str, Any]

    def __str__(self) -> str:
        return write_call(self.cleaner, self.params)

    def drop_sql(
        self,
        cleaning: Cleaning,
        source: str = "examples",
        records: str = "records",
        checked: Callable[[str], str] = str,
    ) -> str:
        """SQL of the examples to leave out.

        Parameters
        ----------
        cleaning
            The rules and patterns of the project.
        source, records
            The relations, or queries in brackets; see the module.
        checked
            Takes each SQL condition of the project and returns what to use for it.

        Returns
        -------
        str
            A query that returns ``example_id``, ``reason`` and ``kept_id``: one row per example to
            leave out, in no order. ``kept_id`` is the example that stands for it, which is never
            left out itself, and NULL where there is none. Cleaning what is kept leaves out nothing.

        Raises
        ------
        ConfigError
            If a parameter cannot be read.
        """
        rules = tuple(replace(rule, where=checked(rule.where)) for rule in cleaning.rules)
        return self.cleaner.drop(replace(cleaning, rules=rules), source, records, **self.params)

    def mask_sql(self, cleaning: Cleaning, column: str, expression: str) -> str:
        """SQL of a text with all matches replaced.

        Parameters
        ----------
        cleaning
            The rules and patterns of the project.
        column
            What the text is: ``prompt`` or ``answer``.
        expression
            SQL of the text.

        Returns
        -------
        str
            `expression` itself where there is nothing to mask.
        """
        if self.cleaner.mask is None:
            return expression
        return self.cleaner.mask(cleaning, column, expression, **self.params)


def parse_cleaner(text: str) -> CleanerCall:
    """Read a cleaner such as ``near_duplicates(threshold=0.9)`` and check its parameters.

    Raises
    ------
    ConfigError
        If the cleaner, a parameter or a value is unknown.
    """
    example = "near_duplicates(threshold=0.9)"
    return CleanerCall(*parse_call(text, cleaners, noun="a cleaner", example=example))
