"""The main path in a real browser, from the overview to a file that is read back and counted."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.ui.conftest import ROOT
from workbench.query import open_build
from workbench.reliability import reliability

pytestmark = pytest.mark.browser

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]
PATIENCE = 60_000


def chromium() -> str:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = os.environ.get("WORKBENCH_CHROMIUM") or next(filter(None, map(shutil.which, names)), "")
    if not found:
        pytest.skip("no Chromium: install it, or name it in WORKBENCH_CHROMIUM")
    return found


@pytest.fixture(scope="module")
def url(demo: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "workbench.cli.main", "--project", str(demo)]
    server = subprocess.Popen(
        [*command, "serve", "--port", str(port)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            assert server.poll() is None, "the server ended"
            try:
                with urllib.request.urlopen(f"{address}/_stcore/health", timeout=1):
                    break
            except OSError:
                time.sleep(0.5)
        yield address
    finally:
        server.terminate()
        server.wait(20)


def number(text: str) -> int:
    match = re.match(r"([\d,]+) rows?", text)
    assert match, text
    return int(match[1].replace(",", ""))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_overview_explore_sql_export(url: str, demo: Path, tmp_path: Path, scheme: str) -> None:
    from playwright.sync_api import expect, sync_playwright

    errors: list[str] = []
    outside: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_page(
            color_scheme="light" if scheme == "light" else "dark",
            viewport={"width": 1300, "height": 1100},
        )
        page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "request",
            lambda asked: (
                None
                if asked.url.startswith((url, url.replace("http", "ws"), "data:", "blob:"))
                else outside.append(asked.url)
            ),
        )

        page.goto(url)
        expect(page.get_by_text("feedback events").first).to_be_visible()
        expect(page.get_by_test_id("stMetricValue")).to_have_count(6)

        page.get_by_test_id("stSidebarNav").get_by_role("link", name="Explore").click()
        bars = page.locator(".js-plotly-plot .bars path")
        expect(bars).to_have_count(6)  # three bars, three intervals
        box = bars.nth(1).bounding_box()
        assert box
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.8)
        heading = page.get_by_role("heading", name=re.compile("rows behind model_version = v2"))
        expect(heading).to_be_visible()
        behind = number(heading.inner_text())
        assert "group=v2" in page.url
        expect(page.get_by_test_id("stDataFrame").last).to_be_visible()

        page.get_by_test_id("stSidebarNav").get_by_role("link", name="SQL").click()
        page.get_by_label("Query: one SELECT").fill(
            "SELECT request_id FROM inferences WHERE model_version = 'v2'"
        )
        page.get_by_test_id("stFormSubmitButton").get_by_role("button").click()
        expect(page.get_by_text(re.compile(r"rows in \d"))).to_be_visible()

        page.get_by_test_id("stSidebarNav").get_by_role("link", name="Export").click()
        heading = page.get_by_role("heading", name=re.compile("rows of enriched_inferences"))
        expect(heading).to_be_visible()
        shown = number(heading.inner_text())
        page.get_by_role("button", name="Prepare the file").click()
        with page.expect_download() as download:
            page.get_by_role("button", name="Download", exact=True).click()
        file = tmp_path / "slice.parquet"
        download.value.save_as(file)
        browser.close()

    rows = pq.read_table(file, columns=["model_version"])
    with open_build(demo) as build:
        expected = build.count("SELECT 1 AS x FROM inferences WHERE model_version = 'v2'")
    assert rows.num_rows == shown == behind == expected
    assert set(rows["model_version"].to_pylist()) == {"v2"}
    assert errors == []
    assert outside == []


def test_a_click_on_a_bin_leads_to_the_same_rows_on_the_export_page(url: str, demo: Path) -> None:
    from playwright.sync_api import expect, sync_playwright

    errors: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_page(viewport={"width": 1300, "height": 1800})
        page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        page.get_by_test_id("stSidebarNav").get_by_role("link", name="Reliability").click()
        condition = page.get_by_role("textbox", name="SQL condition")
        condition.fill("model_version = 'v2'")
        condition.press("Enter")
        expect(page.get_by_text(re.compile("On (452|[3-5]..) labelled rows"))).to_be_visible()
        marks = page.locator(".js-plotly-plot .scatterlayer .points path")
        expect(marks.nth(7)).to_be_visible()
        marks.nth(7).click(force=True)
        heading = page.get_by_role("heading", name=re.compile(r"rows of bin 8 \("))
        expect(heading).to_be_visible()
        behind = number(heading.inner_text())
        page.get_by_role("link", name="Export these rows").click()
        heading = page.get_by_role("heading", name=re.compile("rows of enriched_inferences"))
        expect(heading).to_be_visible()
        assert number(heading.inner_text()) == behind
        assert "where=" in page.url
        assert "slice=" not in page.url
        for name in ("Groups", "Uncertainty", "Drift"):
            page.get_by_test_id("stSidebarNav").get_by_role("link", name=name).click()
            expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
            expect(page.locator(".js-plotly-plot").first).to_be_visible()
        browser.close()

    with open_build(demo) as build:
        row = reliability(build, where="model_version = 'v2'").rows[7]
    assert row["n"] == behind
    assert errors == []
