"""The script for web pages in a real browser: what is pressed arrives once, however late."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.cli.conftest import run
from tests.receive.conftest import landed, process
from tests.ui.test_browser import FLAGS, PATIENCE, chromium

pytestmark = pytest.mark.browser

PAGE = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>Shop</title>
<div data-request_id="r1" data-user_id="u1" data-channel="web"></div>
<script src="{address}/widget.js" data-key="{key}" defer></script>
"""
WAITING = "Object.keys(localStorage).filter(k => k.startsWith('fw:')).length"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder that is served to the browser, and its origin."""
    folder = tmp_path / "site"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_what_is_pressed_arrives_once(tmp_path: Path, site: tuple[Path, str]):
    from playwright.sync_api import Route, expect, sync_playwright

    folder, origin = site
    key = run("receive", "--project", tmp_path, "--new-key", "page", "--only", "feedback").out
    landing = tmp_path / "landing"
    start = partial(process, tmp_path, "--origin", origin)

    def lose_the_answer(route: Route) -> None:
        route.fetch()
        route.abort()

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_page()
        page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        with start() as (_, address):
            (folder / "index.html").write_text(PAGE.format(address=address, key=key.strip()))
            page.goto(origin)
            page.get_by_role("button", name="Good").click()
            page.get_by_role("button", name="4 of 5").click()
            page.get_by_role("button", name="Send").click()  # nothing is written yet
            page.get_by_label("Correction").fill("The moon, not the sun.")
            page.get_by_role("button", name="Send").click()
            expect(page.get_by_role("status")).to_have_text("Thank you")
            page.wait_for_function(f"{WAITING} == 0")
            # An answer that is lost on its way is asked for again, and the event lands once.
            page.route("**/v1/feedback", lose_the_answer, times=1)
            page.get_by_role("button", name="1 of 5").click()
            page.wait_for_function(f"{WAITING} == 0")
        # The service is gone; what is pressed outlives the page.
        page.get_by_role("button", name="Bad").click()
        page.wait_for_function(f"{WAITING} == 1")
        page.reload()
        assert page.evaluate(WAITING) == 1
        with start(port=int(address.rpartition(":")[2])):
            page.wait_for_function(f"{WAITING} == 0")
            page.reload()
            page.get_by_role("button", name="5 of 5").click()
            page.wait_for_function(f"{WAITING} == 0")
        browser.close()
    rows = landed(landing)
    assert [
        (row["name"], row["kind"], row.get("value", row.get("corrected_output"))) for row in rows
    ] == [
        ("thumb", "binary", 1),
        ("stars", "rating", 4),
        ("correction", "correction", "The moon, not the sun."),
        ("stars", "rating", 1),
        ("thumb", "binary", 0),
        ("stars", "rating", 5),
    ]
    assert {(row["request_id"], row["user_id"], row["channel"]) for row in rows} == {
        ("r1", "u1", "web")
    }
    assert len({row["feedback_id"] for row in rows}) == len(rows)
    assert errors == []
