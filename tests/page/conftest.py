"""A real server of a tiny model with media, in a process of its own, and a real Chromium in front of it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import soundfile

from recommender.config import Config
from recommender.data.catalogue import Catalogue, Item
from tests.conftest import ITEMS, wide_checkpoint, write_csv
from tests.copies import begin_command
from tests.media_files import picture, sound

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --use-fake-device-for-media-stream --use-fake-ui-for-media-stream"
)
SCRIPT = '<img src=x onerror="document.title=\'run\'"><script>document.title="run"</script>'
RTL = "ألف ليلة وليلة"
#: items whose title is something else: markup that the cleaning of tables knows no tag in, and Arabic
MARQUEE = "<marquee onstart=\"document.title='run'\">Marquee"
TITLES = {1: MARQUEE, 2: RTL}
#: what has a picture, and what a sound
PICTURED, SOUNDING = range(0, ITEMS, 2), range(0, ITEMS, 3)
#: how long anything on the page may take on a loaded machine, in milliseconds
PATIENCE = int(os.environ.get("PAGE_PATIENCE", 30_000))


def _items(folder: Path, catalogue: Catalogue) -> Path:
    rows = []
    for n, item in enumerate(catalogue):
        image = f"{n}.png" if n in PICTURED else ""
        audio = f"{n}.wav" if n in SOUNDING else ""
        if image:
            picture(n).save(folder / image)
        if audio:
            soundfile.write(folder / audio, sound(1.5, n), 16_000)
        genres = "|".join(item.attributes["genres"])
        rows.append((item.item_id, item.title, genres, *item.attributes["year"], image, audio))
    write_csv(folder / "items.csv", "item_id title genres year image audio", rows)
    return folder / "items.csv"


@pytest.fixture(scope="session")
def page_model(tmp_path_factory, catalogue, features, text_folder, image_folder, audio_file) -> Path:
    """A checkpoint that sees and hears, of a catalogue in which half has pictures and a third has sounds."""
    from recommender.pipelines import train  # here: most tests need no training

    folder = tmp_path_factory.mktemp("page")
    titled = Catalogue(
        Item(item.item_id, TITLES.get(n, item.title), attributes=item.attributes) for n, item in enumerate(catalogue)
    )
    items = _items(folder, titled)
    events = [(f"u{u}", titled[(u + t) % ITEMS].item_id, t) for u in range(8) for t in range(6)]
    write_csv(folder / "interactions.csv", "user_id item_id timestamp", events)
    wide_checkpoint(folder / "llm", titled, features, 1)
    encoders = {"text": str(text_folder), "image": str(image_folder), "audio": str(audio_file)}
    config = Config.parse(
        {
            "data": {"items": str(items), "interactions": str(folder / "interactions.csv")},
            "base": {"llm": str(folder / "llm"), "dtype": "float32", "rank_layers": 2},
            "encoders": encoders | {"width": 6, "collaborative_width": 4, "cache": str(folder / "encodings")},
            "lora": {"r": 2, "lora_alpha": 4},
            "prompt": {"history": 6, "titled": 2, "noun": "films"},
            "justify": {"window": 4, "max_new_tokens": 8},
            "training": {"stages": [{"stage": "rank", "max_steps": 1, "batch_tokens": 128, "row_tokens": 64}]},
        }
    )
    train.train(config, folder / "model")
    return folder / "model"


@pytest.fixture(scope="session")
def server(page_model, tmp_path_factory) -> str:
    """The address of `recommender serve`."""
    folder = tmp_path_factory.mktemp("served")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = folder / "log"
    arguments = ["serve", page_model, "--port", port, "--feedback", folder / "feedback.jsonl"]
    with log.open("w") as output:
        process = begin_command(*arguments, streams=[output.fileno()] * 3)
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 120
        while not _answers(f"{url}/healthz"):
            assert process.is_alive() and time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.join(60)


def _answers(url: str) -> bool:
    try:
        return urllib.request.urlopen(url, timeout=5).status == 200
    except (OSError, urllib.error.URLError):
        return False


@pytest.fixture(scope="module")
def browser():
    """Chromium. Not for the session: while it runs, no other test of this process can run an event loop."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield browser
        browser.close()


class Opened:
    """A page in a context of its own. `faults`: what scripts, and the browser for them, complained of.

    Nothing moves unless the options say so: frames are drawn on the CPU, and a click waits until its target stands still.
    """

    def __init__(self, browser, url: str, **options) -> None:
        usual = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce"}
        self.context = browser.new_context(**usual | options)
        self.context.set_default_timeout(PATIENCE)
        self.url, self.faults = url, []
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", self._hear)

    def _hear(self, message) -> None:
        # the browser says this of each answer that is no success
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.faults.append(message.text)

    def goto(self, likes=(), **stored):
        """Open the page for somebody who likes these items: (id, title) pairs."""
        if likes or stored:
            person = {"likes": [{"item_id": i, "title": t} for i, t in likes]} | stored
            self.page.add_init_script(
                f"localStorage.getItem('recommender.person') || "
                f"localStorage.setItem('recommender.person', JSON.stringify({json.dumps(person)}))"
            )
        self.page.goto(self.url)
        return self.page


@pytest.fixture
def opened(browser, server):
    """Open pages; at the end none of them has complained of anything."""
    every: list[Opened] = []

    def of(url: str = server, **options) -> Opened:
        every.append(Opened(browser, url, **options))
        return every[-1]

    yield of
    faults = [fault for one in every for fault in one.faults]
    for one in every:
        one.context.close()
    assert faults == []


class Door:
    """A port before the server that can be shut, cutting all connections, and opened again; as if the server had gone."""

    def __init__(self, url: str) -> None:
        self.inside = ("127.0.0.1", int(url.rsplit(":", 1)[1]))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.connections: set[socket.socket] = set()
        self.cut_at: bytes | None = None
        self._listen()

    def _listen(self) -> None:
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                outside, _ = listener.accept()
                inside = socket.create_connection(self.inside)
                self.connections |= {outside, inside}
                for one in (outside, inside):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as server and browser do
                threading.Thread(target=self._pass, args=(outside, inside), daemon=True).start()
                threading.Thread(target=self._pass, args=(inside, outside), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if self.cut_at and self.cut_at in data:
                    target.sendall(data.partition(self.cut_at)[0])
                    self.cut_at = None
                    time.sleep(0.2)  # what was sent has arrived when the connection ends
                    break
                target.sendall(data)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def shut(self) -> None:
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for one in self.connections:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self.connections.clear()

    def open(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self._listen()


@pytest.fixture
def door(server):
    door = Door(server)
    yield door
    door.shut()


def until(page, expression: str, arg=None) -> None:
    """Wait for an expression to be true. Playwright's own way evaluates text, which the page's policy forbids."""
    deadline = time.monotonic() + PATIENCE / 1000
    while not page.evaluate(expression, arg):
        assert time.monotonic() < deadline, expression
        page.wait_for_timeout(30)


@contextmanager
def answered(page, path: str, status: int, message: str, times: int = 1, headers=None):
    """Let the first requests of a path be refused with this error of the server."""
    left = [times]

    def answer(route):
        if left[0] == 0:
            route.continue_()
            return
        left[0] -= 1
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": "refused"}
        route.fulfill(status=status, json={"error": error}, headers=headers or {})

    page.route(f"**{path}*", answer)
    yield
    page.unroute(f"**{path}*")
