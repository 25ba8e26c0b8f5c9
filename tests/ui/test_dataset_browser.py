"""From a slice to a training set in a real browser."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.ui.test_browser import FLAGS, PATIENCE, chromium, url
from workbench.datasets.store import Dataset

pytestmark = pytest.mark.browser
__all__ = ["url"]


def test_a_slice_becomes_a_dataset_and_a_file(url: str, demo: Path, tmp_path: Path) -> None:
    from playwright.sync_api import expect, sync_playwright

    errors: list[str] = []
    name = "thumbs-of-v2"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_page(color_scheme="dark", viewport={"width": 1300, "height": 2400})
        page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{url}/slices?where=model_version+%3D+%27v2%27")
        nav = page.get_by_test_id("stSidebarNav")
        split = page.get_by_label("Split", exact=True)
        split.fill("user_id: train=0.8, test=0.2")
        split.press("Enter")
        expect(page.get_by_text(re.compile("split: train"))).to_be_visible()
        heading = page.get_by_role("heading", name=re.compile("^[0-9,]+ examples$"))
        n = int(heading.inner_text().split()[0].replace(",", ""))
        shares = page.locator(".js-plotly-plot .scatterlayer .points path")
        expect(shares.first).to_be_visible()
        assert "splits=user_id" in page.url
        page.get_by_label("Name of the dataset").fill(name)
        page.get_by_role("button", name="Compile", exact=True).click()
        expect(page.get_by_text(f"{name} v1.0: {n:,} examples")).to_be_visible()

        page.get_by_role("link", name="Open the dataset").click()
        expect(page.get_by_role("heading", name=f"{name} v1.0")).to_be_visible()
        expect(page.get_by_role("heading", name="From received to kept")).to_be_visible()
        page.get_by_role("radio", name="download").click()
        page.get_by_role("button", name="Prepare the file").click()
        with page.expect_download() as download:
            page.get_by_role("button", name="Download", exact=True).click()
        file = tmp_path / "examples.parquet"
        download.value.save_as(file)

        nav.get_by_role("link", name="Explore").click()
        page.get_by_role("button", name="Clear all filters").click()
        nav.get_by_role("link", name="Datasets").click()
        page.get_by_role("link", name="Open its slice").click()
        expect(heading).to_have_text(f"{n:,} examples")
        expect(page.get_by_role("textbox", name="SQL condition")).to_have_value(
            "model_version = 'v2'"
        )
        browser.close()

    manifest = Dataset(demo / ".workbench", name).manifest()
    rows = pq.read_table(file, columns=["split"])["split"].to_pylist()
    assert len(rows) == manifest["rows"] == n
    assert {row["value"]: row["rows"] for row in manifest["counts"]["split"]} == {
        part: rows.count(part) for part in ("train", "test")
    }
    # The server answers a probe below a page's address with 404.
    assert [error for error in errors if "404" not in error] == []
