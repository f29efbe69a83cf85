"""The evaluators of a finished model, run inside its training."""

import json

import pytest

import flexlam_jax
from data_pipelines.loading.loader import training_batches
from experiments.tasks.registry import build_task
from experiments.train import train
from flexlam_jax.errors import ConfigError
from flexlam_jax.evaluation.evaluator import chosen, evaluate
from flexlam_jax.evaluation.lam.evaluators import EVALUATORS
from flexlam_jax.evaluation.lam.fields import FIELDS
from flexlam_jax.evaluation.lam.settings import Settings
from flexlam_jax.reports.results import scalars
from tests.experiments import tiny
from tests.experiments.pretraining import Pretraining

pytestmark = pytest.mark.usefixtures("shared_compilations")

NAMES = ("reconstruction", "codes")


def config_with(names, batches=2):
    config = tiny.get_config()
    config.total_steps, config.optimizer.warmup_steps = 2, 1
    config.eval.batches, config.eval.evaluators = batches, names
    return config


def test_training_logs_what_the_saved_model_gets_afterwards(tmp_path):
    pretraining = Pretraining(tmp_path)
    pretraining.prepare()
    config = config_with(NAMES)
    config.data.path = str(pretraining.data)
    train(config, tmp_path / "run")
    logged = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    logged = {name: value for name, value in logged.items() if name.startswith("evaluation/")}

    held_out = {**config.data, "split": "validation", "clip_length": 2, "image_size": 16}
    rows = training_batches(held_out, seed=0, batch_size=8)
    batches = [next(rows) for _ in range(2)]
    rows.close()
    lam = flexlam_jax.load(tmp_path / "run")
    measured = evaluate(chosen(EVALUATORS, NAMES), {"m": lam}, FIELDS, batches, None, Settings())
    expected = {}
    for name, of in measured.items():
        expected |= scalars(f"evaluation/{name}", of["m"])
    assert logged == pytest.approx(expected, rel=1e-6) and len(expected) > 10


@pytest.mark.parametrize(
    "names, batches, message",
    [
        (("probes", "speed"), 2, "'speed'; there are reconstruction, copy, codes"),
        (("codes",), 0, "config.eval.batches batches, which is 0"),
        (
            ("codes", "leakage"),
            2,
            "names leakage, which .* after training, by experiments.evaluate_lam",
        ),
    ],
)
def test_what_cannot_be_evaluated_is_told_when_the_task_is_built(names, batches, message):
    with pytest.raises(ConfigError, match=message):
        build_task(config_with(names, batches))
