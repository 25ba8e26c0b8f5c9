"""Laws of every kind of artefact."""

from __future__ import annotations

import pytest

from workbench import contract
from workbench.artefacts import ArtefactKind, artefacts
from workbench.guide import check_params

KINDS = list(artefacts)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_says_what_it_is(kind: ArtefactKind) -> None:
    texts = [kind.guide.at_a_glance, *(text for _, text in kind.guide.sections())]
    assert len(texts) == 5
    for text in texts:
        assert text[0].isupper() or text[0] in "`0123456789"
        assert text.endswith((".", "``.")), text[-40:]
    assert all(param.about.endswith(".") for param in kind.params.values())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_fills_columns_of_the_contract(kind: ArtefactKind) -> None:
    assert kind.columns or kind.weighs_votes
    assert set(kind.columns) <= set(contract.table("fitted").columns)
    assert set(kind.replaces.values()) <= set(kind.columns)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_reads_columns_that_there_are(kind: ArtefactKind) -> None:
    known = {*contract.table("inferences").columns, *contract.table("enriched").columns}
    assert set(kind.needs(check_params(kind.name, kind.params, {}))) <= known


def test_no_column_is_filled_by_two_kinds() -> None:
    filled = [column for kind in KINDS for column in kind.columns]
    assert len(filled) == len(set(filled))
