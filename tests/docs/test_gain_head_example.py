"""docs/examples/gain_head.py: a LAM from before there was the head gets it, and stays what it is."""

import json

import numpy as np
import pytest

import flexlam_jax
from docs.examples import gain_head
from experiments.tasks.registry import build_task, check_config
from flexlam_jax.errors import ConfigError
from flexlam_jax.training.loop import fit
from tests.untrained import MODEL, SIZE, save_run


class Clips:
    """Endless batches of noise."""

    def __next__(self):
        frames = np.random.default_rng(0).integers(0, 256, (8, 2, SIZE, SIZE, 3), dtype=np.uint8)
        index = np.arange(8)
        return {"frames": frames, "episode": index.astype(np.int64), "t": index.astype(np.int32)}

    def get_state(self):
        return {}

    def set_state(self, state):
        del state

    def close(self):
        pass


def work_directory(folder, model):
    save_run(folder, model)
    (folder / "config.json").write_text(json.dumps({"seed": 0, "model": model}))
    return folder


def test_an_old_model_gets_the_head_and_keeps_its_codes(tmp_path):
    old = work_directory(tmp_path / "old", MODEL)
    config = gain_head.get_config(str(old))
    check_config(config)
    config.total_steps, config.batch_size, config.optimizer.warmup_steps = 3, 8, 0
    config.log.tensorboard, config.peak_tflops, config.eval.batches = False, 1.0, 0
    fit(build_task(config).objective, Clips(), config, tmp_path / "new")
    lam, before = flexlam_jax.load(tmp_path / "new"), flexlam_jax.load(old)
    frames = next(Clips())["frames"]
    assert not before.chooses and lam.fingerprint() == before.fingerprint()
    assert set(lam.budget(frames[:, 0], frames[:, 1], 0.0)) == {3}


def test_what_it_cannot_start_from_is_told(tmp_path):
    with pytest.raises(ConfigError, match="work directory of a LAM after a colon"):
        gain_head.get_config()
    model = MODEL | {"quantizer": {"kind": "vq", "codes": 8, "width": 4}}
    with pytest.raises(ConfigError, match="codebook of kind vq would move"):
        gain_head.get_config(str(work_directory(tmp_path, model)))
