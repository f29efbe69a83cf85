import base64
import io
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from flexlam_jax.reports.clip import Clip, Reel, Screen, clip_figure
from flexlam_jax.reports.page import Clips, page
from flexlam_jax.reports.results import Slider

FRAMES, SIDE = 18, 8


def reel(grey, note):
    """Frames of one grey each, 2 more from one to the next."""
    greys = (grey + 2 * np.arange(FRAMES)).astype(np.uint8)[:, None, None, None]
    frames = np.broadcast_to(greys, (FRAMES, SIDE, SIDE, 3))
    return Reel(frames, [f"{note} {i}" for i in range(FRAMES)])


def clip(values=(1, 4, 8)):
    """The truth, a model with a reel for every position, and one with the same for all."""
    every = [reel(60 + 50 * i, f"<flex> {k}:") for i, k in enumerate(values)]
    slider = Slider("slots kept", "k", list(values), [f"k = {k}" for k in values])
    screens = [
        Screen("o_{t+1}, true", [reel(20, "copying")], [0] * len(values)),
        Screen("flex", every, range(len(values)), compared=True),
        Screen("fixed & k", [reel(200, "fixed")], [0] * len(values), compared=True),
    ]
    return Clip("one & all", screens, slider, range(0, 2 * FRAMES, 2), 36, fps=5.0)


def data_of(shown):
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', shown).group(1))


def test_every_frame_of_every_version_is_where_the_page_looks_for_it():
    shown = clip_figure(clip(), 2)
    data = data_of(shown)
    rules = dict(
        re.findall(r"\.([\w-]+)\{background-image:url\(data:image/jpeg;base64,([^)]*)", shown)
    )
    assert len(rules) == 5
    for grey, name in ((20, "clip-2-0-0"), (110, "clip-2-1-1"), (200, "clip-2-2-0")):
        sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(rules[name]))).convert("L"))
        columns, rows = sheet.shape[1] // SIDE, sheet.shape[0] // SIDE
        for frame in (0, 5, FRAMES - 1):
            x, y = (float(part.rstrip("%")) / 100 for part in data["places"][frame].split())
            left, top = round(x * (columns - 1) * SIDE), round(y * (rows - 1) * SIDE)
            seen = sheet[top : top + SIDE, left : left + SIDE]
            np.testing.assert_allclose(seen, grey + 2 * frame, atol=3)
    assert [screen["shown"] for screen in data["screens"]] == [[0, 0, 0], [0, 1, 2], [0, 0, 0]]
    assert data["steps"][:2] == ["step 0 of 36", "step 2 of 36"]


def test_without_javascript_the_first_frames_at_the_last_position_are_there():
    shown = page("look", [Clips("Whole clips", [clip(), clip((3,))], "words")])
    assert "&lt;flex&gt; 8: 0</b>" in shown and "<flex>" not in shown.split("<script")[0]
    assert 'class="shot screen clip-0-1-2" role="img"' in shown and "one &amp; all" in shown
    assert "o<sub>t+1</sub>, true" in shown and "fixed &amp; k <b>" in shown
    assert shown.count('<div class="control" hidden>') == 3  # One position needs no slider.
    assert shown.count('id="clip-0-k"') == 1 and "http" not in shown


_DRIVER = """
const listeners = [];
function element(extra) {
  const of = {style: {}, attributes: {}, handlers: {}, children: [], classes: new Set(), hidden: true,
    setAttribute(name, value) { this.attributes[name] = value; },
    addEventListener(name, run) { this.handlers[name] = run; }, ...extra};
  of.classList = {add(...names) { names.forEach((one) => of.classes.add(one)); },
    remove(...names) { names.forEach((one) => of.classes.delete(one)); }};
  return of;
}
function clipOf(data) {
  const through = element(), k = element(), button = element();
  const outputs = [element(), element()];
  const screens = data.screens.map(function () {
    const note = element(), text = element({querySelector: () => note, textContent: ""});
    return element({note, parentNode: {querySelector: () => text}});
  });
  const controls = [element(), element({querySelector: () => k})];
  const parts = {script: {textContent: JSON.stringify(data)}, ".through": through,
    ".control button": button, ".differ": null};
  return {through, k, outputs, screens, controls, button,
    querySelector: (name) => parts[name],
    querySelectorAll: (name) => ({output: outputs, ".control": controls, ".screen": screens})[name]};
}
const data = JSON.parse(require("fs").readFileSync(0, "utf8"));
const clips = [clipOf(data), clipOf(data)], changes = {};
globalThis.document = {querySelectorAll: (name) => name === "figure.clip" ? clips : []};
globalThis.window = {location: {hash: "#k=5"}, addEventListener(name, run) { changes[name] = run; }};
globalThis.history = {replaceState(a, b, address) { globalThis.address = address; }};
require("vm").runInThisContext(require("fs").readFileSync(process.argv[1], "utf8"));
const said = [];
function say() {
  const texts = (clip) => clip.outputs.map((one) => one.textContent);
  const seen = (one) =>
    [one.note.textContent, [...one.classes].join(), one.style.backgroundPosition];
  said.push(clips.map((clip) => [texts(clip), clip.screens.map(seen)]));
}
say();
clips[0].through.value = 4;
clips[0].through.handlers.input();
clips[1].k.value = 0;
clips[1].k.handlers.input();
say();
console.log(JSON.stringify({said, address: globalThis.address, shown: clips[0].controls[0].hidden}));
"""


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
def test_sliders_show_frames_and_those_over_k_move_together(tmp_path):
    data = data_of(clip_figure(clip(), 0))
    script = re.findall(r"<script>\n(.*?)</script>", page("", []), re.DOTALL)[0]
    (tmp_path / "page.js").write_text(script)
    ran = subprocess.run(
        ["node", "-e", _DRIVER, str(tmp_path / "page.js")],
        input=json.dumps(data),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    before, after = said["said"]
    # The address asks for 5; 4 is the longest that is not above it.
    for of in before:
        assert of[0] == ["step 0 of 36", "k = 4"]
        assert of[1][1] == ["<flex> 4: 0", "clip-0-1-1", data["places"][0]]
    assert after[0][0] == ["step 8 of 36", "k = 1"] and after[1][0] == ["step 0 of 36", "k = 1"]
    assert after[0][1] == [
        ["copying 4", "clip-0-0-0", data["places"][4]],
        ["<flex> 1: 4", "clip-0-1-0", data["places"][4]],
        ["fixed 4", "clip-0-2-0", data["places"][4]],
    ]
    assert said["address"] == "#k=1" and said["shown"] is False
