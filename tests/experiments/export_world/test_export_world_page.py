"""The file plays a world in a browser as the package does, and nothing leaves it."""

import asyncio
import dataclasses
import re

import numpy as np
import pytest

from experiments.export_world import contents, runtime
from experiments.export_world.document import POLICY, bundle
from experiments.export_world.runtime import Runtime
from experiments.play.controls import Code, Keyboard
from experiments.play.stage import Stage
from flexlam_jax.models.bottleneck import null_fill
from flexlam_jax.serving import browser
from tests.experiments.export_world import chromium
from tests.models.tiny_lam import random_frames
from tests.serving.drafting_world import drafting_world
from tests.untrained import SIZE

STEPS = 2
NAMES = ("stay", "left", "right")
DIGITS = [("1", "Digit1"), ("2", "Digit2"), ("3", "Digit3")]
PIXELS = """(() => { const canvas = document.getElementById("world");
    const all = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    return [...all].filter((_, number) => number % 4 < 3); })()"""


def keyboard(keep, null):
    slots = 2 * np.random.default_rng(keep).standard_normal((3, 3, 2)).astype(np.float32)
    slots = np.asarray(null_fill(slots, np.full(3, keep, np.int32), null))
    codes = [
        Code(one, f"{number}", 1 / 3, (0, 0), action=number, action_name=name, validated=not number)
        for number, (name, one) in enumerate(zip(NAMES, slots, strict=True))
    ]
    return Keyboard(keep, codes, 3, {name: number for number, name in enumerate(NAMES)}, 0)


@pytest.fixture(scope="module")
def stage():
    world = drafting_world()
    return Stage(
        world=world,
        controls={keep: keyboard(keep, world.variables["null"]) for keep in world.budgets},
        starts=random_frames((2, world.history, SIZE, SIZE, 3), seed=6),
        labels=("first </script>", "second"),
        title="A <b>tiny</b> world",
        about={"checkpoint": "/some/where/dynamics"},
        fps=30.0,
    )


@pytest.fixture(scope="module")
def text(stage):
    """With another runtime than one that runs, where none is cached: nothing is fetched here."""
    kept = runtime.cached()
    runs = runtime.open_runtime(str(kept)) if kept.is_file() else Runtime(b"script", b"binary")
    return contents.page(stage, STEPS, runs)


def test_nothing_in_the_file_is_an_address_elsewhere(text):
    assert f'content="{POLICY}"' in text and "connect-src" not in POLICY.replace(
        "default-src 'none'", ""
    )
    head, _, rest = text.partition('<script type="application/json"')
    own = head + rest[rest.rindex('<script type="module">') :]
    assert set(re.findall(r"\w+://[^\s\"']*", own)) <= {"http://www.w3.org/2000/svg"}  # A name.
    assert set(re.findall(r'(?:src|href)="([^"]*)"', own)) == {"data:,"}
    assert "/some/where" not in text and "checkpoint dynamics" in text
    assert text.count("</script>") == 7 and "MIT License" in head
    assert not re.search(
        r"^\s*(import|export) ", rest[rest.rindex('<script type="module">') :], re.M
    )


def test_modules_are_put_together_with_names_of_their_own(tmp_path):
    (tmp_path / "one.js").write_text(
        "const hidden = 1;\nexport function shown() { return hidden; }\n"
    )
    (tmp_path / "two.js").write_text(
        'import { shown as other } from "./one.js";\nconst hidden = 2;\nother() + hidden;\n'
    )
    assert bundle([tmp_path / "one.js", tmp_path / "two.js"]) == (
        "const _one = (() => {\nconst hidden = 1;\nfunction shown() { return hidden; }\n"
        "return { shown };\n})();\n\n"
        "const { shown: other } = _one;\nconst hidden = 2;\nother() + hidden;\n"
    )


@pytest.mark.skipif(
    not chromium.PROGRAM or not runtime.cached().is_file(),
    reason="needs Chromium, and onnxruntime-web in the cache folder: run experiments.export_world once",
)
def test_it_plays_in_a_browser_what_the_world_plays(stage, text, tmp_path):
    (tmp_path / "world.html").write_text(text)
    found = asyncio.run(played((tmp_path / "world.html").as_uri()))
    world = browser.half_precision(stage.world)
    state = world.start(stage.starts[1:2])
    board = stage.controls[1]
    for number, (digit, told) in enumerate(zip([0, 1, 2, 1], found["frames"], strict=True)):
        codes = board.codes[digit].slots[None]
        wanted, state = world.step(state, codes, board.keep, steps=STEPS, temperature=0.0)
        difference = np.abs(np.reshape(told, wanted.shape[1:]).astype(int) - wanted[0])
        assert difference.max() <= 1, number  # Pixels are rounded.
    by_key = [np.array(one) for one in found["by_key"]]
    assert any(np.any(one != by_key[0]) for one in by_key[1:])
    assert np.array_equal(found["undone"], found["frames"][2])
    assert found["running"] > 3 and found["marks"] == 2 and found["keep"] == "2"
    assert "1 of 3 codes are validated" in found["legend"]
    assert found["overflow"] <= 0
    assert found["title"] == "A <b>tiny</b> world"
    elsewhere = [
        one for one in found["requests"] if not one.startswith(("file:", "data:", "blob:"))
    ]
    assert not elsewhere and len([one for one in found["requests"] if one.startswith("file:")]) == 1
    assert not found["problems"]


async def played(address):
    """What the page shows of a play by keys alone: single steps at temperature 0, then running."""
    async with chromium.opened(address, width=390, height=844) as page:
        number = "Number(document.getElementById('number').textContent)"
        at = lambda name: page.evaluate(f"document.getElementById('{name}').textContent")

        async def step(key):
            before = await page.evaluate(number)
            await page.down(*key)
            await page.press(".", "Period")
            await page.until(f"{number} === {before + 1}")
            await page.up(*key)
            return await page.evaluate(PIXELS)

        await page.until("document.getElementById('veil')?.hidden")
        await page.press("p", "KeyP")
        await page.evaluate("document.getElementById('temperature').value = 0")
        await page.press("n", "KeyN")
        await page.until(f"{number} === 0 && document.getElementById('undo').disabled")
        found = {"frames": [await step(DIGITS[digit]) for digit in (0, 1, 2, 1)]}
        await page.press("u", "KeyU")
        found["undone"] = await page.evaluate(PIXELS)
        found["by_key"] = []
        for key in DIGITS:
            found["by_key"].append(await step(key))
            await page.press("u", "KeyU")
        await page.press("p", "KeyP")
        await page.until(f"{number} > 6")
        found["running"] = await page.evaluate(number)
        await page.press("]", "BracketRight")
        found["keep"] = await at("kept")
        found["marks"] = await page.evaluate("document.querySelectorAll('#codes .mark').length")
        found["legend"], found["title"] = await at("legend"), await at("title")
        found["overflow"] = await page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        found |= {"requests": page.requests, "problems": page.problems}
        return found


def test_a_world_is_told_by_its_own_sizes(stage):
    world = browser.half_precision(stage.world)
    told = contents.facts_of(dataclasses.replace(stage, fps=6.0), world, 3)
    assert told["world"]["cache"] == (2, 4, 2, 8) and told["world"]["drafts"]
    assert told["fps"] == 6.0 and told["steps"] == 3
    assert [board["keep"] for board in told["keyboards"]] == [1, 2, 3]
