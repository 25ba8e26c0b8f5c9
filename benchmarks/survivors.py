"""What becomes of the same votes in a real Phoenix, in a real MLflow, and here.

Votes are sent as an application sends them: some before their inference, some about an inference
that never comes, some twice (a retry), some by two people who disagree, some changed, some that are
no votes, some withdrawn. What is true is known. Printed is, of each system, as one JSON line:

- `kept`: how many of the votes that were sent can still be found there, whatever became of them.
- `right`: for how many raters of an inference their last valid vote counts.
- `wrong`: how many votes count beside those: a second time, changed, withdrawn, or not a vote.
- `mean`: the mean of the votes that count, which such a system shows first.

Phoenix runs twice: as its client is documented to be called, where a second vote under a name takes
the place of the first, and with the rater as the ``identifier``. MLflow changes a vote by
``override_feedback``. Both get all that their own clients do for a vote, and nothing by us.

``--python`` names the Python of the environment that has both (``make vendors``). The exit code is
1 where ours are not the truth.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

SIZES = {
    "plain": 120, "early": 20, "orphan": 15, "repeated": 25, "conflicting": 20, "changed": 20,
    "invalid": 12, "withdrawn": 15,
}  # fmt: skip
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
Vote = dict[str, Any]


# -- what is sent, and what is true ----------------------------------------------------------------


def make(seed: int) -> dict[str, Any]:
    """Inferences, messages in the order in which they are sent, and the truth."""
    draw = random.Random(seed)
    messages: list[Vote] = []
    truth: dict[str, float] = {}
    inferences: dict[str, str] = {}

    def send(fault: str, target: str, rater: str, value: Any, **more: Any) -> Vote:
        event = f"event-{len(messages):04d}"
        message = {
            "event": event, "fault": fault, "target": target, "rater": rater, "value": value,
            "at": (NOON + timedelta(minutes=1, seconds=len(messages))).isoformat(), **more,
        }  # fmt: skip
        messages.append(message)
        return message

    for fault, size in SIZES.items():
        for n in range(size):
            target, rater = f"{fault}-{n}", f"user-{n}"
            inferences[target] = fault
            value: Any = float(draw.random() < 0.7)
            if fault == "invalid":
                value = "banana" if n % 2 else 7.0
            first = send(fault, target, rater, value)
            if fault == "repeated":
                messages.append(first)
            elif fault == "conflicting":
                send(fault, target, f"{rater}-other", 1 - value)
                truth[f"{target} {rater}-other"] = 1 - value
            elif fault == "changed":
                value = 1 - value
                send(fault, target, rater, value, replaces=first["event"])
            elif fault == "withdrawn":
                send(fault, target, rater, None, withdraws=first["event"])
            if fault not in ("orphan", "invalid", "withdrawn"):
                truth[f"{target} {rater}"] = value
    return {"inferences": inferences, "messages": messages, "truth": truth}


def report(system: str, world: dict[str, Any], held: list[Vote]) -> dict[str, Any]:
    """Compare what a system holds with the truth; a row counts where it says so."""
    sent = {one["event"] for one in world["messages"] if "withdraws" not in one}
    counted = [row for row in held if row["counts"]]
    by_rater: dict[str, list[Any]] = defaultdict(list)
    for row in counted:
        by_rater[f"{row['target']} {row['rater']}"].append(row["value"])
    right = sum(value in by_rater[key] for key, value in world["truth"].items())
    numbers = [row["value"] for row in counted if isinstance(row["value"], float)]
    faults = {one["event"]: one["fault"] for one in world["messages"]}
    lost: dict[str, int] = defaultdict(int)
    for event in sent - {row["event"] for row in held}:
        lost[faults[event]] += 1
    return {
        "system": system,
        "sent": len(sent),
        "kept": len(sent) - sum(lost.values()),
        "lost": dict(sorted(lost.items())),
        "true_votes": len(world["truth"]),
        "right": right,
        "wrong": len(counted) - right,
        "mean": round(sum(numbers) / len(numbers), 4),
    }


# -- Phoenix ---------------------------------------------------------------------------------------


def phoenix(world: dict[str, Any], url: str, *, by_rater: bool) -> list[Vote]:
    """Send everything to a Phoenix with its own client, and read what it holds."""
    import httpx
    from phoenix.client import Client

    client = Client(base_url=url)
    project = "by-rater" if by_rater else "by-name"
    salt = 0xA0 if by_rater else 0xB0
    spans = {target: f"{salt:02x}{n:014x}" for n, target in enumerate(world["inferences"])}
    targets = {span: target for target, span in spans.items()}

    def log(wanted: list[str]) -> None:
        client.spans.log_spans(
            project_identifier=project,
            spans=[
                {
                    "name": "answer",
                    "context": {"trace_id": f"{spans[one]:0>32}", "span_id": spans[one]},
                    "span_kind": "LLM",
                    "start_time": NOON.isoformat(),
                    "end_time": (NOON + timedelta(seconds=1)).isoformat(),
                    "status_code": "OK",
                }
                for one in wanted
            ],
            timeout=60,
        )

    def annotations() -> list[Any]:
        found = client.spans.get_span_annotations(
            span_ids=list(targets), project_identifier=project, limit=10_000
        )
        return list(found)

    def withdraw(event: str) -> None:
        for one in annotations():
            if one["metadata"]["event"] == event:
                query = (
                    "mutation($ids: [ID!]!) { deleteSpanAnnotations(input: {annotationIds: $ids}) "
                    "{ __typename } }"
                )
                body = {"query": query, "variables": {"ids": [one["id"]]}}
                post(f"{url}/graphql", body)

    early, known = split(world)
    client.projects.create(name=project)
    log(known)
    await_that(lambda: len(client.spans.get_spans(project_identifier=project, limit=1000))
               == len(known))  # fmt: skip
    for one in world["messages"]:
        if "withdraws" in one:
            await_that(lambda event=one["withdraws"]: any(
                a["metadata"]["event"] == event for a in annotations()))  # fmt: skip
            withdraw(one["withdraws"])
            continue
        vote = {
            "span_id": spans[one["target"]],
            "name": "thumb",
            "annotator_kind": "HUMAN",
            "result": {"score": one["value"]},
            "metadata": {"event": one["event"], "rater": one["rater"]},
        }
        if by_rater:
            vote["identifier"] = one["rater"]
        try:
            client.spans.log_span_annotations(span_annotations=[vote])  # type: ignore[list-item]
        except httpx.HTTPError as error:
            # The application is told, and has nowhere to put the vote.
            print(f"phoenix refused {one['event']}: {type(error).__name__}", file=sys.stderr)
    log(early)
    # It looks for the spans of early votes every ten seconds.
    count, since = -1, time.monotonic()
    while time.monotonic() - since < 35:
        if (now := len(annotations())) != count:
            count, since = now, time.monotonic()
        time.sleep(1)
    return [
        {
            "event": one["metadata"]["event"],
            "target": targets[one["span_id"]],
            "rater": one["metadata"]["rater"],
            "value": one["result"]["score"],
            "counts": True,
        }
        for one in annotations()
    ]


def serve_phoenix(world: dict[str, Any], folder: Path) -> dict[str, list[Vote]]:
    port, grpc = free_port(), free_port()
    environment = {
        **os.environ, "PHOENIX_WORKING_DIR": str(folder), "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port), "PHOENIX_GRPC_PORT": str(grpc),
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }  # fmt: skip
    command = [str(Path(sys.executable).with_name("phoenix")), "serve"]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        await_that(lambda: reachable(f"{url}/healthz"), seconds=120)
        return {
            "Phoenix": phoenix(world, url, by_rater=False),
            "Phoenix, identifier = rater": phoenix(world, url, by_rater=True),
        }
    finally:
        server.terminate()
        server.wait()


# -- MLflow ----------------------------------------------------------------------------------------


def track_mlflow(world: dict[str, Any], folder: Path) -> dict[str, list[Vote]]:
    """Send everything to an MLflow with its own client, and read what it holds."""
    import mlflow
    from mlflow.entities import AssessmentSource
    from mlflow.exceptions import MlflowException

    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    mlflow.create_experiment("survivors", artifact_location=(folder / "artifacts").as_uri())
    mlflow.set_experiment("survivors")
    early, known = split(world)
    traces: dict[str, str] = {}
    for target in known:
        with mlflow.start_span("answer") as span:
            traces[target] = span.trace_id
    # The answer is shown, and may be voted on, before its trace has ended.
    running = {target: mlflow.start_span_no_context("answer") for target in early}
    traces |= {target: span.trace_id for target, span in running.items()}
    mlflow.flush_trace_async_logging()
    ids: dict[str, str] = {}
    for one in world["messages"]:
        trace = traces.get(one["target"], "tr-" + "0" * 32)
        said = {
            "trace_id": trace,
            "value": one["value"] == 1 if one["value"] in (0, 1) else one["value"],
            "source": AssessmentSource("HUMAN", one["rater"]),
            "metadata": {"event": one["event"]},
        }
        try:
            if "withdraws" in one:
                mlflow.delete_assessment(trace, ids[one["withdraws"]])
            elif "replaces" in one:
                before = ids[one["replaces"]]
                found = mlflow.override_feedback(assessment_id=before, **said)
                ids[one["event"]] = found.assessment_id
            else:
                ids[one["event"]] = mlflow.log_feedback(name="thumb", **said).assessment_id
        except MlflowException as error:
            print(f"mlflow refused {one['event']}: {type(error).__name__}", file=sys.stderr)
    for span in running.values():
        span.end()
    mlflow.flush_trace_async_logging()
    targets = {trace: target for target, trace in traces.items()}
    found = mlflow.search_traces(return_type="list", max_results=10_000)
    held = [
        {
            "event": one.metadata["event"],
            "target": targets[trace.info.trace_id],
            "rater": one.source.source_id,
            "value": one.value if isinstance(one.value, str) else float(one.value),
            "counts": one.valid is not False,
        }
        for trace in found
        for one in trace.info.assessments
    ]
    return {"MLflow": held}


# -- here ------------------------------------------------------------------------------------------


def ours(world: dict[str, Any], folder: Path) -> dict[str, list[Vote]]:
    """Build a project before and after the early votes' inferences come, and read it."""
    import workbench

    (folder / "workbench.toml").write_text(
        '[project]\nname = "survivors"\n[inferences]\nsource = "inferences*.jsonl"\n'
        '[feedback]\nsource = "feedback.jsonl"\n[feedback.signals.thumb]\nkind = "binary"\n'
    )

    def log(name: str, targets: list[str]) -> None:
        rows = [{"request_id": one, "ts": NOON.isoformat(), "model_version": "v1"}
                for one in targets]  # fmt: skip
        (folder / name).write_text("\n".join(map(json.dumps, rows)) + "\n")

    early, known = split(world)
    log("inferences.jsonl", known)
    with (folder / "feedback.jsonl").open("w") as file:
        for one in world["messages"]:
            row = {"feedback_id": one["event"], "rater_id": one["rater"], "ts": one["at"]}
            if "withdraws" in one:
                row["retracts"] = one["withdraws"]
            else:
                row |= {"request_id": one["target"], "name": "thumb", "value": one["value"]}
            file.write(json.dumps(row) + "\n")
    project = workbench.open(folder)
    project.build()
    log("inferences-late.jsonl", early)
    project.build()
    status = project.status()
    print(json.dumps({"ledger": {name: status[name] for name in (
        "received", "attributed", "orphan", "duplicate", "invalid")}}))  # fmt: skip
    counted = "NOT coalesce(retracted, false) AND reward IS NOT NULL"
    rows = project.sql(
        "SELECT feedback_id AS event, request_id AS target, rater_id AS rater, reward AS value, "
        f"{counted} AND row_number() OVER (PARTITION BY request_id, rater_id, {counted} "
        "ORDER BY feedback_ts DESC) = 1 AS counts FROM enriched_feedback"
    ).table.to_pylist()
    aside = project.sql(
        "SELECT raw FROM quarantine UNION ALL SELECT raw FROM attribution "
        "WHERE status <> 'attributed'"
    ).table.to_pylist()
    kept = [json.loads(row["raw"]) for row in aside]
    return {
        "the workbench": rows + [{"event": row["feedback_id"], "counts": False} for row in kept]
    }


# -- the run ---------------------------------------------------------------------------------------


def split(world: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Inferences that come after their votes, and those that come before; orphans never come."""
    faults = world["inferences"]
    known = [one for one, fault in faults.items() if fault not in ("early", "orphan")]
    return [one for one, fault in faults.items() if fault == "early"], known


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def reachable(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def post(url: str, body: Any) -> None:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        said = json.load(answer)
    if said.get("errors"):
        raise RuntimeError(said["errors"])


def await_that(holds: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError("what was sent did not arrive")
        time.sleep(0.2)


SYSTEMS = {"phoenix": serve_phoenix, "mlflow": track_mlflow, "ours": ours}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    default = Path(__file__).resolve().parents[1] / ".venv-vendors" / "bin" / "python"
    parser.add_argument("--python", type=Path, default=default)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--system", choices=SYSTEMS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    world = make(given.seed)
    if given.system:
        with tempfile.TemporaryDirectory() as folder:
            found = SYSTEMS[given.system](world, Path(folder))
        for name, held in found.items():
            print(json.dumps(report(name, world, held)), flush=True)
        return 0
    holds = True
    for system in SYSTEMS:
        python = sys.executable if system == "ours" else given.python
        command = [python, __file__, "--system", system, "--seed", str(given.seed)]
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        print(printed, end="", flush=True)
        if system == "ours":
            found = json.loads(printed.splitlines()[-1])
            votes = world["truth"].values()
            holds &= found["kept"] == found["sent"] and found["wrong"] == 0
            holds &= found["right"] == len(votes)
            holds &= found["mean"] == round(sum(votes) / len(votes), 4)
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
