"""Skills from frames: a frozen model encodes and decodes inside the step; vectors of other programs."""

import json
import shutil

import jax
import numpy as np
import pytest
from etils import epath

import flexlam_jax
from data_pipelines.errors import DataError
from data_pipelines.format.manifest import open_dataset
from data_pipelines.format.sidecar_writing import write_sidecar
from data_pipelines.format.sidecars import split_episodes
from data_pipelines.loading.loader import ordered_batches
from experiments.tasks.registry import as_run, build_task
from experiments.train import train
from flexlam_jax.checkpoints.files import item_metadata
from flexlam_jax.checkpoints.params import restore_params
from flexlam_jax.errors import ConfigError
from tests.experiments import tiny_hilam
from tests.experiments.pretraining import Pretraining
from tests.untrained import save_run

pytestmark = pytest.mark.usefixtures("shared_compilations")

LENGTH = 5


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    pretraining = Pretraining(tmp_path_factory.mktemp("shared"))
    pretraining.prepare()
    return str(pretraining.data)


@pytest.fixture(scope="module")
def lam(tmp_path_factory):
    """Work directory of an untrained model with gap 2, and heads that served its training."""
    folder = tmp_path_factory.mktemp("lam") / "run"
    return str(save_run(folder, data={"gap": 2}))


def config_of(data, lam, **loss):
    config = tiny_hilam.get_config(data)
    config.data.column_chunk = LENGTH
    config.lam.checkpoint = lam
    config.loss.update(loss)
    return config


def with_encoded(config, lam, folder):
    """The config with sidecars of what the model makes of all transitions, as extract_latents."""
    model, info = flexlam_jax.load(lam), open_dataset(config.data.path)
    made_by = {"model": model.fingerprint(), "step": 2, "slots": 3, "slot_width": 2}
    made_by["codebook_size"] = model.codebook_size
    for name, splits in info.shards.items():
        for split in splits:
            batches = ordered_batches(config.data.path, (name,), split, gap=2)
            frames = np.concatenate([batch["frames"] for batch in batches])
            slots, _ = model.encode_with_ids(frames[:, 0], frames[:, 1])
            write_sidecar(
                folder,
                info,
                name,
                split,
                {"slots": slots},
                kind="latents",
                alignment="transition",
                gap=2,
                made_by=made_by,
            )
    config.data.sidecars = {"slots": str(folder)}
    return config


def with_vectors(config, folder, dtype=np.float32, width=5):
    """The config with random vectors, one per frame, that no latent action model made."""
    info = open_dataset(config.data.path)
    for name, splits in info.shards.items():
        for split in splits:
            rows = split_episodes(info, name, split).offsets("frame", None)[-1]
            values = np.random.default_rng(0).normal(2, 3, (rows, width)).astype(dtype)
            write_sidecar(
                folder, info, name, split, {"x": values}, kind="vectors", alignment="frame"
            )
    config.data.sidecars = {"vectors": str(folder)}
    config.latents.column = "vectors"
    return config


def first(task):
    batches = task.data(np.arange(8))
    batch = next(batches)
    batches.close()
    return batch


def same_trees(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_a_run_reads_its_frozen_model_and_saves_none_of_it(data, lam, tmp_path):
    config = config_of(data, lam, reconstruction=0.5)
    config.optimizer.schedule = "constant"
    config.total_steps = 2
    train(config, tmp_path / "run")
    config.total_steps = 4
    state = train(config, tmp_path / "run")  # Goes on.
    model = flexlam_jax.load(lam)
    saved = json.loads((tmp_path / "run" / "config.json").read_text())
    assert saved["lam"] == {"checkpoint": lam, "step": 2, "fingerprint": model.fingerprint()}
    assert saved["frozen"] == ["lam"] and saved["init_from"]["lam"]["path"] == lam
    assert (saved["data"]["gap"], saved["codes"]["slots"], saved["codes"]["slot_width"]) == (
        2,
        3,
        2,
    )
    assert len(saved["latents"]["mean"]) == 4 and min(saved["latents"]["scale"]) > 0
    rows = [json.loads(row) for row in (tmp_path / "run" / "metrics.jsonl").open()]
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4]
    assert all(row["reconstruction"] > 0 for row in rows if "loss" in row)
    assert any("validation/reconstruction" in row for row in rows)

    same_trees(state.frozen["lam"], dict(model.variables["params"]))
    assert "lam" not in state.params
    saved = item_metadata(epath.Path(tmp_path / "run" / "checkpoints"), 4, "params").tree
    assert set(saved["params"]) == {"embed", "head", "nest"}
    variables, _, _ = restore_params(tmp_path / "run")
    same_trees(variables["params"]["lam"], dict(model.variables["params"]))
    # Who cuts with the skills needs the model's folder no more.
    alone = shutil.copytree(tmp_path / "run", tmp_path / "elsewhere" / "alone")
    hidden = shutil.move(lam, f"{lam}.hidden")
    try:
        skills = flexlam_jax.load(alone)
        cut = skills.segment(np.random.default_rng(0).normal(size=(1, 6, 4)).astype(np.float32))
        assert cut.skills[-1].shape == (1, 6, 8)
    finally:
        shutil.move(hidden, lam)


def test_frames_are_encoded_to_what_the_sidecar_holds(data, lam, tmp_path):
    config = with_encoded(config_of(data, lam, reconstruction=1.0), lam, tmp_path / "latents")
    of_both = build_task(config)
    config = config_of(data, lam)
    config.latents = of_both.config.latents  # Those of a sample are near them only.
    of_frames = build_task(config)
    assert of_frames.config.latents == of_both.config.latents
    for section in ("lam", "codes"):
        assert of_frames.config[section].to_dict() == of_both.config[section].to_dict()
    frames, both = (
        {name: first(task)[name] for name in task.batch} for task in (of_frames, of_both)
    )
    for name in frames:
        np.testing.assert_array_equal(frames[name], both[name])
    params = jax.jit(of_both.objective.init)(jax.random.key(0), both)["params"]
    params["lam"] = flexlam_jax.load(lam).variables["params"]

    @jax.jit
    def terms(params, frames, both):
        outcomes = [
            task.objective.outcome(params, {}, batch, jax.random.key(0))
            for task, batch in ((of_frames, frames), (of_both, both))
        ]
        return [{name: term.value for name, term in outcome.terms.items()} for outcome in outcomes]

    encoded, read = terms(params, frames, both)
    assert read.keys() == encoded.keys() | {"reconstruction"}
    for name, value in encoded.items():
        np.testing.assert_allclose(read[name], value, rtol=1e-4)


def test_a_plan_freezes_what_the_run_freezes(lam):
    config = as_run(config_of("", lam))
    assert config.frozen == ("lam",) and config.latents.mean == ()
    assert build_task(config).batch["frame_chunk"].shape == (8, LENGTH + 2, 16, 16, 3)
    assert as_run(config).to_dict() == config.to_dict()


def test_vectors_of_any_model_are_latent_actions(data, tmp_path):
    config = with_vectors(config_of(data, "runs/not_read"), tmp_path)
    config.model.keep = 0
    task = build_task(config)
    assert task.batch["vectors_chunk"].shape == (8, LENGTH, 5)
    batch = first(task)
    assert batch["vectors_chunk"].shape == (8, LENGTH, 5)
    np.testing.assert_allclose(task.config.latents.mean, [2] * 5, atol=0.5)
    np.testing.assert_allclose(task.config.latents.scale, [3] * 5, atol=0.5)
    params = jax.eval_shape(task.objective.init, jax.random.key(0), batch)["params"]
    assert params["head"]["kernel"].shape[-1] == 5
    read = {name: batch[name] for name in task.batch}
    outcome = jax.eval_shape(task.objective.outcome, params, {}, read, jax.random.key(0))
    assert set(outcome.terms) == {"latent", "ratio_1", "ratio_2"}


def _wrong_model(config, folder):
    tiny_hilam.with_latents(config, folder, step=2)
    config.loss.reconstruction = 1.0


def _no_decoder(config, folder):
    config.lam.checkpoint, config.loss.reconstruction = "", 1.0
    tiny_hilam.with_latents(config, folder)


def _undecodable(config, folder):
    with_vectors(config, folder)
    config.loss.reconstruction, config.model.keep = 1.0, 0


def _numbers(config, folder):
    with_vectors(config, folder, dtype=np.int32)


@pytest.mark.parametrize(
    "change, message",
    [
        (_wrong_model, "is model .* and the latent actions are of model ffffffffffff .step 2"),
        (_no_decoder, "reconstruction=1.0 needs the decoder .* config.lam.checkpoint=runs/lam"),
        (_undecodable, "the vectors of config.latents.column='vectors' name no latent action"),
        (_numbers, "one row <i4 .5,. per frame; skills are learned from real vectors"),
        (lambda c, _: c.latents.update(column="x"), "names no column 'x', which config.latents.co"),
        (lambda c, _: c.data.update(frame_chunk=9), "frame_chunk=9: which frames are read follows"),
        (lambda c, _: c.data.update(image_size=32), "image_size=32, but the frozen .* reads 16x16"),
        (lambda c, _: c.data.update(gap="0.5s"), "gap='0.5s': .* give a number of frames"),
        (lambda c, _: c.data.update(gap=99), "longest episode .* of gap 99; skills are learned"),
        (
            lambda c, _: c.update(init_from={"lam": {"path": "x"}}),
            "leave config.init_from.lam out",
        ),
    ],
)
def test_what_is_refused(change, message, data, lam, tmp_path):
    config = config_of(data, lam)
    config.lam.step = 2
    change(config, tmp_path)
    with pytest.raises((ConfigError, DataError), match=message):
        build_task(config)
