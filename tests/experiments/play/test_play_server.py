"""The server over real sockets: who is refused, and that tabs and bad messages disturb nobody."""

import asyncio
import contextlib
import gc
import importlib
import json
import socket
import sys
import time
import weakref

import aiohttp
import numpy as np
import pytest

from experiments.play import server
from experiments.play.messages import LARGEST, Budget
from experiments.play.tab import seconds_until
from experiments.play.truth import SimulatorLost
from flexlam_jax.errors import UserError
from tests.experiments.play.stand_in import MOVES, SIZE, client_of, pictures, stage

SECONDS = 120.0  # of a machine that is busy with something else


class Page:
    """What a browser does with a socket: draws frames, and tells that it did."""

    def __init__(self, ws):
        self.ws, self.frames, self.told = ws, [], []

    async def say(self, **message):
        await self.ws.send_str(json.dumps(message))

    async def until(self, holds, seconds=SECONDS):
        """Reads until `holds(page)`."""
        async with asyncio.timeout(seconds):
            while not holds(self):
                message = await self.ws.receive()
                if message.type == aiohttp.WSMsgType.TEXT:
                    self.told.append(json.loads(message.data))
                elif message.type == aiohttp.WSMsgType.BINARY:
                    await self._draw(message.data)
                else:
                    raise AssertionError(f"the socket ended: {message}")
        return self

    async def _draw(self, data):
        length = int.from_bytes(data[:4], "little")
        header, pixels = json.loads(data[4 : 4 + length]), np.frombuffer(data[4 + length :], "u1")
        size = int(np.prod(header["shape"]))
        header["picture"] = pixels[:size].reshape(header["shape"])
        if header["truth"]:
            header["true"] = pixels[size:].reshape(header["truth"])
        self.frames.append(header)
        await self.say(type="shown", frame=header["frame"])

    def errors(self):
        return [one["text"] for one in self.told if one["type"] == "error"]

    def session(self):
        return next(one for one in reversed(self.told) if one["type"] == "session")


async def until(holds):
    async with asyncio.timeout(SECONDS):
        while not holds():
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def page_of(client, paused=True, **options):
    async with client.ws_connect("/socket", **options) as ws:
        page = Page(ws)
        if paused:
            await page.say(type="pause", on=True)
            await page.until(lambda one: one.told and one.session()["paused"] and one.frames)
        yield page


def runs(test):
    """An async test, without a plugin."""

    def wrapped():
        asyncio.run(test())

    wrapped.__name__, wrapped.__doc__ = test.__name__, test.__doc__
    return wrapped


@runs
async def test_the_page_is_whole_and_asks_nobody_else():
    async with client_of(stage()) as client:
        answer = await client.get("/")
        html = await answer.text()
        assert (
            answer.status == 200
            and "default-src 'none'" in answer.headers["Content-Security-Policy"]
        )
        for part in ("page.css", "main.js", "socket.js", "keys.js", "legend.js", "screen.js"):
            found = await client.get(f"/page/{part}")
            html += await found.text()
            assert found.status == 200 and found.headers["X-Content-Type-Options"] == "nosniff"
        assert "https://" not in html and html.count("http://") == html.count("http://www.w3.org")
        assert (await client.get("/page/server.py")).status == 404
        facts = await (await client.get("/facts.json")).json()
        assert facts["size"] == [SIZE, SIZE, 3] and len(facts["starts"]) == 2
        assert [one["keys"] for one in facts["keyboards"][0]["actions"]] == [
            [],
            ["left"],
            ["right"],
        ]


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "localhost:1"},
        {"Host": "localhost.evil.example:{port}"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://localhost:1"},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Origin": "null"},
        {"Host": "localhost:{port}", "Origin": "http://127.0.0.1:{port}"},
    ],
)
def test_foreign_hosts_and_origins_are_refused(headers):
    async def tried():
        async with client_of(stage()) as client:
            given = {key: value.format(port=client.port) for key, value in headers.items()}
            answers = [await client.get(path, headers=given) for path in ("/", "/facts.json")]
            assert [answer.status for answer in answers] == [403, 403]
            assert f"http://localhost:{client.port}" in await answers[0].text()
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await client.ws_connect("/socket", headers=given)
            assert refused.value.status == 403
            own = {"Host": f"localhost:{client.port}", "Origin": f"http://localhost:{client.port}"}
            assert (await client.get("/", headers=own)).status == 200
            async with client.ws_connect("/socket", headers=own):
                pass

    asyncio.run(tried())


@runs
async def test_a_key_moves_the_picture_and_its_stamp_comes_back():
    async with client_of(stage()) as client, page_of(client) as page:
        before = page.frames[-1]["picture"]
        await page.say(type="hold", code=2, stamp=41.5)
        await page.say(type="step")
        await page.until(lambda one: one.frames[-1]["stamp"] == 41.5)
        last = page.frames[-1]
        assert last["code"] == 2
        np.testing.assert_array_equal(last["picture"], np.roll(before, 1, 1))


def test_a_key_brings_its_frame_forward_by_half_a_frame_at_most():
    assert seconds_until(10.0, 9.25, 2, pressed=False) == 0.75
    assert seconds_until(10.0, 9.25, 2, pressed=True) == 0.5
    assert seconds_until(10.0, 9.8, 2, pressed=True) == 0


@runs
async def test_it_plays_by_itself_and_waits_for_a_page_that_does_not_draw():
    one = stage()
    async with client_of(one) as client, page_of(client, paused=False) as page:
        await page.until(lambda page: len(page.frames) > 8)
        assert page.frames[-1]["step"] >= 6
    async with client_of(one) as client, client.ws_connect("/socket"):
        await asyncio.sleep(0.05)
        before = one.world.steps
        await asyncio.sleep(0.3)  # 15 frames at 50 per second
        assert one.world.steps - before <= 3


@runs
async def test_two_tabs_do_not_disturb_each_other():
    async with client_of(stage()) as client, page_of(client) as one, page_of(client) as other:
        await one.say(type="start", index=1, seed=5)
        await one.until(
            lambda page: page.session()["start"] == 1 and not page.session()["beginning"]
        )
        await one.say(type="step", code=1)
        await one.until(lambda page: page.frames[-1]["step"] == 1)
        np.testing.assert_array_equal(other.frames[-1]["picture"], pictures()[0, 0])
        np.testing.assert_array_equal(one.frames[-1]["picture"], np.roll(pictures()[1, 0], -1, 1))
        await other.say(type="keep", value=2)
        await other.until(lambda page: page.session()["keep"] == 2)
        assert one.session()["keep"] == 1 and other.session()["start"] == 0


@runs
async def test_undo_shows_the_frame_that_was():
    async with client_of(stage()) as client, page_of(client) as page:
        for _ in range(2):
            await page.say(type="step", code=1)
        await page.until(lambda page: page.frames[-1]["step"] == 2)
        shown = {frame["step"]: frame["picture"] for frame in page.frames}
        await page.say(type="undo")
        await page.until(lambda page: page.frames[-1]["step"] == 1)
        np.testing.assert_array_equal(page.frames[-1]["picture"], shown[1])


@runs
async def test_bad_messages_are_one_answer_each_and_the_page_stays_alive():
    async with client_of(stage()) as client, page_of(client) as page:
        await page.ws.send_str("no JSON")
        await page.ws.send_bytes(b"\x00")
        await page.ws.send_str(json.dumps({"type": "hold", "code": 1, "name": "x" * LARGEST}))
        await page.say(type="hold", code=99)
        await page.say(type="start", index=-1)
        await page.until(lambda page: len(page.errors()) == 5)
        assert "4096" in page.errors()[2] and "no code 99" in page.errors()[3]
        assert "no simulator" in page.errors()[4]
        await page.say(type="step", code=1)
        await page.until(lambda page: page.frames[-1]["step"] == 1)


@runs
async def test_a_flood_is_told_once_and_ends():
    async with client_of(stage()) as client, page_of(client) as page:
        (tab,) = client.app[server.TABS]
        tab._budget = Budget(rate=5, burst=10, now=time.monotonic())
        for _ in range(100):
            await page.say(type="release")
        await page.until(lambda page: page.errors())
        while not page.frames[-1]["step"]:  # what comes before it was quiet is not read either
            await asyncio.sleep(1.5)
            await page.say(type="step", code=1)
            with contextlib.suppress(TimeoutError):
                await page.until(lambda page: page.frames[-1]["step"], seconds=1.0)
        assert len(page.errors()) == 1 and "too many" in page.errors()[0]


@runs
async def test_frames_go_on_after_a_flood_in_which_it_was_lost_that_they_were_drawn():
    async with client_of(stage()) as client, client.ws_connect("/socket") as ws:
        (tab,) = client.app[server.TABS]
        tab._budget = Budget(rate=1000, burst=10, now=time.monotonic())
        await until(lambda: tab._sent - tab._shown == 3)  # nobody says that they were drawn
        tab._budget.dropped = 1
        await ws.send_str('{"type": "release"}')
        await until(lambda: tab._sent > 3)


@runs
async def test_a_message_that_is_not_read_to_its_end_closes_its_socket_alone():
    async with client_of(stage()) as client, page_of(client) as other:
        async with client.ws_connect("/socket") as ws:
            await ws.send_str("x" * (100 * LARGEST))
            async with asyncio.timeout(SECONDS):
                while (message := await ws.receive()).type in (1, 2):
                    pass
            assert message.data == aiohttp.WSCloseCode.MESSAGE_TOO_BIG
        await other.say(type="step", code=1)
        await other.until(lambda page: page.frames[-1]["step"] == 1)


@runs
async def test_a_closed_tab_gives_back_what_it_held():
    async with client_of(stage()) as client:
        tabs = client.app[server.TABS]
        async with page_of(client):
            (tab,) = tabs
            state = weakref.ref(tab.session.now.state)
            gone = weakref.ref(tab)
            del tab
        await until(lambda: not tabs)

        def freed():
            gc.collect()
            return state() is None and gone() is None

        await until(freed)  # Its handler has a last line to run after it left the list.


@runs
async def test_more_tabs_than_there_is_room_for_are_told():
    async with client_of(stage()) as client, contextlib.AsyncExitStack() as stack:
        for _ in range(server.MOST_TABS):
            await stack.enter_async_context(client.ws_connect("/socket"))
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.ws_connect("/socket")
        assert refused.value.status == 503


@runs
async def test_a_slow_step_does_not_keep_others_waiting():
    one = stage()
    async with client_of(one) as client, page_of(client) as page:
        one.world.gate.clear()
        before = one.world.entered
        await page.say(type="step", code=1)
        await until(lambda: one.world.entered > before)
        await page.say(type="hold", code=2)  # read while the step is computed
        await page.say(type="rate", fps=20)
        await page.until(lambda page: page.session()["fps"] == 20)
        assert (await client.get("/facts.json")).status == 200
        one.world.gate.set()
        await page.until(lambda page: page.frames[-1]["step"] == 1)
        assert page.frames[-1]["code"] == 1


@runs
async def test_a_step_that_fails_is_told_and_the_page_plays_on():
    one = stage()
    async with client_of(one) as client, page_of(client) as page:
        for failure in (ValueError("codes hold NaN"), RuntimeError("boom")):
            one.world.fail = failure
            await page.say(type="step", code=1)
            await page.until(lambda page: str(failure) in "".join(page.errors()))  # noqa: B023
        one.world.fail = None
        before = page.frames[-1]["picture"]
        await page.say(type="step", code=1)
        await page.until(lambda page: page.frames[-1]["step"] == 1)
        assert len(page.errors()) == 2 and page.session()["paused"]
        np.testing.assert_array_equal(page.frames[-1]["picture"], np.roll(before, -1, 1))


class Truth:
    """A simulator that shows how many actions it saw; lost at the third."""

    why, lives, closed = "", True, False

    def __init__(self):
        self.actions = []

    @property
    def steps(self):
        return len(self.actions)

    def begin(self, seed, still, count):
        assert still == 0
        self.actions = []
        return np.full((count, SIZE, SIZE, 3), seed, np.uint8)

    def rewind(self, count):
        self.actions = self.actions[:count]

    def act(self, action):
        self.actions.append(action)
        if len(self.actions) == 3:
            raise SimulatorLost("the simulator was lost (killed)")
        return np.full((SIZE, SIZE, 3), 10 * len(self.actions) + action, np.uint8)

    def close(self):
        self.closed = True


@runs
async def test_the_simulator_is_fed_the_same_actions_goes_back_and_may_be_lost():
    truths = []
    one = stage(truth=lambda: truths.append(Truth()) or truths[-1])
    async with client_of(one) as client:
        async with page_of(client) as page:
            await page.say(type="start", index=-1, seed=7)
            await page.until(lambda page: page.frames[-1]["truth"])
            assert (page.frames[-1]["picture"] == 7).all()  # the world starts from its picture
            for step, code in enumerate((1, 2), 1):
                await page.say(type="step", code=code)
                await page.until(lambda page, step=step: page.frames[-1]["step"] == step)
            assert truths[0].actions == [1, 2] and (page.frames[-1]["true"] == 22).all()
            await page.say(type="undo")
            await page.say(type="step", code=1)
            await page.until(lambda page: len(page.frames) and page.frames[-1]["code"] == 1)
            assert truths[0].actions == [1, 1]
            await page.say(type="step", code=1)
            await page.until(lambda page: page.errors())
            assert "was lost" in page.errors()[0]
            await page.until(lambda page: page.frames[-1]["step"] == 3)
            assert page.frames[-1]["truth"] is None
        await until(lambda: truths[0].closed)


def test_recordings_are_written_served_and_made_into_records(tmp_path):
    async def recorded():
        one = stage(out=tmp_path, starts=pictures(3), labels=("a", "b", "c"))
        async with client_of(one) as client, page_of(client) as page:
            assert (await client.get("/recorded/play_0001.gif")).status == 404
            await page.say(type="records")
            await page.say(type="records")  # while the first are made, and refused: too few plays
            await page.until(lambda page: len(page.errors()) == 2)
            assert sum("are being made already" in told for told in page.errors()) == 1
            for play in range(3):
                await page.say(type="start", index=play, seed=play)
                await page.until(lambda page: page.session()["seed"] == play)  # noqa: B023
                await page.say(type="record", on=True)
                for step in range(9 + play):
                    await page.say(type="step", code=1 + (step + play) % 2)
                    await page.until(lambda page: page.frames[-1]["step"] == step + 1)  # noqa: B023
                await page.say(type="record", on=False)
                wanted = play + 1
                await page.until(lambda page: len(saved(page)) == wanted)  # noqa: B023
            film = await client.get("/recorded/play_0001.gif")
            assert film.status == 200 and (await film.read()).startswith(b"GIF89a")
            assert (await client.get("/recorded/..%2Fsettings.json")).status == 404
            await page.say(type="records")
            await page.until(lambda page: len(saved(page)) == 4 or len(page.errors()) > 2)
            assert saved(page)[-1] == ["records_0001"], page.errors()

    def saved(page):
        return [one["files"] for one in page.told if one["type"] == "saved"]

    from data_pipelines.loading.loader import ordered_batches

    asyncio.run(recorded())
    (batch,) = ordered_batches(tmp_path / "records_0001", (), "train", 64, fields=("action",))
    before, after = batch["frames"][:, 0], batch["frames"][:, 1]
    for o_t, o_next, action in zip(before, after, np.ravel(batch["action"]), strict=True):
        move = list(MOVES.values())[action][0]
        np.testing.assert_array_equal(o_next, np.roll(o_t, move, 1))


def test_a_port_in_use_offers_the_next():
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"port {port} is in use.*--port=\d+"):
            server.listening_socket(port)
    server.listening_socket(port).close()


def test_a_missing_aiohttp_is_told_with_its_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "aiohttp", None)  # what Python takes for not installed
    monkeypatch.delitem(sys.modules, server.__name__)
    with pytest.raises(UserError, match=r"needs aiohttp.*pip install 'flexlam_jax\[play\]'"):
        importlib.import_module(server.__name__)


def test_starts_of_another_size_are_refused():
    with pytest.raises(UserError, match="8x8x3, the world's are 16x16x3"):
        stage(starts=np.zeros((1, 1, 8, 8, 3), np.uint8))
