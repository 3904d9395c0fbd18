"""Drives a headless Chromium over the DevTools protocol, to see a page as a reader's browser does.

https://chromedevtools.github.io/devtools-protocol: commands and events are JSON on one web socket,
those of a page with its ``sessionId``.
"""

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from support.waiting import HANG, wait_for
from websockets.sync.client import connect

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
    "--remote-debugging-port=0",
)  # fmt: skip


class Page:
    """An open page."""

    def __init__(self, browser: "Chromium", session: str, address: str) -> None:
        self._browser, self._session, self._address = browser, session, address
        self._requests: list[str] = []
        self._errors: list[str] = []
        self.loaded = False

    @property
    def requests(self) -> list[str]:
        """URLs that the page asked for beyond itself; what its policy forbids may be an error."""
        self._settle()
        return list(self._requests)

    @property
    def errors(self) -> list[str]:
        """Errors on the console, violations of the page's policy, exceptions nobody caught."""
        self._settle()
        return list(self._errors)

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression; a promise is awaited."""
        done = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in done, _thrown(done["exceptionDetails"])
        return done["result"].get("value")

    def show(self, width: int, height: int, scheme: str = "light") -> None:
        """Set the window's size in pixels and the reader's colour scheme, light or dark."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def screenshot(self, path: Path | str, width: int, height: int, scheme: str = "light") -> None:
        """Write what a window of this size shows, from where the page is scrolled to, as PNG."""
        self.show(width, height, scheme)
        Path(path).write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Return the result of a command of the protocol."""
        return self._browser.call(method, self._session, **parameters)

    def heard(self, method: str, what: dict[str, Any]) -> None:
        """Note an event."""
        if method == "Page.loadEventFired":
            self.loaded = True
        elif method == "Network.requestWillBeSent":
            address = what["request"]["url"]
            if address != self._address and not address.startswith("data:"):
                self._requests.append(address)
        elif method == "Runtime.exceptionThrown":
            self._errors.append(_thrown(what["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and what["type"] in ("error", "assert"):
            self._errors.append(" ".join(_shown(value) for value in what["args"]))
        elif method == "Log.entryAdded" and what["entry"]["level"] == "error":
            self._errors.append(what["entry"]["text"])

    def _settle(self) -> None:
        """Wait until the page has nothing to do: what it began has then been heard of."""
        self.evaluate("new Promise((done) => requestIdleCallback(() => done()))")


class Chromium:
    """A browser of its own, with nothing of the user's; a test without one is skipped."""

    def __enter__(self) -> "Chromium":
        program = next(filter(None, map(shutil.which, _NAMES)), None)
        if program is None:
            pytest.skip("no Chromium is installed")
        self._pages: dict[str, Page] = {}
        self._count = 0
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
            self._process = subprocess.Popen(
                [program, *_FLAGS, f"--user-data-dir={folder}", "about:blank"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                start_new_session=True, env=os.environ | {"TMPDIR": folder},
            )  # fmt: skip
            stack.callback(self._end)
            self._socket = stack.enter_context(
                connect(self._address(Path(folder)), max_size=None, open_timeout=HANG)
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def open(self, path: Path | str) -> Page:
        """Return the page of a local file, loaded, its scripts run."""
        address = Path(path).resolve().as_uri()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self._pages[session] = Page(self, session, address)
        for domain in ("Page", "Runtime", "Network", "Log"):
            page.call(f"{domain}.enable")
        page.show(1280, 900)
        page.loaded = False  # the blank one was, perhaps
        begun = page.call("Page.navigate", url=address)
        assert "errorText" not in begun, f"{path}: {begun['errorText']}"
        while not page.loaded:
            self._hear()
        return page

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Return the result of a command of the protocol."""
        self._count += 1
        command: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        self._socket.send(json.dumps(command | ({"sessionId": session} if session else {})))
        while (answer := self._hear()).get("id") != command["id"]:
            pass
        assert "error" not in answer, f"{method}: {answer['error']}"
        result: dict[str, Any] = answer["result"]
        return result

    def _hear(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._socket.recv(timeout=HANG))
        if "method" in message and (page := self._pages.get(message.get("sessionId", ""))):
            page.heard(message["method"], message["params"])
        return message

    def _address(self, folder: Path) -> str:
        """Return where the browser listens, which it writes down once it does."""
        file = folder / "DevToolsActivePort"

        def written() -> list[str]:
            return file.read_text().split() if file.exists() else []

        wait_for(lambda: len(written()) == 2 or self._process.poll() is not None)
        assert self._process.poll() is None, "Chromium ended at once"
        port, path = written()
        return f"ws://127.0.0.1:{port}{path}"

    def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # the group is the browser's alone
        self._process.wait()


def _thrown(details: dict[str, Any]) -> str:
    return str(details.get("exception", {}).get("description") or details["text"])


def _shown(value: dict[str, Any]) -> str:
    return str(value.get("value", value.get("description", value["type"])))
