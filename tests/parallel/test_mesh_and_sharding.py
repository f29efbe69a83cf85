"""Mesh sizes, batch divisibility, and the rule table."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from flexlam_jax.errors import UserError
from flexlam_jax.models.lam import build_lam
from flexlam_jax.models.presets import model_preset
from flexlam_jax.parallel import mesh as mesh_lib
from flexlam_jax.parallel import sharding


def fake_mesh(data=1, fsdp=1, model=1, slice=1):
    return types.SimpleNamespace(shape={"slice": slice, "data": data, "fsdp": fsdp, "model": model})


def test_one_device_is_the_trivial_mesh():
    mesh = mesh_lib.make_mesh({"data": -1, "fsdp": 1, "model": 1}, jax.devices()[:1])
    assert dict(mesh.shape) == {"slice": 1, "data": 1, "fsdp": 1, "model": 1}
    assert all(kind == jax.sharding.AxisType.Auto for kind in mesh.axis_types)


@pytest.mark.parametrize(
    "sizes, expected",
    [
        (dict(data=-1, fsdp=1, model=1), (1, 8, 1, 1)),
        (dict(data=2, fsdp=-1, model=2), (1, 2, 2, 2)),
        (dict(slice=2, data=-1, fsdp=2), (2, 2, 2, 1)),
        (dict(slice=-1, data=-1, fsdp=2), (1, 4, 2, 1)),
        (dict(data=1, fsdp=4, model=2), (1, 1, 4, 2)),
    ],
)
def test_minus_one_takes_what_is_left(sizes, expected):
    assert mesh_lib.mesh_shape(sizes, 8) == expected


@pytest.mark.parametrize(
    "sizes",
    [dict(data=3, fsdp=1, model=1), dict(data=-1, fsdp=3, model=1), dict(data=16, fsdp=1, model=1)],
)
def test_sizes_that_do_not_multiply_name_both_numbers(sizes):
    with pytest.raises(UserError, match=r"8 devices.*multiply to 8"):
        mesh_lib.mesh_shape(sizes, 8)


def test_bad_sizes():
    with pytest.raises(UserError, match="one may be -1"):
        mesh_lib.mesh_shape(dict(data=-1, fsdp=-1), 8)
    with pytest.raises(UserError, match="one may be -1"):
        mesh_lib.mesh_shape(dict(data=0), 8)
    with pytest.raises(UserError, match="unknown axes.*'tensor'"):
        mesh_lib.mesh_shape(dict(tensor=2), 8)


def test_batch_must_divide_by_mesh_and_accumulation():
    mesh_lib.check_batch_size(16, 2, fake_mesh(2, 2, 2))
    with pytest.raises(UserError, match="batch_size=12 must be a multiple of 8 .*data 2.*fsdp 2"):
        mesh_lib.check_batch_size(12, 2, fake_mesh(2, 2, 2))


@pytest.mark.parametrize(
    "path, shape, mesh, spec",
    [
        (
            "params/d/blocks/layers/attention/qkv/kernel",
            (4, 256, 8, 3, 32),
            fake_mesh(model=2),
            P(None, None, "model"),
        ),
        (
            "params/d/blocks/layers/attention/out/kernel",
            (4, 256, 256),
            fake_mesh(fsdp=2, model=2),
            P(None, "model", "fsdp"),
        ),
        ("params/d/mlp/up/kernel", (256, 1024), fake_mesh(fsdp=4, model=2), P("fsdp", "model")),
        ("params/d/mlp/down/kernel", (1024, 256), fake_mesh(fsdp=4, model=2), P("model", "fsdp")),
        # The moments of a parameter go where it goes.
        (
            "opt_state/1/0/mu/d/mlp/down/kernel",
            (1024, 256),
            fake_mesh(fsdp=4, model=2),
            P("model", "fsdp"),
        ),
        ("ema/d/mlp/down/kernel", (1024, 256), fake_mesh(fsdp=4, model=2), P("model", "fsdp")),
        # No rule: only FSDP, on the largest dimension it divides, the last one in a tie.
        ("params/patch_embed/kernel", (768, 1024), fake_mesh(fsdp=4, model=2), P(None, "fsdp")),
        ("params/patch_embed/kernel", (1024, 1023), fake_mesh(fsdp=4, model=2), P("fsdp")),
        ("params/square/kernel", (1024, 1024), fake_mesh(fsdp=4), P(None, "fsdp")),
        # Small, indivisible, scalar: replicated.
        ("params/norm/scale", (256,), fake_mesh(fsdp=4, model=2), P()),
        ("params/odd/kernel", (1023, 1021), fake_mesh(fsdp=4), P()),
        ("params/attention/out/kernel", (5, 7), fake_mesh(model=2), P()),
        ("step", (), fake_mesh(fsdp=4, model=2), P()),
        ("params/d/mlp/up/kernel", (256, 1024), fake_mesh(data=8), P()),
    ],
)
def test_rules(path, shape, mesh, spec):
    assert sharding.leaf_spec(path, shape, mesh) == spec


def test_one_process_holds_all_rows():
    mesh = mesh_lib.make_mesh({"data": 1}, jax.devices()[:1])
    np.testing.assert_array_equal(sharding.process_rows(mesh, 12), np.arange(12))


def test_rows_of_a_batch_that_the_mesh_does_not_divide():
    with pytest.raises(UserError, match="batch_size=0 must be a multiple of 1"):
        sharding.process_rows(mesh_lib.make_mesh({"data": 1}, jax.devices()[:1]), 0)


@pytest.mark.parametrize("conditioning", ["self", "cross", "add"])
def test_the_rules_know_the_names_of_the_models(conditioning):
    """A renamed kernel would silently be replicated over the model axis."""
    config = model_preset("base")
    config["decoder"]["conditioning"] = conditioning
    frames = jax.ShapeDtypeStruct((1, 2, 64, 64, 3), jnp.uint8)
    variables = jax.eval_shape(build_lam(config).init, jax.random.key(0), frames)
    split = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
        name = sharding.path_name(path)
        if name.endswith("kernel") and ("attention" in name or "mlp" in name):
            split[name] = "model" in sharding.leaf_spec(name, leaf.shape, fake_mesh(model=2))
    assert len(split) >= 12 and all(split.values()), split
