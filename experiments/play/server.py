"""The server of the page: four routes on loopback, and a `Tab` for every WebSocket.

    GET /                 the page; /page/<name> its parts
    GET /facts.json       what the world is, its keys, where to start
    GET /recorded/<path>  films and plays that were written
    GET /socket           a WebSocket: messages.py one way, frames and facts the other

A session lives as long as its socket. Importing this raises UserError where aiohttp is not installed.
"""

import asyncio
import contextlib
import errno
import importlib.resources
import logging
import mimetypes
import socket

from experiments.play.guard import HEADERS, refusal
from experiments.play.messages import LARGEST
from experiments.play.records import PLAYS
from experiments.play.stage import Stage
from experiments.play.tab import Tab
from flexlam_jax.errors import UserError

try:
    from aiohttp import WSCloseCode, WSMsgType, web
except ModuleNotFoundError as error:
    raise UserError(
        f"the page needs aiohttp, which cannot be imported ({error}); run "
        "`pip install 'flexlam_jax[play]'` (or `pip install aiohttp`)"
    ) from error

HOST = "127.0.0.1"
MOST_TABS = 8
# Longer messages are not read to their end: the socket closes, and the page opens another one.
_LONGEST = 64 * LARGEST
STAGE = web.AppKey("stage", Stage)
PORT = web.AppKey("port", int)
TABS = web.AppKey("tabs", set)
SOCKETS = web.AppKey("sockets", set)


def create_app(stage: Stage, port: int) -> web.Application:
    """The application; `port` is where it will listen, which requests must name."""
    app = web.Application(middlewares=[_guarded], client_max_size=LARGEST)
    app[STAGE], app[PORT], app[TABS], app[SOCKETS] = stage, port, set(), set()
    app.router.add_get("/", _page)
    app.router.add_get("/page/{name}", _page)
    app.router.add_get("/facts.json", _facts)
    app.router.add_get("/recorded/{name}", _recorded)
    app.router.add_get("/socket", _socket)
    app.on_shutdown.append(_hang_up)
    return app


@web.middleware
async def _guarded(request: web.Request, handler) -> web.StreamResponse:
    why = refusal(request.headers, request.app[PORT])
    if why:
        return web.Response(status=403, text=why, headers=HEADERS)
    try:
        response = await handler(request)
    except web.HTTPException as error:
        error.headers.update(HEADERS)
        raise
    if not response.prepared:
        response.headers.update(HEADERS)
    return response


async def _page(request: web.Request) -> web.Response:
    name = request.match_info.get("name", "index.html")
    parts = {
        part.name: part
        for part in importlib.resources.files(__package__).joinpath("page").iterdir()
    }
    if name not in parts:
        raise web.HTTPNotFound(text=f"the page has no part {name[:100]!r}")
    kind, _ = mimetypes.guess_type(name)
    return web.Response(text=parts[name].read_text("utf-8"), content_type=kind, charset="utf-8")


async def _facts(request: web.Request) -> web.Response:
    return web.Response(text=request.app[STAGE].facts, content_type="application/json")


async def _recorded(request: web.Request) -> web.StreamResponse:
    out, name = request.app[STAGE].out, request.match_info["name"]
    folder = out and out / PLAYS
    if not folder or not folder.is_dir() or name not in {child.name for child in folder.iterdir()}:
        raise web.HTTPNotFound(text=f"no recording is called {name[:100]!r}")
    return web.FileResponse(folder / name)


async def _socket(request: web.Request) -> web.StreamResponse:
    app = request.app
    if len(app[TABS]) >= MOST_TABS:
        raise web.HTTPServiceUnavailable(
            text=f"{MOST_TABS} tabs play this world already; close one of them"
        )
    ws = web.WebSocketResponse(max_msg_size=_LONGEST, heartbeat=20.0, compress=False)
    tab = Tab(app[STAGE], ws)
    app[TABS].add(tab)
    app[SOCKETS].add(ws)
    try:
        await ws.prepare(request)
        await _play(ws, tab)
    finally:
        await tab.close()
        app[TABS].discard(tab)
        app[SOCKETS].discard(ws)
    return ws


async def _play(ws: web.WebSocketResponse, tab: Tab) -> None:
    """Until the page goes, or what plays ends: that is a bug, whose traceback the log gets."""
    tasks = [asyncio.ensure_future(work) for work in (tab.run(), _listen(ws, tab))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception) and not isinstance(end, ConnectionError):
            logging.getLogger(__name__).error("a tab ended", exc_info=end)
            await ws.close(code=WSCloseCode.INTERNAL_ERROR, message=b"the play failed")


async def _listen(ws: web.WebSocketResponse, tab: Tab) -> None:
    async for message in ws:
        if message.type == WSMsgType.TEXT:
            await tab.received(message.data)
        elif message.type == WSMsgType.BINARY:
            await tab.received("")  # which is answered as what it is: no message


async def _hang_up(app: web.Application) -> None:
    for ws in set(app[SOCKETS]):
        await ws.close(code=WSCloseCode.GOING_AWAY, message=b"the server ends")


def listening_socket(port: int) -> socket.socket:
    """A socket on loopback.

    Raises:
      UserError: the port is in use, or not for everybody; the text offers one that is free.
    """
    try:
        return _bound(port)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        why = "is in use" if error.errno == errno.EADDRINUSE else "may not be taken"
        free = _next_free(max(port + 1, 1024))
        offer = f"take the next free one, --port={free}" if free else "give another --port"
        raise UserError(f"port {port} {why}; {offer}") from error


def _next_free(first: int) -> int | None:
    for port in range(first, min(first + 100, 65536)):
        with contextlib.suppress(OSError):
            _bound(port).close()
            return port
    return None


def _bound(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((HOST, port))
        bound.listen(64)
        return bound
    except BaseException:
        bound.close()
        raise


def serve(stage: Stage, bound: socket.socket) -> None:
    """Serves until the process is stopped."""
    app = create_app(stage, bound.getsockname()[1])
    web.run_app(app, sock=bound, print=None, access_log=None, handle_signals=False)
