"""Headless Chromium that a test clicks through: its DevTools protocol over a web socket."""

import asyncio
import json
import subprocess
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
from benchmarks.browser import CHROMIUM, FLAGS


class Window:
    """A page. Whatever is asked of it waits until it has happened."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, runner: asyncio.Runner):
        self._socket, self._runner = socket, runner
        self._number = 0
        self._loaded = 0

    def do(self, method: str, **parameters: Any) -> Any:
        """A command of the protocol; gives its result."""
        return self._runner.run(self._do(method, parameters))

    async def _do(self, method: str, parameters: dict[str, Any]) -> Any:
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        async for message in self._socket:
            told = json.loads(message.data)
            self._loaded += told.get("method") == "Page.loadEventFired"
            if told.get("id") == self._number:
                assert "error" not in told, told
                return told["result"]
        raise AssertionError("the browser is gone")

    def run(self, script: str) -> Any:
        """What an expression of the page's script comes to."""
        found = self.do("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, script: str) -> Any:
        """Wait until an expression is true."""
        while not (value := self.run(script)):
            time.sleep(0.02)
        return value

    def open(self, address: str) -> None:
        self.do("Page.enable")
        before = self._loaded
        self.do("Page.navigate", url=address)
        while self._loaded == before:
            self.do("Page.enable")
            time.sleep(0.02)

    def key(self, key: str) -> None:
        """Hit a key: a real one, which the page cannot tell from a person's."""
        self._to_front()
        text = {"text": key} if len(key) == 1 else {}
        self.do("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.do("Input.dispatchKeyEvent", type="keyUp", key=key)

    def click(self, selector: str) -> None:
        """Click into the middle of an element."""
        self._to_front()
        box = self.run(
            f"(() => {{ const it = document.querySelector({json.dumps(selector)});"
            "it.scrollIntoView({block: 'center'}); const box = it.getBoundingClientRect();"
            "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.do(
                "Input.dispatchMouseEvent",
                type=kind,
                x=box[0],
                y=box[1],
                button="left",
                clickCount=1,
            )

    def _to_front(self) -> None:
        """Else the browser waits until somebody does it."""
        self.do("Page.bringToFront")

    def picture(self) -> bytes:
        """The window as PNG."""
        return b64decode(self.do("Page.captureScreenshot", format="png")["data"])


@contextmanager
def browser(folder: Path, windows: int = 1) -> Iterator[list[Window]]:
    """So many windows of one browser. folder: for its profile, a new one."""
    assert CHROMIUM, "there is no chromium here: apt-get install chromium"
    port = folder / "DevToolsActivePort"
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder}", "--remote-debugging-port=0"]
    process = subprocess.Popen(
        [*command, "--window-size=1100,900"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not (port.is_file() and "\n" in port.read_text()):
            assert process.poll() is None, "the browser did not start"
            time.sleep(0.05)
        address = f"http://127.0.0.1:{port.read_text().splitlines()[0]}"
        with asyncio.Runner() as runner:
            session = runner.run(_session())
            try:
                yield [
                    Window(runner.run(_window(session, address)), runner) for _ in range(windows)
                ]
            finally:
                runner.run(session.close())
    finally:
        process.terminate()
        process.wait()


async def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession()


async def _window(session: aiohttp.ClientSession, address: str) -> aiohttp.ClientWebSocketResponse:
    async with session.put(f"{address}/json/new?about:blank") as response:
        told = await response.json(content_type=None)
    return await session.ws_connect(told["webSocketDebuggerUrl"], max_msg_size=0)
