"""The nest of chunk stages: at once as step by step, nothing from the future, any padding."""

import jax
import numpy as np
import pytest

from flexlam_jax.errors import ConfigError
from flexlam_jax.models.chunk_stage import ChunkStage, Cutting
from flexlam_jax.models.chunking import first_boundaries, merge_runs
from flexlam_jax.models.hilam import build_hilam, encoded, kept, segmentation
from flexlam_jax.models.stepwise_stack import Stack
from flexlam_jax.models.transformer import BlockSettings
from tests.models.tiny_lam import randomised

ROWS, T, K, D = 3, 14, 3, 2
CODES = {"slots": K, "slot_width": D}
MODEL = {
    "keep": 2,
    "targets": (3.0, 2.0),
    "widths": (8, 8, 12),
    "heads": 2,
    "mlp_ratio": 2,
    "main_layers": 1,
}
F = 4
LATENTS = {"mean": (0.1, -0.2, 0.0, 0.3), "scale": (1.0, 2.0, 0.5, 1.5)}
# Changes of the model, and the seed and scale of parameters with which both stages cut some.
VARIANTS = {
    "code": ({}, 2, 0.3),
    "paper": (
        {
            "router": "paper",
            "temperature": 0.5,
            "offset": True,
            "bypass": False,
            "merge": (2, 1),
            "capacity": 0.2,
            "encoder_layers": (0, 1),
            "decoder_layers": (1, 0),
        },
        7,
        0.2,
    ),
    "steps": ({"compare": "steps", "constant": 0.5, "encoder_layers": (0, 1)}, 2, 0.3),
}


def make(**changes):
    return build_hilam({**MODEL, **changes}, CODES, LATENTS)


def sequences():
    """(latents (B, T, F), valid) of rows of 14, 9 and 2 steps, zero beyond."""
    latents = np.random.default_rng(0).normal(size=(ROWS, T, F)).astype(np.float32)
    valid = np.arange(T) < np.array([[T], [9], [2]])
    return np.where(valid[..., None], latents, 0), valid


def parameters(init, *args, seed=0, scale=0.2):
    """What `init` gives, near enough, and noise on it; by NumPy, so that nothing is compiled."""

    def plain(path, leaf):
        names = [key.key for key in path]
        if "router" in names and leaf.shape:
            return np.eye(*leaf.shape, dtype=np.float32)
        return np.full(leaf.shape, names[-1] == "scale", np.float32)

    shapes = jax.eval_shape(init, jax.random.key(0), *args)
    return randomised(jax.tree_util.tree_map_with_path(plain, shapes), seed, scale)


@pytest.fixture(scope="module", params=VARIANTS)
def built(request):
    """(name, model, variables, output at once)."""
    changes, seed, scale = VARIANTS[request.param]
    model, (latents, valid) = make(**changes), sequences()
    variables = parameters(model.init, latents, valid, seed=seed, scale=scale)
    return request.param, model, variables, jax.jit(model.apply)(variables, latents, valid)


# What each row reads step by step: sequences of `sequences`, and at which step they begin.
IN_TURN = (((0, 0), (1, T)), ((1, 0), (0, 9)), ((2, 0), (1, 5)))


def in_turn(array, fill):
    """(B, T, ...) -> (T + 9, B, ...), the sequences IN_TURN."""
    held = np.full((ROWS, T + 9, *array.shape[2:]), fill, array.dtype)
    for row, turns in enumerate(IN_TURN):
        for sequence, first in turns:
            steps = int(sequences()[1][sequence].sum())
            held[row, first : first + steps] = array[sequence, :steps]
    return np.moveaxis(held, 1, 0)


def test_step_by_step_is_at_once_also_of_rows_that_begin_anew(built):
    name, model, variables, whole = built
    latents, valid = sequences()
    begins = np.zeros((ROWS, T), bool)
    begins[:, 0] = True

    @jax.jit
    def by_steps(variables):
        def one(state, inputs):
            latents, go, begins = inputs
            state = model.apply(variables, state, begins, method="restart")
            prediction, state, told = model.apply(variables, latents, go, state, method="step")
            return state, (prediction, [step.cut for step in told], [step.skill for step in told])

        state = model.apply(variables, ROWS, T, method="start")
        read = in_turn(latents, 7), in_turn(valid, False), in_turn(begins, False)
        return jax.lax.scan(one, state, read)[1]

    read = jax.tree.map(lambda x: np.moveaxis(np.asarray(x), 0, 1), by_steps(variables))
    prediction, cuts, skills = read
    expected = segmentation(whole.stages)
    for row, turns in enumerate(IN_TURN):
        for number, first in turns:
            count = int(valid[number].sum())
            at = row, slice(first, first + count)
            found = (prediction[at] - np.array(LATENTS["mean"])) / np.array(LATENTS["scale"])
            np.testing.assert_allclose(found, whole.prediction[number, :count], atol=2e-5)
            for stage in range(2):
                boundary, skill = expected.boundaries[stage], expected.skills[stage]
                np.testing.assert_array_equal(cuts[stage][at], boundary[number, :count])
                np.testing.assert_allclose(skills[stage][at], skill[number, :count], atol=2e-5)
    for stage, boundary in enumerate(expected.boundaries):
        assert 1 < boundary[0].sum() < T or (name, stage) == ("paper", 1)


def test_runs_are_merged_and_chunks_capped(built):
    name, _, _, whole = built
    stage = whole.stages[0]
    most = stage.chunks.valid.shape[1]
    assert most == (T if name != "paper" else 3)
    merged = merge_runs(stage.boundary, 1 if name != "paper" else 2)
    np.testing.assert_array_equal(stage.cut, first_boundaries(merged, most))
    assert (stage.cut == stage.boundary).all() == (name != "paper")


def test_boundaries_of_a_stage_are_among_those_before_and_skills_are_constant_between(built):
    whole = segmentation(built[-1].stages)
    outer, inner = (np.asarray(b) for b in whole.boundaries)
    assert not (inner & ~outer).any() and outer[:, 0].all() and inner[:, 0].all()
    _, valid = sequences()
    assert not outer[~valid].any()
    for boundary, skill in zip((outer, inner), map(np.asarray, whole.skills), strict=True):
        changes = (skill[:, 1:] != skill[:, :-1]).any(-1)
        np.testing.assert_array_equal(changes[0], boundary[0, 1:])
        assert not skill[~valid].any()


def test_vectors_at_the_cuts_are_the_skills(built):
    whole, (_, valid) = built[-1], sequences()
    cut, vectors = segmentation(whole.stages), encoded(whole.stages)
    for boundary, skill, vector in zip(cut.boundaries, cut.skills, vectors, strict=True):
        np.testing.assert_array_equal(vector[boundary], skill[boundary])
        assert not vector[~valid].any()
    # The outer stage has a vector of its own at every step, the inner holds them.
    outer = np.asarray(vectors[0])
    assert (outer[0, 1:] != outer[0, :-1]).any(-1).all()
    inner = np.asarray(vectors[1])
    changes = (inner[:, 1:] != inner[:, :-1]).any(-1)
    np.testing.assert_array_equal(changes[0], cut.boundaries[0][0, 1:])


def test_nothing_is_known_of_later_steps_and_gradients_are_finite_with_padding(built):
    name, model, variables, _ = built
    latents, valid = sequences()
    row, held, steps = latents[1:2], valid[1:2], int(valid[1].sum())

    @jax.jit
    def gradients(params, rows):
        def loss(params, rows):
            output = model.apply({"params": params}, rows, np.repeat(held, steps, 0))
            # Of row t the output at t alone: a row of the gradient is what that output felt.
            return sum(output.prediction[t, t].sum() for t in range(steps))

        return jax.grad(loss, (0, 1))(params, rows)

    of_params, felt = gradients(variables["params"], np.repeat(row, steps, 0))
    felt = abs(np.asarray(felt)).sum(-1)  # (output, input)
    assert np.isfinite(felt).all() and not np.triu(felt, 1).any()
    assert (np.diag(felt) > 0).all()
    for path, gradient in jax.tree.leaves_with_path(of_params):
        assert np.isfinite(gradient).all(), path
        # Where runs are merged, an inner router may have nothing to decide.
        if name == "code":
            assert np.asarray(gradient).any(), path


def test_a_router_begins_with_the_vectors_themselves_and_the_residual_with_nothing():
    narrow, wide = (Stack(width, 0, BlockSettings(heads=2)) for width in (8, 12))
    stage = ChunkStage(encoder=narrow, inner=wide, decoder=narrow, width=8)
    init = jax.jit(stage.init)(jax.random.key(0), np.ones((1, 2, 8)), np.ones((1, 2), bool))
    params = init["params"]
    np.testing.assert_array_equal(params["router"]["query"]["kernel"], np.eye(8))
    np.testing.assert_array_equal(params["router"]["key"]["kernel"], np.eye(8))
    assert not params["residual"]["kernel"].any() and params["pad"].shape == (4,)


def nested(**cutting):
    """Two stages that cut by what they read."""
    nothing, cutting = Stack(2, 0, BlockSettings(heads=1)), Cutting(**cutting)
    inner = ChunkStage(nothing, nothing, nothing, 2, cutting)
    return ChunkStage(nothing, inner, nothing, 2, cutting)


@pytest.mark.parametrize("neighbours, expected", [(False, [1, 0, 0, 0]), (True, [1, 0, 1, 0])])
def test_a_later_stage_compares_chunks_or_the_steps_at_a_boundary(neighbours, expected):
    # The third step is turned away from the second, and at a sharp angle to the first.
    x = np.array([[[3, 0], [1, 3], [1, -3], [2, -3]]], np.float32)
    valid = np.ones((1, 4), bool)
    stage = nested(neighbours=neighbours)
    init = stage.init(jax.random.key(0), x, valid)
    stages = stage.apply(init, x, valid)[1]
    outer, inner = segmentation(stages).boundaries
    np.testing.assert_array_equal(outer[0], [1, 0, 1, 0])
    np.testing.assert_array_equal(inner[0], expected)


def test_with_a_constant_a_latent_action_that_ends_is_a_change():
    latents, valid = (
        np.array([[[2.0, -2, 2, 2]] * 2 + [[0.02, -0.02, 0.02, 0.02]]]),
        np.ones((1, 3)),
    )

    def probability(**changes):
        model = make(normalise=False, encoder_layers=(0, 1), **changes)
        init = jax.jit(model.init)(jax.random.key(0), latents, valid > 0)
        return model.apply(init, latents, valid > 0).stages[0].probability[0]

    np.testing.assert_allclose(probability(), [1, 0, 0], atol=1e-6)
    found = probability(constant=1.0)
    assert found[1] < 1e-6 and found[2] > 0.05


def test_latents_of_another_scale_are_the_same_once_normalised(built):
    _, model, variables, whole = built
    latents, valid = sequences()

    def normalised(model, x):
        return model.apply(variables, x, method=lambda self, x: self._normalised(x))

    other = {"mean": tuple(10 * m + 1 for m in LATENTS["mean"])}
    other["scale"] = tuple(10 * s for s in LATENTS["scale"])
    scaled = build_hilam(MODEL, CODES, other)
    found = normalised(scaled, 10 * latents + 1)
    np.testing.assert_allclose(found, normalised(model, latents), atol=1e-5)
    np.testing.assert_allclose(whole.latents[valid], found[valid], atol=1e-5)
    raw = build_hilam({**MODEL, "normalise": False}, CODES, {})
    np.testing.assert_array_equal(normalised(raw, latents), latents)


def test_the_first_slots_are_kept():
    slots = np.arange(2 * K * D).reshape(2, K, D)
    np.testing.assert_array_equal(kept(slots, F), [[0, 1, 2, 3], [6, 7, 8, 9]])


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"targets": (3.0, 1.0)}, "model.targets=.*each a number > 1"),
        ({"merge": (2,)}, r"merge=\(2,\) has 1 entries, and config.model.targets=.* makes it 2"),
        ({"widths": (8, 8)}, "widths=.* has 2 entries, and config.model.targets=.* makes it 3"),
        ({"encoder_layers": (1,)}, "encoder_layers=.* has 1 entries"),
        ({"widths": (12, 8, 8)}, "must not shrink"),
        ({"widths": (8, 8, 10)}, "10 is no multiple of 4, twice config.model.heads=2"),
        ({"keep": 4}, "keep=4, but the latent actions have 3 slots"),
        ({"keep": 1}, "has 4 means and 4 scales, the latent actions 2 numbers"),
        ({"router": "both"}, "model.router='both' is not one of"),
        ({"compare": "all"}, "model.compare='all' is not one of"),
    ],
)
def test_a_model_that_cannot_be_built(changes, message):
    with pytest.raises(ConfigError, match=message):
        make(**changes)


def test_a_sequence_of_one_step():
    with pytest.raises(ConfigError, match="a sequence of 1 has nothing to be cut"):
        jax.eval_shape(make().init, jax.random.key(0), np.zeros((1, 1, F)), np.ones((1, 1), bool))
