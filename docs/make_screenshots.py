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
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs" / "images" / "overview.png"
PORT = 8599
URL = f"http://127.0.0.1:{PORT}"
PAGES = (
    "",
    "reliability?model=v3&where=features.language%20%3D%20%27pt-BR%27",
)
#: Colours of the saved picture: few enough for a small file.
COLOURS = 64


def main() -> None:
    """Build a demo, serve it, and photograph two pages side by side."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "demo"
        run = [sys.executable, "-m", "workbench.cli.main"]
        subprocess.run([*run, "demo", str(project), "--no-serve"], cwd=ROOT, check=True)
        serve = [*run, "--project", str(project), "serve", "--port", str(PORT)]
        server = subprocess.Popen(serve, cwd=ROOT)
        try:
            _wait()
            shots = _photograph()
        finally:
            server.terminate()
            server.wait(20)
    width = sum(shot.width for shot in shots)
    picture = Image.new("RGB", (width, max(shot.height for shot in shots)), "white")
    left = 0
    for shot in shots:
        picture.paste(shot, (left, 0))
        left += shot.width
    TARGET.parent.mkdir(exist_ok=True)
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(TARGET, optimize=True)


def _wait() -> None:
    for _ in range(120):
        try:
            with urllib.request.urlopen(f"{URL}/_stcore/health", timeout=1):
                return
        except OSError:
            time.sleep(0.5)
    raise SystemExit("The server did not come up.")


def _photograph() -> list[Image.Image]:
    executable = os.environ.get("WORKBENCH_CHROMIUM") or shutil.which("chromium")
    shots = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1180, "height": 1180}, color_scheme="light")
        for path in PAGES:
            page.goto(f"{URL}/{path}")
            page.wait_for_selector(".js-plotly-plot .main-svg", timeout=60_000)
            page.wait_for_timeout(3000)
            page.wait_for_selector("[data-testid=stSpinner]", state="detached", timeout=60_000)
            page.wait_for_timeout(1000)
            shots.append(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
        browser.close()
    return shots


if __name__ == "__main__":
    main()
