"""An Open WebUI in which people chat and rate, asked through its own API within one process.

Runs in the environment that has Open WebUI, never in that of the tests:
``python open_webui_world.py FOLDER``. It writes ``feedback.json``, as the page of the administrator
downloads it, and ``said.json``: what was rated how.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

PASSWORD = "Long-enough-1"


def start(folder: Path) -> Any:
    """Load the program over a database in a folder; a client of it."""
    folder.mkdir()
    os.environ |= {
        "FROM_INIT_PY": "true",
        "USE_SLIM_DOCKER": "true",
        "DATA_DIR": str(folder),
        "STATIC_DIR": str(folder / "static"),
        "WEBUI_SECRET_KEY": "only-for-a-test-" * 4,
        "OFFLINE_MODE": "true",
        "ENABLE_OLLAMA_API": "false",
        "ENABLE_OPENAI_API": "false",
        "ANONYMIZED_TELEMETRY": "false",
        "DO_NOT_TRACK": "true",
    }
    from open_webui.main import app
    from starlette.testclient import TestClient

    return TestClient(app)


def message(key: str, parent: str | None, role: str, content: str, **more: Any) -> dict[str, Any]:
    """A message as the page of a chat writes it."""
    return {"id": key, "parentId": parent, "childrenIds": [], "role": role, "content": content,
            "timestamp": int(time.time()), **more}  # fmt: skip


def chat(number: int) -> dict[str, Any]:
    """A chat of one question with answers of two models side by side."""
    asked, first, second = f"q-{number}", f"a-{number}", f"b-{number}"
    thought = (
        '<details type="reasoning" done="true">\n<summary>Thought</summary>\n> Hm.\n</details>\n'
    )
    messages = [
        message(asked, None, "user", f"Question {number}?", models=["big", "small"]),
        message(first, asked, "assistant", f"{thought}Answer {number}.", model="big", done=True,
                usage={"prompt_tokens": 10 + number, "completion_tokens": 20 + number}),
        message(second, asked, "assistant", f"Other answer {number}.", model="small", done=True),
    ]  # fmt: skip
    messages[0]["childrenIds"] = [first, second]
    return {
        "title": f"Chat {number}",
        "models": ["big", "small"],
        "system": "Be terse.",
        "params": {"temperature": 0.25},
        "history": {"messages": {one["id"]: one for one in messages}, "currentId": first},
        "messages": messages[:2],
        "tags": [],
        "timestamp": int(time.time() * 1000),
    }


def main(folder: Path) -> None:
    """Chat, rate, export."""
    client = start(folder / "open-webui")

    def ask(who: str | None, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {tokens[who]}"} if who else {}
        method = "GET" if body is None else "POST"
        answer = client.request(method, f"/api/v1/{path}", json=body, headers=headers)
        assert answer.status_code == 200, (path, answer.status_code, answer.text[:2000])
        return answer.json()

    tokens: dict[str | None, str] = {}
    with client:
        for name in ("owner", "ann"):
            person = {"name": name, "email": f"{name}@example.org", "password": PASSWORD}
            if name == "owner":
                tokens[name] = ask(None, "auths/signup", person)["token"]
            else:
                tokens[name] = ask("owner", "auths/add", person | {"role": "user"})["token"]
        said: dict[str, Any] = {}
        for number in range(6):
            made = ask("ann", "chats/new", {"chat": chat(number)})
            stored = ask("ann", f"chats/{made['id']}")
            rated = {0: 1, 1: -1, 2: 1, 3: -1, 4: None, 5: None}[number]
            form: dict[str, Any] = {
                "type": "rating",
                "data": {
                    "rating": rated,
                    "model_id": "big",
                    "sibling_model_ids": ["small"] if number != 2 else None,
                    "reason": "accurate_information",
                    "comment": "" if number == 5 else f"Comment {number}",
                    "tags": ["arithmetic"],
                    "details": {"rating": 9} if number == 0 else {},
                },
                "meta": {
                    "arena": False,
                    "model_id": "big",
                    "message_id": f"a-{number}",
                    "message_index": 2,
                    "chat_id": made["id"],
                    "base_models": {"big": None, "small": None},
                },
                "snapshot": {"chat": stored},
            }
            feedback = ask("ann", "evaluations/feedback", form)
            if number == 3:
                time.sleep(1.1)
                form["data"] |= {"rating": 1, "comment": "On second thoughts"}
                feedback = ask("ann", f"evaluations/feedback/{feedback['id']}", form)
            said[f"a-{number}"] = {
                "id": feedback["id"],
                "chat": made["id"],
                "user": feedback["user_id"],
                "rating": form["data"]["rating"],
            }
        (folder / "said.json").write_text(json.dumps(said))
        exported = ask("owner", "evaluations/feedbacks/all/export")
    (folder / "feedback.json").write_text(json.dumps(exported))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
