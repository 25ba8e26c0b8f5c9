"""Makes the pictures of the documentation from a demo: python docs/make_screenshots.py.

It needs Playwright and a Chromium; WORKBENCH_CHROMIUM names it where it is not on the path.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "images"
PORT = 8599
URL = f"http://127.0.0.1:{PORT}"
#: Pages that stand side by side in each picture.
PICTURES = {
    "overview.png": ("", "reliability?model=v3&where=features.language%20%3D%20%27pt-BR%27"),
    "datasets.png": (
        "slices?splits=user_id%3A%20train%3D0.8%2C%20test%3D0.2",
        "datasets?dataset=thumbs",
    ),
}
#: Colours of the saved picture: few enough for a small file.
COLOURS = 64


def main() -> None:
    """Build a demo with a dataset, serve it, and photograph pages side by side."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "demo"
        run = [sys.executable, "-m", "workbench.cli.main"]
        at = ["--project", str(project)]
        split = ["--split", "user_id: train=0.8, test=0.2"]
        compiled = ["dataset", "compile", "thumbs", "--slice", "thumbs", "--format", "kto"]
        for command in (
            ["demo", str(project), "--no-serve"],
            ["slice", "new", "thumbs", *split, *at],
            [*compiled, *at],
        ):
            subprocess.run([*run, *command], cwd=ROOT, check=True)
        serve = [*run, *at, "serve", "--port", str(PORT)]
        server = subprocess.Popen(serve, cwd=ROOT)
        try:
            _wait()
            shots = _photograph()
        finally:
            server.terminate()
            server.wait(20)
    FOLDER.mkdir(exist_ok=True)
    for name, pages in shots.items():
        _side_by_side(pages).quantize(COLOURS, dither=Image.Dither.NONE).save(
            FOLDER / name, optimize=True
        )


def _side_by_side(shots: list[Image.Image]) -> Image.Image:
    width = sum(shot.width for shot in shots)
    picture = Image.new("RGB", (width, max(shot.height for shot in shots)), "white")
    left = 0
    for shot in shots:
        picture.paste(shot, (left, 0))
        left += shot.width
    return picture


def _wait() -> None:
    for _ in range(120):
        try:
            with urllib.request.urlopen(f"{URL}/_stcore/health", timeout=1):
                return
        except OSError:
            time.sleep(0.5)
    raise SystemExit("The server did not come up.")


def _photograph() -> dict[str, list[Image.Image]]:
    executable = os.environ.get("WORKBENCH_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1180, "height": 1180}, color_scheme="light")
        shots = {name: [_shot(page, path) for path in paths] for name, paths in PICTURES.items()}
        browser.close()
    return shots


def _shot(page: Page, path: str) -> Image.Image:
    page.goto(f"{URL}/{path}")
    page.wait_for_selector(".js-plotly-plot .main-svg, table", timeout=60_000)
    page.wait_for_timeout(3000)
    page.wait_for_selector("[data-testid=stSpinner]", state="detached", timeout=60_000)
    page.wait_for_timeout(1000)
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


if __name__ == "__main__":
    main()
