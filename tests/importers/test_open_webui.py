"""Open WebUI: thumbs with the chats that they were given in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import workbench
from tests.importers import laws
from tests.importers.laws import Sample
from workbench.guess import guess_project

NOON = 1_764_072_000  # 2025-11-25T12:00:00Z


def message(name: str, parent: str | None, role: str, content: str, **more: Any) -> dict[str, Any]:
    """A message of a chat's history."""
    return {"id": name, "parentId": parent, "role": role, "content": content, **more}


def record(number: int, rating: Any, *, siblings: list[str] | None = None, **more: Any) -> Any:
    """A record about the answer ``a-<number>`` in the chat of `chat`."""
    return {
        "id": f"fb-{number}",
        "user_id": "user-ann",
        "version": 7,
        "type": "rating",
        "data": {
            "rating": rating,
            "model_id": "llama-big",
            "sibling_model_ids": siblings,
            "reason": "accurate_information",
            "comment": f"comment number {number}",
            "tags": ["arithmetic"],
            **more.pop("data", {}),
        },
        "meta": {
            "arena": False,
            "chat_id": f"chat-{number}",
            "message_id": f"a-{number}",
            "message_index": 2,
        },
        "created_at": NOON + number * 100,
        "updated_at": NOON + number * 100,
        "snapshot": {"chat": chat(number)},
        **more,
    }


def chat(number: int) -> dict[str, Any]:
    """A chat of one question with two answers side by side, and a second turn after the first."""
    n = str(number)
    messages = [
        message(f"q-{n}", None, "user", f"What is six times seven, case {n}?", timestamp=NOON - 60),
        message(
            f"a-{n}", f"q-{n}", "assistant",
            "<details type=\"reasoning\" done=\"true\" duration=\"2\">\n<summary>Thought for 2 "
            "seconds</summary>\n> Six sevens\n> are known.\n</details>\nForty-two.",
            model="llama-big", timestamp=NOON - 50,
            usage={"prompt_tokens": 11, "completion_tokens": 5, "total_duration": 2_500_000_000},
            sources=[{"source": {"name": "tables.pdf"}, "document": ["6 x 7 = 42"],
                      "metadata": [{"source": "tables.pdf#6"}], "distances": [0.25]}],
        ),
        message(f"b-{n}", f"q-{n}", "assistant", "Forty-eight.", model="arena-model",
                selectedModelId="qwen-small", timestamp=NOON - 49),
        message(f"c-{n}", f"q-{n}", "assistant", "It is 42!", model="llama-big",
                timestamp=NOON - 48),
        message(f"r-{n}", f"a-{n}", "user", "Are you sure?", timestamp=NOON - 40),
        message(f"s-{n}", f"r-{n}", "assistant", "Quite sure.", model="llama-big",
                timestamp=NOON - 30),
    ]  # fmt: skip
    return {
        "id": f"chat-{number}",
        "user_id": "user-ann",
        "title": "Multiplication",
        "chat": {
            "params": {"temperature": 0.3, "system": "Be brief."},
            "history": {"currentId": f"s-{n}", "messages": {m["id"]: m for m in messages}},
            "messages": messages[:2],
        },
    }


def write(path: Path, records: list[Any]) -> Path:
    """An export, as the admin page downloads it."""
    path.write_text(json.dumps(records))
    return path


def samples(folder: Path) -> list[Sample]:
    """Records with chats and without, thumbs and comparisons, a changed and an empty verdict."""
    whole = [
        record(1, 1, siblings=["qwen-small"]),
        record(2, "-1", siblings=["qwen-small"]),
        record(3, None, data={"comment": "just a word"}),
        record(4, None, data={"comment": ""}),
    ]
    bare = [
        {key: value for key, value in record(n, rating).items() if key != "snapshot"}
        for n, rating in ((5, 1), (6, -1))
    ]
    tables = ("inferences", "feedback")
    one, two = write(folder / "feedback.json", whole), write(folder / "bare.json", bare)
    return [
        Sample(importer="open_webui", paths=[one], tables=tables, across=True),
        Sample(importer="open_webui", paths=[two], tables=tables, across=True),
    ]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A project that `init` made of one export."""
    folder = tmp_path_factory.mktemp("open_webui")
    samples(folder)
    export = folder / "feedback.json"
    guess = guess_project([export], [export], project_dir=folder)
    assert 'format = "open_webui"' in guess.toml
    assert not guess.questions
    (folder / "workbench.toml").write_text(guess.toml)
    built = workbench.open(folder)
    built.build()
    return built


def ask(project: Any, query: str) -> list[Any]:
    """Rows of a query over the build."""
    return [tuple(row.values()) for row in project.sql(query).table.to_pylist()]


def test_the_ledger_adds_up(project: Any) -> None:
    ledger = dict(ask(project, "SELECT status, n FROM ledger WHERE \"table\" = 'feedback'"))
    # Two thumbs, two preferences, a comment; a record without a verdict.
    assert ledger["received"] == 6
    assert ledger["attributed"] == 5
    assert ledger["invalid"] == 1


def test_an_answer_knows_what_was_said_before_it(project: Any) -> None:
    ((text,),) = ask(project, "SELECT input FROM inferences WHERE request_id = 's-1'")
    said = json.loads(text)
    assert [(m["role"], m["content"][:9]) for m in said] == [
        ("system", "Be brief."),
        ("user", "What is s"),
        ("assistant", "<details "),
        ("user", "Are you s"),
    ]


def test_a_thought_is_no_part_of_the_answer(project: Any) -> None:
    assert ask(
        project, "SELECT output, reasoning, latency_ms, input_tokens FROM inferences "
        "WHERE request_id = 'a-1'",
    ) == [("Forty-two.", "Six sevens\nare known.", 2500.0, 11)]  # fmt: skip


def test_sources_are_retrieved_documents(project: Any) -> None:
    ((found,),) = ask(project, "SELECT retrieved FROM inferences WHERE request_id = 'a-2'")
    assert found == [{"id": "tables.pdf#6", "text": "6 x 7 = 42", "score": 0.25}]


def test_a_thumb_beside_another_answer_is_a_preference(project: Any) -> None:
    pairs = ask(project, "SELECT chosen_id, rejected_id FROM feedback WHERE kind = 'preference' "
                         "ORDER BY ALL")  # fmt: skip
    # Neither the same model's other answer nor a message of the next turn was compared with.
    assert pairs == [("a-1", "b-1"), ("b-2", "a-2")]


def test_thumbs_are_rewards(project: Any) -> None:
    rewards = ask(project, "SELECT request_id, reward FROM enriched_feedback "
                           "WHERE name = 'thumb' ORDER BY 1")  # fmt: skip
    assert rewards == [("a-1", 1.0), ("a-2", 0.0)]


def test_the_model_that_an_arena_drew_is_the_one_that_answered(project: Any) -> None:
    assert ask(project, "SELECT model FROM inferences WHERE request_id = 'b-1'") == [
        ("qwen-small",)
    ]


def test_a_changed_verdict_is_a_new_event(tmp_path: Path) -> None:
    before, after = record(1, 1), record(1, -1, updated_at=NOON + 5000)
    first = laws.stage("open_webui", [write(tmp_path / "1.json", [before])])
    both = laws.stage("open_webui", [write(tmp_path / "2.json", [before, after])])
    assert [row["feedback_id"] for _, row in first.rows["feedback"]] == ["fb-1"]
    assert [row["feedback_id"] for _, row in both.rows["feedback"]] == [f"fb-1@{NOON + 5000}"]
    assert [r for rows in both.refused.values() for _, r, _ in rows] == ["superseded"]


def test_a_detailed_rating_is_an_event_of_its_own(tmp_path: Path) -> None:
    path = write(tmp_path / "f.json", [record(1, 1, data={"details": {"rating": 9}})])
    events = {
        row["name"]: row["value"] for _, row in laws.stage("open_webui", [path]).rows["feedback"]
    }
    assert events == {"thumb": "true", "rating": "9"}


def test_a_chat_whose_links_lead_in_a_circle_is_read(tmp_path: Path) -> None:
    broken = record(1, 1)
    broken["snapshot"]["chat"]["chat"]["history"]["messages"]["q-1"]["parentId"] = "a-1"
    rows = laws.stage("open_webui", [write(tmp_path / "f.json", [broken])]).rows["inferences"]
    assert len(rows) == 4
