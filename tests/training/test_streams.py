"""Streams of different rows, as the loader's joint batches, through the one loop."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_pipelines.conversion.build import prepare
from data_pipelines.loading.joint import joint_batches
from data_pipelines.registry import recipe_options
from flexlam_jax.checkpoints.fingerprint import batch_fingerprint
from flexlam_jax.errors import UserError
from flexlam_jax.objectives.objective import Mean
from flexlam_jax.objectives.terms import Term, objective_of
from flexlam_jax.parallel.mesh import make_mesh
from flexlam_jax.training.augmentation import make_augmentation
from flexlam_jax.training.loop import fit
from tests.training import toy

pytestmark = pytest.mark.usefixtures("shared_compilations")
ROWS = {"labelled": 4, "video": 8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("data") / "synthetic"
    prepare(
        "synthetic", out, recipe_options("synthetic", "--episodes=6", "--length=27", "--size=16")
    )
    return out


def batches(folder, rows=ROWS):
    labelled = {"path": str(folder), "fields": ("action",)}
    return joint_batches(
        {"labelled": labelled, "video": {"path": str(folder)}}, seed=0, batch_size=rows
    )


def objective():
    """Mean colours of o_{t+1} from those of o_t for the video, the action for what has one."""

    def colours(params, extra, batch, key):
        means = {name: jnp.mean(rows["frames"] / 255.0, (2, 3)) for name, rows in batch.items()}
        return means, extra

    def move(head, means, batch, key):
        return Mean.of((means["video"][:, 0] @ head - means["video"][:, 1]) ** 2)

    def action(head, means, batch, key):
        return Mean.of((means["labelled"].reshape(-1, 6) @ head - batch["labelled"]["action"]) ** 2)

    return objective_of(
        lambda key, batch: {"params": {}},
        colours,
        [
            Term("move", move, init=lambda key, *_: jax.random.normal(key, (3, 3))),
            Term("action", action, init=lambda *_: jnp.zeros((6, 1)), coefficient=0.1),
        ],
        transitions_per_row={"labelled": 0, "video": 1},
    )


def train(workdir, data, steps=6, **overrides):
    config = toy.config(total_steps=steps, optimizer__schedule="constant", **overrides)
    with config.ignore_type():
        config.batch_size = ROWS
    return fit(objective(), data, config, workdir, mesh=make_mesh(config.mesh))


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory, shared_compilations):
    workdir = tmp_path_factory.mktemp("whole")
    return workdir, train(workdir, batches(folder))


def rows_of(workdir, name="metrics"):
    return [json.loads(line) for line in (workdir / f"{name}.jsonl").read_text().splitlines()]


def test_joint_batches_train_and_resume_exactly(folder, whole, tmp_path):
    train(tmp_path, batches(folder), steps=3)
    state = train(tmp_path, batches(folder))
    jax.tree.map(np.testing.assert_array_equal, state, whole[1])
    assert rows_of(tmp_path)[-1] == rows_of(whole[0])[-1]
    assert {"move", "action", "loss"} <= set(rows_of(tmp_path)[-1])


def test_speed_counts_the_rows_of_all_streams(whole):
    speed = rows_of(whole[0], "performance")[-1]
    ratio = speed["performance/examples_per_second"] / speed["performance/transitions_per_second"]
    np.testing.assert_allclose(ratio, 12 / 8)
    assert speed["performance/mfu"] > 0, "FLOPs are counted where the objective gives none"


def test_accumulation_cuts_every_stream(folder, whole, tmp_path):
    train(tmp_path, batches(folder), optimizer__accumulate=4)
    for a, b in zip(rows_of(whole[0]), rows_of(tmp_path), strict=True):
        assert a["batch"] == b["batch"]
        np.testing.assert_allclose(b["loss"], a["loss"], rtol=1e-4)


def test_rows_that_do_not_divide_name_their_stream(folder, tmp_path):
    with pytest.raises(UserError, match="batch_size.labelled=4 must be a multiple of 8"):
        train(tmp_path / "run", batches(folder), optimizer__accumulate=8)
    assert not (tmp_path / "run").exists()


def test_data_of_other_streams_or_rows(folder, tmp_path):
    with pytest.raises(
        UserError, match=r"streams \['labelled'\].* rows for \['labelled', 'video'\]"
    ):
        only = {"labelled": {"path": str(folder)}}
        train(tmp_path / "a", joint_batches(only, seed=0, batch_size={"labelled": 4}))
    with pytest.raises(
        UserError, match="'labelled/action' of shape .* 4 rows of a global batch of 4"
    ):
        train(tmp_path / "b", batches(folder, {"labelled": 6, "video": 8}))


def test_the_fingerprint_of_streams_tells_the_rows_of_each():
    def stream(*episodes):
        return {"frames": np.zeros((len(episodes), 2)), "episode": np.array(episodes, np.int32)}

    flat = stream(1, 2)
    assert batch_fingerprint(flat) == batch_fingerprint({"episode": flat["episode"]})
    values = [
        int(batch_fingerprint({"a": stream(*a), "b": stream(*b)}))
        for a, b in (((1, 2), (3,)), ((2, 1), (3,)), ((1, 2), (4,)), ((3,), (1, 2)))
    ]
    assert len(set(values)) == 4


def test_streams_draw_their_augmentation_apart():
    frames = np.full((2, 2, 4, 4, 3), 100, np.uint8)
    augment = make_augmentation({"brightness": 0.5})
    out = augment({"a": {"frames": frames}, "b": {"frames": frames, "t": 0}}, jax.random.key(0))
    assert out["b"]["t"] == 0 and (out["a"]["frames"] != frames).all()
    assert (out["a"]["frames"] != out["b"]["frames"]).all()
