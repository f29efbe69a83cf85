"""A headless Chromium, driven over its DevTools protocol by aiohttp."""

import asyncio
import contextlib
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import aiohttp

PROGRAM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync")
PATIENCE = 120  # seconds


class Page:
    """A tab. requests: addresses that it asked for.   problems: errors that it told."""

    def __init__(self, socket):
        self._socket, self._waiting, self._number = socket, {}, 0
        self.requests, self.problems = [], []

    async def listen(self):
        async for message in self._socket:
            told = json.loads(message.data)
            if "id" in told:
                self._waiting.pop(told["id"]).set_result(told.get("result", told))
            elif told["method"] == "Network.requestWillBeSent":
                self.requests.append(told["params"]["request"]["url"])
            elif told["method"] == "Runtime.exceptionThrown" or (
                told["method"] == "Log.entryAdded" and told["params"]["entry"]["level"] == "error"
            ):
                self.problems.append(json.dumps(told["params"])[:600])

    async def call(self, method, **params):
        self._number += 1
        self._waiting[self._number] = answer = asyncio.get_running_loop().create_future()
        await self._socket.send_str(
            json.dumps({"id": self._number, "method": method, "params": params})
        )
        return await asyncio.wait_for(answer, PATIENCE)

    async def evaluate(self, expression):
        told = await self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    async def until(self, expression):
        for _ in range(10 * PATIENCE):
            if await self.evaluate(expression):
                return
            await asyncio.sleep(0.1)
        raise TimeoutError(f"{expression}: {self.problems}")

    async def down(self, key, code):
        await self._key("keyDown", key, code)

    async def up(self, key, code):
        await self._key("keyUp", key, code)

    async def press(self, key, code):
        await self.down(key, code)
        await self.up(key, code)

    async def _key(self, kind, key, code):
        number = ord(key.upper()) if len(key) == 1 else 0
        await self.call(
            "Input.dispatchKeyEvent", type=kind, key=key, code=code, windowsVirtualKeyCode=number
        )


@contextlib.asynccontextmanager
async def opened(address, width=1280, height=900):
    """The page of an address."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command = [PROGRAM, *FLAGS, "--remote-debugging-port=0", f"--user-data-dir={folder}"]
        process = subprocess.Popen(
            [*command, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            async with aiohttp.ClientSession() as http:
                socket = await _socket(http, Path(folder) / "DevToolsActivePort")
                page = Page(socket)
                listening = asyncio.create_task(page.listen())
                for domain in ("Page", "Network", "Runtime", "Log"):
                    await page.call(f"{domain}.enable")
                size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
                await page.call("Emulation.setDeviceMetricsOverride", **size)
                await page.call("Page.navigate", url=address)
                yield page
                listening.cancel()
                await socket.close()
        finally:
            process.terminate()
            process.wait(20)


async def _socket(http, told):
    for _ in range(10 * PATIENCE):
        with contextlib.suppress(OSError, StopIteration, IndexError, aiohttp.ClientError):
            port = told.read_text().split()[0]
            async with http.get(f"http://127.0.0.1:{port}/json") as answer:
                tabs = await answer.json()
            page = next(tab for tab in tabs if tab["type"] == "page")
            return await http.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0)
        await asyncio.sleep(0.1)
    raise TimeoutError("Chromium did not open")
