"""Make docs/images/page/*.webp: the page of `recommender demo --page` in six states, on a desktop and on a phone.

Run it with `python docs/make/screenshots.py`. It needs the extras `server`, `demo` and `dev`, Chromium, and a few minutes.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

TARGET = Path(__file__).parents[1] / "images" / "page"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-sync", "--no-first-run"]
SIZES = {"desktop": (1280, 900), "phone": (400, 860)}
LIKES = {"89": "Blade Runner", "195": "The Terminator", "50": "Star Wars"}
MOST_BYTES = 150_000
#: how long the engine may take for a whole list, or for a report, in milliseconds
PATIENCE = 180_000


@contextmanager
def demo() -> Iterator[str]:
    """Serve the demo, and yield where."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "recommender", "demo", "--page", "--port", str(port), "--quiet"]
    process = subprocess.Popen(command, env=os.environ | {"BROWSER": "true"})
    url = f"http://127.0.0.1:{port}/"
    try:
        while True:
            try:
                urllib.request.urlopen(f"{url}healthz", timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                if process.poll() is not None:
                    raise SystemExit("the demo ended") from None
                time.sleep(0.3)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=60)


def settled(page: Page) -> None:
    """Wait until every reason has come, and nothing moves."""
    page.locator(".card .justification").first.wait_for()
    while page.evaluate("!!document.querySelector('#cards[aria-busy], .writing, .answer.waiting, [aria-busy]')"):
        page.wait_for_timeout(200)
    page.evaluate("document.querySelectorAll('.notice').forEach(notice => notice.remove())")
    page.wait_for_timeout(700)


def welcome(page: Page) -> None:
    """What somebody sees who comes for the first time."""
    page.locator(".starter .has-picture").nth(8).wait_for()
    page.wait_for_timeout(600)


def listed(page: Page) -> None:
    """A list by what is liked, and the evidence of a claim."""
    settled(page)
    telling = page.locator(".claim", has_text="Harrison Ford")
    (telling if telling.count() else page.locator(".claim")).first.focus()


def conversation(page: Page) -> None:
    """A conversation, and what was understood of it."""
    settled(page)
    page.fill("#message", "I loved Alien. Something from the 80s, but no horror")
    page.locator("#message").press("Enter")
    page.locator("#chips .chip").first.wait_for()
    settled(page)
    page.evaluate("scrollTo(0, 0); document.activeElement.blur()")


def why(page: Page) -> None:
    """What a film rests on."""
    settled(page)
    page.get_by_role("button", name="Why this").first.click()
    page.locator(".heat img").first.wait_for()
    page.wait_for_timeout(600)


def seen(page: Page) -> None:
    """What counts in the picture and in the sound."""
    why(page)
    page.get_by_role("heading", name="What counts in the picture").evaluate("e => e.scrollIntoView({block: 'start'})")
    page.evaluate("document.querySelector('#drawer').scrollBy(0, -90)")
    page.wait_for_timeout(400)


def parts(page: Page) -> None:
    """What the list is made of."""
    settled(page)
    if page.viewport_size and page.viewport_size["width"] > 860:
        page.locator("#likes summary").click()
    page.locator("#parameters summary").click()
    page.locator("#parameters-body .part").first.wait_for()
    settled(page)


#: name -> what is done, who has come, and whether it is dark
STATES: dict[str, tuple[Callable[[Page], None], bool, bool]] = {
    "welcome": (welcome, False, False),
    "list": (listed, True, False),
    "conversation": (conversation, True, True),
    "why": (why, True, False),
    "picture": (seen, True, True),
    "parts": (parts, True, False),
}


def shot(browser: Browser, url: str, state: str, device: str) -> bytes:
    """Return a picture of one state on one device, as PNG."""
    act, is_known, is_dark = STATES[state]
    width, height = SIZES[device]
    options: dict[str, Any] = {"color_scheme": "dark" if is_dark else "light", "reduced_motion": "reduce"}
    context = browser.new_context(viewport={"width": width, "height": height}, device_scale_factor=1.5, **options)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    if is_known:
        likes = [{"item_id": item, "title": title} for item, title in LIKES.items()]
        page.add_init_script(f"localStorage.setItem('recommender.person', {json.dumps(json.dumps({'likes': likes}))})")
    page.goto(url)
    act(page)
    taken = page.screenshot()
    context.close()
    return taken


def small(png: bytes) -> bytes:
    """Return a picture as WebP that is light enough for a page of documentation."""
    for quality in range(86, 30, -8):
        buffer = io.BytesIO()
        Image.open(io.BytesIO(png)).convert("RGB").save(buffer, "WEBP", quality=quality, method=6)
        if buffer.tell() < MOST_BYTES:
            break
    return buffer.getvalue()


def main(names: list[str]) -> None:
    """Take the pictures of these states, by default of all."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("there is no Chromium here: apt-get install chromium")
    TARGET.mkdir(parents=True, exist_ok=True)
    with demo() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        for state in names or STATES:
            for device in SIZES:
                path = TARGET / f"{state}-{device}.webp"
                path.write_bytes(small(shot(browser, url, state, device)))
                print(f"{path.name}: {path.stat().st_size:,} bytes")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
