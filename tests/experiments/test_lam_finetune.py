"""Joint fine-tuning as a task: which labels it sees, where it starts, and what comes out."""

import jax
import numpy as np
import pytest

import flexlam_jax
from data_pipelines.conversion.build import prepare
from data_pipelines.loading.loader import ordered_batches
from data_pipelines.registry import recipe_options
from experiments.tasks.registry import build_task
from experiments.train import train
from flexlam_jax.checkpoints.params import restore_params
from flexlam_jax.errors import ConfigError
from flexlam_jax.evaluation import probes
from flexlam_jax.loading.load import LAM, load_as
from tests.experiments import tiny_finetune
from tests.untrained import MODEL, save_run

pytestmark = pytest.mark.usefixtures("shared_compilations")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    out = tmp_path_factory.mktemp("finetune") / "data"
    prepare("synthetic", out, recipe_options("synthetic", "--size=16", "--episodes=8"))
    return str(out)


def test_labels_are_those_that_a_translator_is_fitted_on(data):
    config = tiny_finetune.get_config(data)
    in_order = [
        np.stack([batch["episode"], batch["t"]], 1)
        for batch in ordered_batches(data, split="train", batch_size=64)
    ]
    order = np.concatenate(in_order)
    count = int(np.ceil(0.025 * len(order)))
    drawn = order[probes.label_draws(len(order), 2, 3)[1, :count]]
    batches = build_task(config).data({"video": range(8), "labelled": range(4)})
    seen, video = set(), set()
    for _ in range(count):
        batch = next(batches)
        seen |= set(zip(batch["labelled"]["episode"], batch["labelled"]["t"], strict=True))
        video |= set(zip(batch["video"]["episode"], batch["video"]["t"], strict=True))
        assert "action" not in batch["video"]
    batches.close()
    assert seen == set(map(tuple, drawn.tolist())) and len(video) > 3 * count


def test_it_starts_from_a_latent_action_model_and_is_loaded_as_one(data, tmp_path):
    origin = flexlam_jax.load(save_run(tmp_path / "lam"))
    config = tiny_finetune.get_config(data)
    config.model = MODEL
    config.init_from = {"lam": {"path": str(tmp_path / "lam"), "take": "", "to": "lam"}}
    config.total_steps, config.checkpoint.every, config.eval.every = 1, 1, 1
    config.optimizer.learning_rate, config.optimizer.warmup_steps = 0.0, 0
    config.optimizer.ema_decay, config.eval.batches = 0.0, 0  # An average is rounded.
    train(config, tmp_path / "run")
    tuned = load_as(LAM, tmp_path / "run")
    assert (tuned.step, tuned.budgets, tuned.slots) == (1, origin.budgets, origin.slots)
    frames = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 16, 3), dtype=np.uint8)
    np.testing.assert_array_equal(tuned.encode(*frames), origin.encode(*frames))
    assert tuned.fingerprint() == origin.fingerprint()
    variables, _, _ = restore_params(tmp_path / "run")
    assert jax.tree.map(np.shape, variables["params"]["heads"]) == {
        "action": {
            "in": {"kernel": (6, 8), "bias": (8,)},
            "out": {"kernel": (8, 5), "bias": (5,)},
        }
    }


def _set(path, value):
    def change(config):
        *sections, key = path.split(".")
        for name in sections:
            config = config[name]
        with config.ignore_type():
            config[key] = value

    return change


@pytest.mark.parametrize(
    "change, message",
    [
        (_set("batch_size", 8), "needs rows for two streams, as in {'video': 64, 'labelled': 32}"),
        (_set("batch_size", {"video": 8}), "needs rows for two streams"),
        (_set("data.mixture", {"a": {"path": "x"}}), "labels are drawn from the datasets of one"),
        (_set("eval.evaluators", ("codes",)), "run experiments.evaluate_lam on its checkpoints"),
        (_set("labelled.labels", 10_000), "labels=10000: the train split has .* transitions only"),
        (_set("translator.outputs", 8), "square has 5 discrete .*--config.translator.outputs=5"),
        (_set("translator.discrete", False), "give .*--config.translator.discrete=True"),
        (_set("labelled.labels", "few"), "config.labelled.labels='few' is out of range"),
    ],
)
def test_what_it_refuses(data, change, message):
    config = tiny_finetune.get_config(data)
    change(config)
    with pytest.raises(ConfigError, match=message):
        build_task(config).data({"video": range(8), "labelled": range(4)})
