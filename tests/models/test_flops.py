"""The analytic count against a formula by hand and against XLA's count of an unrolled program."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.models.flops import forward_flops, program_flops, training_flops
from flexlam_jax.models.lam import build_lam
from tests.models.tiny_lam import MOTION, VIT, tiny_config

LARGER = {
    "image_size": 32,
    "encoder": {**VIT, "width": 128, "mlp_hidden": 512, "frame_blocks": 2, "pair_blocks": 2},
    "decoder": {**VIT, "width": 128, "mlp_hidden": 512, "blocks": 3},
}


CLIP = (2, 32, 32, 3)


def by_hand(T=2, N=16, K=3, M=128, F=512, pixels=8 * 8 * 3):
    def block(tokens, carried=None):
        carried = carried or tokens
        projections = carried * M * M * 2 + tokens * M * M * 2
        return projections + 2 * carried * tokens * M + 2 * carried * M * F

    frames, pairs = T, T - 1
    encoder = frames * (N * pixels * M + 2 * block(N))
    encoder += pairs * (block(K + 2 * N) + block(K + 2 * N, carried=K) + K * M * 2)
    decoder = pairs * (N * pixels * M + K * 2 * M + 3 * block(N + K) + N * M * pixels)
    return 2.0 * (encoder + decoder)


@pytest.mark.parametrize("T", [2, 5])
def test_count_equals_the_formula_by_hand(T):
    model, clip = build_lam(tiny_config(**LARGER)), (T, 32, 32, 3)
    assert forward_flops(model, clip) == by_hand(T)
    assert training_flops(model, clip) == 3 * by_hand(T)


def test_count_does_not_depend_on_scan_remat_or_attention_kernel():
    changes = {"unroll": True, "remat": "full", "attention": "cudnn", "dtype": "bfloat16"}
    for change in ({key: value} for key, value in changes.items()):
        assert forward_flops(build_lam(tiny_config(**LARGER, **change)), CLIP) == by_hand()


@pytest.mark.parametrize("changes", [LARGER, MOTION], ids=["vit", "motion"])
def test_count_is_a_little_below_xla_s_for_an_unrolled_program(changes):
    """XLA also counts element-wise work: a few per cent at width 128, most of a motion search."""
    config = tiny_config(unroll=True, attention="xla", **changes)
    model = build_lam(config)
    frames = jnp.zeros((1, 2, 32, 32, 3), jnp.uint8)
    variables = jax.eval_shape(model.init, jax.random.key(0), frames)
    program = jax.jit(lambda v, f: model.apply(v, f).prediction).lower(variables, frames)
    xla = program.compile().cost_analysis()["flops"]
    ratio = xla / forward_flops(model, CLIP)
    if changes is LARGER:
        assert 1.0 <= ratio < 1.15
    else:
        assert ratio >= 1.0


def test_the_trap_that_this_avoids():
    """XLA counts a loop body once; the count here multiplies it by the length."""

    def loop(x):
        return jax.lax.scan(lambda c, _: (c @ c, None), x, None, length=10)[0]

    x = jnp.ones((64, 64))
    once = 2 * 64**3
    assert jax.jit(loop).lower(x).compile().cost_analysis()["flops"] < 2 * once
    assert program_flops(loop, x) == 10 * once


def test_convolutions_and_branches():
    x, kernel = jnp.ones((1, 8, 8, 4)), jnp.ones((3, 3, 2, 6))

    def convolve(x):
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            (2, 2),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=2,
        )

    assert program_flops(convolve, x) == 2 * (4 * 4 * 6) * (3 * 3 * 2)
    square = jnp.ones((8, 8))
    assert program_flops(
        lambda x: jax.lax.cond(x[0, 0] > 0, lambda x: x @ x, lambda x: x, x), square
    ) == pytest.approx(2 * 8**3)
    with pytest.raises(ValueError, match="while"):
        program_flops(
            lambda x: jax.lax.while_loop(lambda c: c[0] < 3, lambda c: c + 1, x), np.ones(2)
        )
