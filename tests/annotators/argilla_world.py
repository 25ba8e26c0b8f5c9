"""An Argilla server with its own client: our records go in, are answered, and come out again.

Runs in the environment that has Argilla, never in that of the tests:
``python argilla_world.py FOLDER``. It logs ``worth.records.json`` of the folder, and writes exports
and ``said.json``. Only the search engine is left out: what is exported stands in the database.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

PASSWORD = "long-enough-1"


def start(folder: Path) -> str:
    """Make Argilla's database in a folder and serve the program on loopback; its address."""
    folder.mkdir()
    os.environ |= {
        "ARGILLA_HOME_PATH": str(folder),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    import uvicorn
    from argilla_server import app
    from argilla_server.cli.database.migrate import migrate_db
    from argilla_server.search_engine import SearchEngine, get_search_engine
    from rq import Queue

    migrate_db("head")
    # Jobs that count wait in a Redis.
    Queue.enqueue_call = lambda *_, **__: None
    for inner in (app, *(route.app for route in app.routes if hasattr(route, "app"))):
        if hasattr(inner, "dependency_overrides"):
            inner.dependency_overrides[get_search_engine] = lambda: AsyncMock(spec=SearchEngine)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = int(listener.getsockname()[1])
    server = uvicorn.Server(uvicorn.Config(app, port=port, lifespan="off", log_level="warning"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.05)
    return f"http://127.0.0.1:{port}"


async def make_owner() -> str:
    """Make the first user, whom only the server itself can make; the key that it gave."""
    from argilla_server.contexts import accounts
    from argilla_server.database import AsyncSessionLocal
    from argilla_server.enums import UserRole

    async with AsyncSessionLocal() as db:
        user = await accounts.create_user(
            db,
            {
                "first_name": "owner",
                "last_name": None,
                "username": "owner",
                "role": UserRole.owner,
                "password": PASSWORD,
            },
        )
        return str(user.api_key)


def main(folder: Path) -> None:
    """Log records, answer, export."""
    import asyncio

    url = start(folder / "argilla")
    key = asyncio.run(make_owner())
    import argilla as rg

    owner = rg.Argilla(api_url=url, api_key=key)
    workspace = rg.Workspace(name="raters", client=owner).create()
    raters = {
        name: rg.User(
            username=name, first_name=name, password=PASSWORD, role="annotator", client=owner
        ).create()
        for name in ("ann", "bob")
    }
    for user in raters.values():
        user.add_to_workspace(workspace)
    settings = rg.Settings(
        fields=[rg.TextField(name="input"), rg.TextField(name="output")],
        questions=[
            rg.RatingQuestion(name="quality", values=[1, 2, 3, 4, 5]),
            rg.LabelQuestion(name="verdict", labels=["right", "wrong"], required=False),
            rg.MultiLabelQuestion(name="faults", labels=["short", "rude", "off"], required=False),
            rg.RankingQuestion(name="order", values=["mine", "theirs"], required=False),
            rg.SpanQuestion(name="parts", field="output", labels=["number"], required=False),
            rg.TextQuestion(name="better", required=False),
            rg.TextQuestion(name="comment", required=False),
        ],
        metadata=[rg.FloatMetadataProperty(name="score")],
        allow_extra_metadata=True,
        distribution=rg.TaskDistribution(min_submitted=2),
    )
    dataset = rg.Dataset(name="worth", workspace="raters", settings=settings, client=owner)
    dataset.create()
    dataset.records.from_json(folder / "worth.records.json")
    records = {record.id: record for record in dataset.records}
    said = answer(url, records)
    said["users"] = {name: str(user.id) for name, user in raters.items()}
    records["r2"].suggestions.add(
        rg.Suggestion(question_name="quality", value=3, score=0.375, agent="judge-3")
    )
    dataset.records.log([records["r2"]])
    (folder / "said.json").write_text(json.dumps(said))
    dataset.records.to_json(folder / "records.json")
    flat = dataset.records.to_list(flatten=True)
    (folder / "flat.json").write_text(json.dumps(flat))
    dataset.records.to_datasets().to_parquet(folder / "flat.parquet")


def answer(url: str, records: dict[str, Any]) -> dict[str, Any]:
    """Answer as the pages of Argilla do; what was said of which record by whom."""
    import httpx

    said: dict[str, Any] = {"submitted": {}}
    for number, (key, record) in enumerate(sorted(records.items())):
        place = f"{url}/api/v1/records/{record._server_id}/responses"
        for name in ("ann", "bob") if number < 2 else ("ann",):
            quality = number % 5 + 1 if name == "ann" else 5 - number
            values: dict[str, Any] = {"quality": quality}
            if number == 0 and name == "ann":
                values |= {
                    "verdict": "wrong",
                    "faults": ["short", "rude"],
                    "order": [{"value": "theirs", "rank": 1}, {"value": "mine", "rank": 2}],
                    "parts": [{"label": "number", "start": 0, "end": 6}],
                    "better": "A better answer.",
                    "comment": "not polite",
                }
            status = {5: "discarded", 6: "draft"}.get(number, "submitted")
            if number == 7:
                continue
            token = httpx.post(
                f"{url}/api/v1/token", data={"username": name, "password": PASSWORD}
            ).json()["access_token"]
            made = httpx.post(
                place,
                json={"values": {q: {"value": v} for q, v in values.items()}, "status": status},
                headers={"Authorization": f"Bearer {token}"},
            )
            assert made.status_code == 201, made.text
            if status == "submitted":
                said["submitted"].setdefault(key, {})[name] = values
    return said


if __name__ == "__main__":
    main(Path(sys.argv[1]))
