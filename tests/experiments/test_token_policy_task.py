"""What a token policy's task reads in its data, and refuses."""

import json

import numpy as np
import pytest

import flexlam_jax
from data_pipelines.errors import DataError
from experiments.tasks.registry import build_task
from experiments.train import train
from flexlam_jax.errors import ConfigError
from tests.experiments import tiny_tokens
from tests.experiments.pretraining import Pretraining

pytestmark = pytest.mark.usefixtures("shared_compilations")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    pretraining = Pretraining(tmp_path_factory.mktemp("shared"))
    pretraining.prepare()
    return str(pretraining.data)


def test_a_run_is_recorded_with_its_codes_and_loads(data, tmp_path):
    config = tiny_tokens.with_codes(tiny_tokens.get_config(data), tmp_path / "codes")
    config.codes.update(slots=9, codebook_size=9)  # The data know better.
    config.lam.checkpoint = "runs/lam"
    train(config, tmp_path / "run")
    saved = json.loads((tmp_path / "run" / "config.json").read_text())
    assert saved["codes"] == {"slots": 3, "codebook_size": 5, "slot_width": 2, "gap": 1}
    assert saved["lam"] == {"checkpoint": "runs/lam", "step": 3, "fingerprint": "f" * 64}
    assert saved["data"]["clip_length"] == 4
    rows = [json.loads(row) for row in (tmp_path / "run" / "metrics.jsonl").open()]
    assert {"nll", "slot_3_accuracy", "marginal_entropy"} <= rows[1].keys()
    assert any("validation/slot_3_nll" in row for row in rows)
    policy = flexlam_jax.load(tmp_path / "run")
    frames, past = (np.zeros((2, *shape), dtype) for shape, dtype in policy.reads())
    seeds = np.arange(2, dtype=np.uint32)
    ids = policy.draws(frames, past[:, 1:], seeds, draws=2, keep=3)
    assert ids.shape == (2, 2, 3) and 0 <= ids.min() and ids.max() < 5


def test_data_without_latent_actions(data):
    with pytest.raises(DataError, match="data.sidecars names no latent actions; give the folder"):
        build_task(tiny_tokens.get_config(data))


def test_codes_of_two_models(data, tmp_path):
    first = tiny_tokens.with_codes(tiny_tokens.get_config(data), tmp_path / "a")
    other = tiny_tokens.with_codes(tiny_tokens.get_config(data), tmp_path / "b", model="e" * 64)
    both = tiny_tokens.get_config()
    both.data.mixture = {
        name: {"path": data, "sidecars": config.data.sidecars.to_dict()}
        for name, config in (("one", first), ("two", other))
    }
    with pytest.raises(DataError, match="different latent .* f{12} .* and e{12} .* with one model"):
        build_task(both)


def test_a_sidecar_that_no_latent_action_model_made(data, tmp_path):
    config = tiny_tokens.with_codes(tiny_tokens.get_config(data), tmp_path, slots=None)
    with pytest.raises(DataError, match="does not say which latent action model made it"):
        build_task(config)


def test_a_clip_of_another_length_than_the_context_asks_for():
    config = tiny_tokens.get_config()
    config.data.clip_length = 9
    with pytest.raises(ConfigError, match="clip_length=9, but config.model.context=2 .* make it 4"):
        build_task(config)
