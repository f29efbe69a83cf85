"""Training a tokenizer on data, from the command's own code to what is loaded of it."""

import json

import numpy as np
import pytest

import flexlam_jax
from data_pipelines.loading.loader import training_batches
from experiments.train import train
from flexlam_jax.errors import ConfigError
from tests.experiments import tiny_tokenizer
from tests.experiments.pretraining import Pretraining

pytestmark = pytest.mark.usefixtures("shared_compilations")


def test_a_run_is_a_tokenizer(tmp_path):
    pretraining = Pretraining(tmp_path)
    pretraining.prepare()
    config = tiny_tokenizer.get_config(str(pretraining.data))
    state = train(config, tmp_path / "run")
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").open()]
    told = {"loss", "reconstruction", "commitment", "psnr", "code_usage", "code_perplexity"}
    assert told | {"codes_revived"} <= rows[1].keys()
    held_out = {name for row in rows for name in row if name.startswith("validation/")}
    assert {f"validation/{name}" for name in told} <= held_out

    tokenizer = flexlam_jax.load(tmp_path / "run")
    assert tokenizer.step == 4
    codebook = tokenizer.variables["codebook"]["quantizer"]["embedding"]
    np.testing.assert_array_equal(codebook, state.extra["codebook"]["quantizer"]["embedding"])
    batches = training_batches(
        {**config.data, "image_size": 16}, seed=0, batch_size=4, rows=np.arange(4)
    )
    ids = tokenizer.encode(next(batches)["frames"])
    batches.close()
    assert ids.shape == (4, 3, 4) and 0 <= ids.min() <= ids.max() < 8


def test_what_is_refused_before_anything_is_read(tmp_path):
    config = tiny_tokenizer.get_config("nowhere")
    config.model.decoder.patch = 4
    with pytest.raises(ConfigError, match="makes 2x2 tokens of a frame"):
        train(config, tmp_path / "run")
    config = tiny_tokenizer.get_config("nowhere")
    config.data.image_size = 32
    with pytest.raises(ConfigError, match="data.image_size=32 but config.model.image_size=16"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
