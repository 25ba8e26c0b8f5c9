"""A Label Studio that people annotate our tasks in, asked through its own API within one process.

Runs in the environment that has Label Studio, never in that of the tests:
``python label_studio_world.py FOLDER``. It imports ``worth.tasks.json`` of the folder, and writes
its exports and ``said.json``: what was said of which task.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

CONFIG = """
<View>
  <Text name="asked" value="$input"/>
  <Text name="answered" value="$output"/>
  <Choices name="verdict" toName="answered"><Choice value="right"/><Choice value="wrong"/></Choices>
  <Choices name="faults" toName="answered" choice="multiple">
    <Choice value="short"/><Choice value="rude"/><Choice value="off"/>
  </Choices>
  <Rating name="stars" toName="answered"/>
  <Number name="minutes" toName="answered"/>
  <TextArea name="better" toName="answered" maxSubmissions="3"/>
  <TextArea name="comment" toName="answered"/>
  <Labels name="parts" toName="answered"><Label value="number"/></Labels>
</View>
"""


class NoMigrations(dict[str, None]):
    """Tables are made from the models: hundreds of migrations of an empty database are a minute."""

    def __contains__(self, _: object) -> bool:
        return True

    def __getitem__(self, _: str) -> None:
        return None


def start(folder: Path) -> None:
    """Make Label Studio's database in a folder, and load the program."""
    spec = find_spec("label_studio")
    assert spec is not None
    assert spec.origin is not None
    sys.path.insert(0, str(Path(spec.origin).parent))
    os.environ |= {
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder),
        "DJANGO_SETTINGS_MODULE": "core.settings.label_studio",
        "COLLECT_ANALYTICS": "0",
        "LATEST_VERSION_CHECK": "0",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
    }
    import django
    from django.conf import settings
    from django.core.management import call_command

    settings.MIGRATION_MODULES = NoMigrations()
    settings.ALLOWED_HOSTS = ["testserver"]
    django.setup()
    # Some models are known once the routes are.
    import_module(settings.ROOT_URLCONF)
    call_command("migrate", run_syncdb=True, verbosity=0)


def people(*names: str) -> Iterator[Any]:
    """A client of the API for each of these people, who are of one organisation."""
    from organizations.models import Organization
    from rest_framework.test import APIClient
    from users.models import User

    organisation = None
    for name in names:
        user = User.objects.create_user(email=f"{name}@example.org", password="long-enough-1")
        if organisation is None:
            organisation = Organization.create_organization(created_by=user, title="raters")
        else:
            organisation.add_user(user)
        user.active_organization = organisation
        user.save()
        client = APIClient()
        client.force_authenticate(user)
        yield client


def ask(client: Any, method: str, path: str, body: Any = None) -> Any:
    """The answer of the API to a request that it must not refuse."""
    answer = getattr(client, method)(path, body, format="json")
    assert answer.status_code < 300, (path, answer.status_code, answer.content[:2000])
    return answer.json() if answer.content else None


def result(name: str, kind: str, value: dict[str, Any]) -> dict[str, Any]:
    """What the editor sends of one control."""
    return {"from_name": name, "to_name": "answered", "type": kind, "value": value}


def annotate(ann: Any, bob: Any, tasks: list[dict[str, Any]]) -> dict[str, Any]:
    """Everything that people and a model may say, of the tasks in order."""
    said: dict[str, Any] = {}
    for number, task in enumerate(tasks):
        key, place = task["data"]["request_id"], f"/api/tasks/{task['id']}/annotations/"
        verdict = "right" if number % 2 else "wrong"
        results = [
            result("verdict", "choices", {"choices": [verdict]}),
            result("stars", "rating", {"rating": number % 5 + 1}),
        ]
        said[key] = {"verdict": verdict, "stars": number % 5 + 1}
        if number == 0:
            results += [
                result("faults", "choices", {"choices": ["short", "rude"]}),
                result("minutes", "number", {"number": 2.5}),
                result("better", "textarea", {"text": ["Two lines:", "this is the second."]}),
                result("comment", "textarea", {"text": ["not polite"]}),
                result(
                    "parts",
                    "labels",
                    {"start": 0, "end": 6, "text": "answer", "labels": ["number"]},
                ),
            ]
        if number == 5:
            # Somebody skipped it.
            ask(ann, "post", place + "?was_cancelled=1", {"result": [], "was_cancelled": True})
            del said[key]
        elif number == 6:
            # Somebody began it and went away.
            ask(ann, "post", f"/api/tasks/{task['id']}/drafts", {"result": results})
            del said[key]
        elif number == 7:
            del said[key]
        else:
            ask(ann, "post", place, {"result": results, "lead_time": 4.25 + number})
        if number == 1:
            # The second person is of another opinion, and changes it.
            other = ask(
                bob,
                "post",
                place,
                {"result": [result("verdict", "choices", {"choices": ["right"]})]},
            )
            changed = {"result": [result("verdict", "choices", {"choices": ["wrong"]})]}
            ask(bob, "patch", f"/api/annotations/{other['id']}/", changed)
        if number == 2:
            ask(
                ann,
                "post",
                "/api/predictions/",
                {
                    "task": task["id"],
                    "model_version": "judge-3",
                    "score": 0.375,
                    "result": [result("verdict", "choices", {"choices": ["right"]})],
                },
            )
    return said


def main(folder: Path) -> None:
    """Import, annotate, export."""
    start(folder / "label-studio")
    ann, bob = people("ann", "bob")
    project = ask(ann, "post", "/api/projects/", {"title": "worth", "label_config": CONFIG})
    here = f"/api/projects/{project['id']}"
    ask(ann, "post", f"{here}/import", json.loads((folder / "worth.tasks.json").read_text()))
    tasks = ask(ann, "get", f"/api/tasks/?project={project['id']}&page_size=100&fields=all")[
        "tasks"
    ]
    tasks.sort(key=lambda task: str(task["data"]["request_id"]))
    (folder / "said.json").write_text(json.dumps(annotate(ann, bob, tasks)))
    for kind in ("JSON", "JSON_MIN"):
        for more in ("", "&download_all_tasks=true"):
            answer = ann.get(f"{here}/export?exportType={kind}{more}")
            assert answer.status_code == 200, answer
            name = f"{kind.lower()}{'-all' if more else ''}.json"
            (folder / name).write_bytes(b"".join(answer.streaming_content))
    options = {"serialization_options": {"predictions": {"only_id": False}}}
    snapshot = ask(ann, "post", f"{here}/exports/", options)
    answer = ann.get(f"{here}/exports/{snapshot['id']}/download?exportType=JSON")
    assert answer.status_code == 200, answer
    (folder / "snapshot.json").write_bytes(b"".join(answer.streaming_content))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
