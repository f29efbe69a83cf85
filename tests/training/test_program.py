"""What is refused before anything is compiled, and what the compiler is told."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.errors import UserError
from flexlam_jax.parallel import sharding
from flexlam_jax.parallel.axes import AXES
from flexlam_jax.training import program
from flexlam_jax.training.optimizer import make_optimizer, make_schedule
from tests.training import toy


def fake_mesh(fsdp=1, model=1):
    return types.SimpleNamespace(shape={"slice": 1, "data": 1, "fsdp": fsdp, "model": model})


def state(**shapes):
    return {
        name.replace("_", "/"): jax.ShapeDtypeStruct(shape, jnp.float32)
        for name, shape in shapes.items()
    }


def test_a_model_axis_that_does_not_divide_the_heads():
    tree = state(
        attention_qkv_kernel=(64, 8, 3, 8), attention_out_kernel=(64, 64), mlp_up_kernel=(64, 256)
    )
    sharding.check_divides(tree, fake_mesh(model=8))
    with pytest.raises(UserError, match=r"model=16 .* 8 heads .*attention/qkv/kernel.*of 8 divide"):
        sharding.check_divides(tree, fake_mesh(model=16))


def test_an_fsdp_axis_that_leaves_the_state_whole():
    tree = state(down=(4096, 1024), up=(1024, 4096), bias=(1024,))
    sharding.check_divides(tree, fake_mesh(fsdp=256))
    with pytest.raises(
        UserError,
        match=r"fsdp=384 .* down \(4096, 1024\): .* 32.0 of the 32.0 MiB "
        r".*fsdp=128, and 3 times the config.mesh.data",
    ):
        sharding.check_divides(tree, fake_mesh(fsdp=384))


def test_a_small_share_of_the_state_may_stay_whole():
    tree = state(kernel=(768, 4096), odd=(257, 1023))
    sharding.check_divides(tree, fake_mesh(fsdp=384))
    assert list(sharding.whole_leaves(tree, fake_mesh(fsdp=384))) == ["odd"]
    # Replicas are no mistake where nothing is to be split, or too small for it.
    assert sharding.whole_leaves(tree, fake_mesh(model=2)) == {}
    assert sharding.whole_leaves(state(bias=(1023,)), fake_mesh(fsdp=384)) == {}


@dataclasses.dataclass(frozen=True)
class Device:
    id: int
    platform: str
    device_kind: str = "a chip"
    process_index: int = 0


@pytest.mark.parametrize("platform, options", [("tpu", program.TPU_OPTIONS), ("cpu", None)])
def test_options_of_tpus_are_for_tpus(monkeypatch, platform, options):
    given = []
    monkeypatch.setattr(jax, "jit", lambda *_, **settings: given.append(settings))
    config = toy.config()
    rows = {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in next(toy.Rows()).items()}
    devices = np.array([Device(n, platform) for n in range(2)]).reshape(1, 2, 1, 1)
    schedule = make_schedule(config.optimizer, config.total_steps)
    program.train_program(
        toy.objective(),
        make_optimizer(config.optimizer, schedule),
        schedule,
        config,
        jax.sharding.Mesh(devices, AXES),
        rows,
    )
    (step,) = (settings for settings in given if "donate_argnums" in settings)
    assert step["compiler_options"] == options
