"""One headless Chromium, driven through its debugging protocol. It reaches loopback only."""

import base64
import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import connect
from websockets.sync.connection import Connection

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 120  # seconds for one answer of the browser
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--hide-scrollbars"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-extensions", "--mute-audio", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
)


def program() -> str | None:
    """The path of an installed Chromium."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


class Page:
    """The one page of the browser."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._number = 0
        self.send("Page.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a command. Events before it are skipped."""
        self._number += 1
        self._connection.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while (answer := self._next()).get("id") != self._number:
            pass
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def _next(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._connection.recv(PATIENCE))
        return message

    def open(self, url: str) -> None:
        """Navigate, and wait until all parts are loaded."""
        self._number += 1
        command = {"id": self._number, "method": "Page.navigate", "params": {"url": url}}
        self._connection.send(json.dumps(command))
        while self._next().get("method") != "Page.loadEventFired":
            pass

    def resize(self, width: int, height: int = 800) -> None:
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def colours(self, scheme: str) -> None:
        """`light` or `dark`."""
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    @contextmanager
    def without_scripts(self) -> Iterator[None]:
        """Pages opened in this block run no script of their own."""
        self.send("Emulation.setScriptExecutionDisabled", value=True)
        try:
            yield
        finally:
            self.send("Emulation.setScriptExecutionDisabled", value=False)

    def run(self, script: str) -> Any:
        """The value of an expression, or of its promise."""
        result = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def shoot(self, path: Path, *, whole: bool = False) -> None:
        """Write a picture of the visible part, or of the whole page."""
        found = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))


def _target(address: str) -> str:
    """The name of the page that the browser opened at its start."""
    with urllib.request.urlopen(f"http://{address}/json/list", timeout=PATIENCE) as answer:
        (page,) = [target for target in json.load(answer) if target["type"] == "page"]
    name: str = page["id"]
    return name


@contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """A page of a new Chromium with an empty profile, which ends with the block."""
    found = program()
    assert found, f"none of {', '.join(PROGRAMS)} is on PATH; `make system-servers` installs one"
    process = subprocess.Popen(
        [found, *OPTIONS, "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        announced = next(line for line in process.stderr if line.startswith("DevTools listening on "))
        address = announced.split()[-1].removeprefix("ws://").partition("/")[0]
        with connect(
            f"ws://{address}/devtools/page/{_target(address)}", max_size=None, open_timeout=PATIENCE
        ) as connection:
            yield Page(connection)
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
