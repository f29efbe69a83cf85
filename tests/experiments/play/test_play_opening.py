"""From a checkpoint and a dataset to a stage, and what the command refuses."""

import contextlib
import dataclasses
import json
import socket

import numpy as np
import pytest

from data_pipelines.conversion.build import prepare
from data_pipelines.registry import recipe_options
from data_pipelines.simulators.doom.game import Doom
from experiments.play import opening
from experiments.play.choices import Choices
from experiments.play.opening import open_stage
from experiments.play.truth import simulator_task
from flexlam_jax.errors import UserError
from tests.experiments.command_lines import run_lines
from tests.untrained import SIZE, save_run


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("play")
    for name, size in (("data", SIZE), ("large", 2 * SIZE)):
        options = recipe_options("synthetic", f"--size={size}", "--episodes=5")
        prepare("synthetic", folder / name, options)
    save_run(folder / "run", data={"path": str(folder / "data"), "gap": 1})
    return folder


def choices(place, **changes):
    return dataclasses.replace(Choices(str(place / "run"), starts=3, transitions=96), **changes)


def test_a_latent_action_model_is_played(place):
    stage = open_stage(choices(place))
    assert sorted(stage.controls) == [1, 2, 3] and stage.first.keep == 1
    assert stage.starts.shape == (3, 1, SIZE, SIZE, 3) and len(set(stage.labels)) == 3
    assert stage.names == ("stay", "left", "right", "up", "down")
    assert stage.controls[1].typed and "synthetic, which plays no simulator" in stage.why
    board = stage.controls[1]
    state = stage.world.start(stage.starts[:1])
    frames, _ = stage.world.step(state, board.codes[0].slots[None], board.keep)
    assert frames.shape == (1, SIZE, SIZE, 3)
    assert '"stay"' in stage.facts
    about = [(one["text"], one["whole"]) for one in json.loads(stage.facts)["about"]]
    assert about[0] == ("checkpoint run", str(place / "run"))
    assert ("data data", str(place / "data")) in about


def test_data_of_another_size_are_refused(place):
    with pytest.raises(UserError, match=f"{2 * SIZE}x{2 * SIZE}x3, the model reads"):
        open_stage(choices(place, data=str(place / "large")))


def test_a_model_that_is_not_the_worlds_is_refused(place):
    stage = open_stage(choices(place, transitions=32))
    other = type("Lam", (), {"slots": 9, "slot_width": 2, "frame_shape": (8, 8, 3)})
    with pytest.raises(UserError, match="give the model that it was trained with"):
        opening.check_lam(stage.world, other)


def test_the_task_of_a_dataset_is_the_longest_that_fits():
    assert simulator_task(Doom.tasks(), "my_way_home_sticky") == "my_way_home"
    assert simulator_task(("a", "a_b"), "a_b_random") == "a_b"
    assert simulator_task(("a",), "ab_random") == ""


def test_what_the_command_refuses(place):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        run = f"--checkpoint={place}/run"
        lines = {
            (run, f"--port={port}"): f"port {port} is in use; take the next free one, --port=",
            (run, "--port=70000"): "70000 is not an integer in the range",
            (run, "--port=0", f"--data={place}/large"): "prepare the data at that size",
            (run, "--port=0", "--datasets=circle"): "holds no dataset 'circle'",
            (run, "--port=0", f"--out={place}/data"): "holds a dataset",
            (f"--checkpoint={place}/data", "--port=0"): "no checkpoint",
        }
        results = run_lines("play.command", [list(line) for line in lines])
    for (code, _, told, _), wanted in zip(results, lines.values(), strict=True):
        assert code == 1 and wanted in told and told.count("\n") == 1, told
    assert not np.any([child.name == "settings.json" for child in (place / "data").iterdir()])
