"""The contracts of the latent action model, for every family of encoders and decoders."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.models.lam import build_lam
from tests.models.tiny_lam import MOTION, random_frames, randomised, tiny_config


def as_float(frames):
    return frames.astype(np.float32) / 255.0


def test_shapes_and_types(family):
    output = family(family.frames, [[0], [3]])
    size = family.frames.shape[2]
    assert output.prediction.shape == (2, 3, size, size, 3)
    assert output.prediction.dtype == jnp.float32
    assert output.slots.shape == (2, 3, 3, 2)
    assert output.ids.shape == (2, 3, 3) and output.ids.dtype == jnp.int32


def test_decoder_sees_nothing_of_the_next_frame(family):
    """With the slots held fixed, the prediction of o_1 has no gradient to o_1 and later frames."""
    slots = family.encode(family.frames)[0]

    def total(frames):
        def run(module):
            found = jax.lax.stop_gradient(module.encode(frames)[0])
            return module.decode(frames[:, :-1], module.null_fill(found, jnp.full((2,), 3)))

        return jnp.sum(jnp.sin(family.model.apply(family.variables, method=run)[:, 0]))

    gradient = np.asarray(jax.jit(jax.grad(total))(family.frames))
    assert np.abs(gradient[:, 0]).max() > 0
    assert np.all(gradient[:, 1:] == 0.0)
    # And the arguments of decode show that there is no other way in.
    direct = jax.jit(family.decode)(family.frames[:, 0], slots[:, 0], [3, 3])
    # Two programs round differently, in proportion to the largest values that are added: 8 here,
    # where one kind of processor was 2.2e-5 off.
    atol = 1e-5 * float(np.abs(direct).max())
    np.testing.assert_allclose(family(family.frames, 3).prediction[:, 0], direct, atol=atol)


def test_the_next_frame_does_reach_the_prediction_through_the_slots(family):
    """Guards the test above: a model whose decoder ignores its slots would pass it."""
    other = family.frames.copy()
    other[:, 1] = 1.0 - np.roll(other[:, 1], 3, axis=2)
    before, after = family(family.frames, 3), family(other, 3)
    assert not np.array_equal(before.ids[:, 0], after.ids[:, 0])
    assert np.abs(before.prediction[:, 0] - after.prediction[:, 0]).max() > 1e-4


def test_dropped_slots_get_exactly_zero_gradient(family):
    slots = family.encode(family.frames)[0][:, 0]
    keep = np.array([1, 2])

    def total(slots):
        return jnp.sum(jnp.sin(family.decode(family.frames[:, 0], slots, keep)))

    gradient = np.abs(jax.jit(jax.grad(total))(slots)).max(-1)
    kept = np.arange(3) < keep[:, None]
    assert np.all(gradient[~kept] == 0.0)
    assert np.all(gradient[kept] > 0.0)


def test_the_decoder_tells_the_slots_apart(family):
    """The slots are ordered: the same values in another order say something else."""
    slots = family.encode(family.frames)[0][:, 0] + np.arange(3)[:, None]
    said, other = (family.decode(family.frames[:, 0], x, 3) for x in (slots, slots[:, ::-1]))
    assert np.abs(said - other).max() > 1e-3


def test_first_tokens_do_not_depend_on_keep(family):
    encoded, ids = family.encode(family.frames)
    outputs = [family(family.frames, keep) for keep in ([[0], [1]], [[3], [2]])]
    for output in outputs:
        np.testing.assert_array_equal(output.ids, ids)
        np.testing.assert_allclose(output.slots, encoded, atol=1e-6)
    assert np.abs(outputs[0].prediction - outputs[1].prediction).max() > 1e-4


def test_encoding_a_clip_equals_encoding_its_pairs(family):
    clip = np.asarray(family.latents(family.frames))
    pairs = [family.latents(family.frames[:, t : t + 2]) for t in range(3)]
    np.testing.assert_allclose(clip, np.concatenate(pairs, axis=1), atol=2e-5)
    assert np.abs(clip[:, 0] - clip[:, 1]).max() > 1e-2


def test_keep_works_per_transition(family):
    full = family(family.frames, 3).prediction
    mixed = family(family.frames, [[3, 1, 3], [0, 3, 3]]).prediction
    same = np.array([[True, False, True], [False, True, True]])
    np.testing.assert_allclose(mixed[same], full[same], atol=1e-5)
    assert np.abs(mixed[~same] - full[~same]).max(axis=(1, 2, 3)).min() > 1e-5


def test_keep_per_clip_and_none():
    frames = random_frames((2, 3, 16, 16, 3))
    model = build_lam(tiny_config())
    variables = randomised(jax.jit(model.init)(jax.random.key(0), frames))
    apply = jax.jit(lambda keep: model.apply(variables, frames, keep).prediction)
    np.testing.assert_array_equal(apply(None), apply(np.array([3, 3])))
    np.testing.assert_array_equal(apply(np.array([1, 2])), apply(np.array([[1, 1], [2, 2]])))


def test_dropped_slots_do_not_train_the_encoder():
    """The readout of slots >= keep has zero gradient, from prediction and quantiser losses."""
    for quantizer in ({"kind": "fsq", "levels": (3, 3)}, {"kind": "vq", "codes": 5, "width": 2}):
        config = tiny_config(quantizer=quantizer, **{**MOTION, "image_size": 32})
        model = build_lam(config)
        frames = random_frames((2, 2, 32, 32, 3))
        variables = randomised(jax.jit(model.init)(jax.random.key(0), frames))

        def total(params, model=model, variables=variables, frames=frames):
            output = model.apply({**variables, "params": params}, frames, jnp.array([1, 1]))
            losses = sum(jnp.mean(x) for x in output.losses.values())
            return jnp.sum(jnp.sin(output.prediction)) + losses

        gradient = jax.jit(jax.grad(total))(variables["params"])
        readout = np.asarray(gradient["encoder"]["to_slots"]["kernel"]).reshape(-1, 3, 2)
        assert np.all(readout[:, 1:] == 0.0)
        assert np.abs(readout[:, 0]).max() > 0


def test_fixed_k_is_the_same_program():
    """The Fixed-K baseline has the parameters of the flexible model, name by name."""
    frames = random_frames((1, 2, 16, 16, 3))

    def shapes(keep):
        model = build_lam(tiny_config(keep=keep))
        return jax.eval_shape(model.init, jax.random.key(0), frames)

    assert shapes({"kind": "fixed", "count": 2}) == shapes({"kind": "uniform"})


def test_residual_adds_the_current_frame():
    frames = random_frames((1, 2, 16, 16, 3))
    plain, residual = (build_lam(tiny_config(residual=flag)) for flag in (False, True))
    variables = jax.jit(plain.init)(jax.random.key(0), frames)
    plain, residual = (jax.jit(m.apply)(variables, frames).prediction for m in (plain, residual))
    change = residual - plain
    np.testing.assert_allclose(change, as_float(frames[:, :-1]), atol=1e-6)


def test_bfloat16_keeps_parameters_norms_and_outputs_in_float32():
    frames = random_frames((1, 3, 16, 16, 3))
    model = build_lam(tiny_config(dtype="bfloat16", quantizer={"kind": "none", "width": 4}))
    variables = jax.jit(model.init)(jax.random.key(0), frames)
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("float32")}

    program = str(jax.make_jaxpr(lambda v: model.apply(v, frames).prediction)(variables))
    matmuls = [line for line in program.splitlines() if " dot_general[" in line]
    assert sum("bf16[" in line.split("=")[0] for line in matmuls) > 10
    # Norm statistics (rsqrt) and softmax (exp) never see half precision.
    for primitive in (" rsqrt ", " exp "):
        lines = [line.split("=")[0] for line in program.splitlines() if primitive in line]
        assert lines and all("f32[" in line and "bf16[" not in line for line in lines), primitive
    exact = build_lam(tiny_config(quantizer={"kind": "none", "width": 4}))
    half, exact = (jax.jit(m.apply)(variables, frames).prediction for m in (model, exact))
    assert half.dtype == jnp.float32
    np.testing.assert_allclose(half, exact, atol=0.05)


def test_nan_frames_are_not_hidden():
    model = build_lam(tiny_config(quantizer={"kind": "vq", "codes": 4}))
    frames = random_frames((2, 2, 16, 16, 3))
    variables = jax.jit(model.init)(jax.random.key(0), frames)
    bad = as_float(frames)
    bad[0, 1, 3, 4, 0] = np.nan
    prediction = jax.jit(model.apply)(variables, bad).prediction
    assert np.isnan(prediction[0]).all() and np.isfinite(prediction[1]).all()


@pytest.mark.parametrize("shape", [(2, 1, 16, 16, 3), (2, 16, 16, 3)])
def test_too_short_clips_are_refused(shape):
    model = build_lam(tiny_config())
    with pytest.raises(ValueError, match="at least two frames"):
        model.init(jax.random.key(0), random_frames(shape))


def test_frames_of_unknown_scale_are_refused():
    model = build_lam(tiny_config())
    with pytest.raises(ValueError, match="int32"):
        model.init(jax.random.key(0), random_frames((1, 2, 16, 16, 3)).astype(np.int32))
