"""Cross-exogenous reconstruction, and prefixes that are ordered by it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.errors import ConfigError
from flexlam_jax.objectives.remedies.order import longer_than, passing, within_first
from flexlam_jax.objectives.remedies.partners import partners, side_by_side
from tests.objectives.remedies.linear_lam import batch_of, built, size, slots_reached, term

FIXED = {"keep": {"kind": "fixed", "count": 3}}


def test_partners_lie_side_by_side():
    batch = {"frames": jnp.arange(4.0)[:, None], "frames_pair": -jnp.arange(4.0)[:, None]}
    both = side_by_side(batch | {"frames_agent_mask": jnp.arange(4)})
    assert both["frames"][:, 0].tolist() == [0, 0, 1, -1, 2, -2, 3, -3]
    assert both["frames_agent_mask"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    np.testing.assert_array_equal(partners(both["frames"]), -both["frames"])


def test_the_term_is_the_partners_frame_from_this_rows_code():
    batch = batch_of(length=3)
    objective, params, extra = built({"cross": 2.0}, length=3, config=FIXED)
    found = jax.jit(objective.outcome)(params, extra, batch, jax.random.key(1))
    values = objective.values(found)

    def decoded(o_t, pair):  # As the linear model does it.
        flat = pair.reshape(*pair.shape[:2], -1)
        both = jnp.concatenate([flat[:, :-1], flat[:, 1:]], -1)
        code = jnp.einsum("btf,kfd->btkd", both, params["encoder"]["kernel"])
        code = code.reshape(*code.shape[:2], -1)
        change = jnp.einsum("btf,fhwc->bthwc", code, params["decoder"]["kernel"])
        return o_t + change + params["decoder"]["seen"] * o_t

    one, two = batch["frames"] / 255.0, batch["frames_pair"] / 255.0
    own, cross = (
        np.mean(
            [
                np.mean(np.square(decoded(shown[:, :-1], coded) - shown[:, 1:]))
                for shown, coded in pairs
            ]
        )
        for pairs in (((one, one), (two, two)), ((one, two), (two, one)))
    )
    np.testing.assert_allclose(values["reconstruction"], own, rtol=1e-4)
    np.testing.assert_allclose(values["cross"], cross, rtol=1e-4)
    np.testing.assert_allclose(values["loss"], own + 2 * cross, rtol=1e-4)
    assert objective.transitions_per_row == 4 and values["cross_psnr"] != values["psnr"]


@pytest.mark.parametrize("prefixes", [1, 2])
def test_halves_of_a_batch_add_up(prefixes):
    batch = batch_of()
    loss = {"cross": 1.0, "mask": "agent_mask", "mask_weight": 0.5, "multiscale": 0.5}
    objective, params, extra = built(loss, config=FIXED | {"prefixes": prefixes})
    outcome = jax.jit(objective.outcome)
    key = jax.random.key(1)
    parts = [
        outcome(params, extra, jax.tree.map(lambda x, i=i: x[i::2], batch), key) for i in (0, 1)
    ]
    values = objective.values(jax.tree.map(jnp.add, *parts))
    for name, value in objective.values(outcome(params, extra, batch, key)).items():
        np.testing.assert_allclose(values[name], value, rtol=1e-4, err_msg=name)


def test_nothing_of_the_next_frame_but_the_code_reaches_the_decoder():
    """With codes that read nothing, predictions of both kinds do not change with the target."""
    batch = batch_of()
    objective, params, extra = built({"cross": 1.0, "shift": 1})
    params["encoder"] = jax.tree.map(jnp.zeros_like, params["encoder"])

    def slope(frames):
        terms = objective.outcome(params, extra, batch | frames, jax.random.key(1)).terms
        return terms["cross"].sum + terms["reconstruction"].sum

    def residuals(name):
        """d loss / d o_{t+1} is 2 (o_{t+1} - prediction): linear with slope 2 each, if the
        prediction does not move."""
        frames = {k: batch[k] / 255.0 for k in ("frames", "frames_pair")}
        gradient = jax.jit(jax.grad(lambda x: slope(frames | {name: x})))
        step = jnp.zeros_like(frames[name]).at[:, 1, 4, 4].set(0.01)
        change = gradient(frames[name] + step) - gradient(frames[name])
        return np.asarray(change[:, 1, 4, 4]), np.asarray(change[:, 0])

    for name in ("frames", "frames_pair"):
        next_frame, this_frame = residuals(name)
        # Own and cross term, each on the decoder's copy of the pixel.
        np.testing.assert_allclose(next_frame, 2 * 2 * 0.01, rtol=1e-3)
        assert (this_frame == 0).all() or np.abs(this_frame).max() < 0.05


@pytest.mark.parametrize("j", [1, 2])
def test_the_cross_term_reaches_the_first_slots_alone(j):
    batch = batch_of()
    for sampler in ({"kind": "uniform"}, {"kind": "powers_of_two"}, {"kind": "fixed"}):
        objective, params, extra = built({"cross": 1.0, "cross_slots": j}, config={"keep": sampler})
        reached = slots_reached(objective, params, extra, batch, "cross", seeds=range(3))
        assert reached == [[k < j for k in range(3)]]


@pytest.mark.parametrize("prefixes", [1, 2])
def test_own_frames_train_all_slots_or_longer_prefixes_or_the_rest(prefixes):
    batch = batch_of(rows=16)
    config = {"keep": {"kind": "uniform"}, "prefixes": prefixes}

    def own(mode, keep=None):
        loss = {"cross": 1.0, "cross_slots": 1, "own": mode}
        given = config | ({"keep": {"kind": "fixed", "count": keep}} if keep else {})
        return built(loss, config=given)

    for mode, reached in (("all", [1, 1, 1]), ("longer", [1, 1, 1]), ("stopped", [0, 1, 1])):
        objective, params, extra = own(mode)
        assert slots_reached(objective, params, extra, batch, "reconstruction") == [reached]
    # A prefix of one slot: decoded as it is, made longer, or without gradient to the slot.
    for mode, reached, kept in (
        ("all", [1, 0, 0], 1),
        ("longer", [1, 1, 0], 2),
        ("stopped", [0, 0, 0], 1),
    ):
        objective, params, extra = own(mode, keep=1)
        found = slots_reached(objective, params, extra, batch, "reconstruction", "cross")
        assert found == [reached, [1, 0, 0]]
        found = jax.jit(objective.outcome)(params, extra, batch, jax.random.key(1))
        assert found.metrics["keep"].value == kept


def test_values_do_not_depend_on_where_gradients_stop():
    batch = batch_of()
    values = []
    for mode in ("all", "stopped"):
        objective, params, extra = built({"cross": 1.0, "cross_slots": 1, "own": mode})
        values.append(objective.values(objective.outcome(params, extra, batch, jax.random.key(1))))
    for name in values[0]:
        np.testing.assert_array_equal(values[0][name], values[1][name])


def test_a_share_of_the_pixels_gradient_passes_the_code():
    batch = batch_of()
    gradients = {}
    for share in (1.0, 0.25, 0.0):
        objective, params, extra = built({"pixels": share})
        gradients[share] = jax.jit(jax.grad(term(objective, extra, batch, "reconstruction")))(
            params
        )
    whole, part, none = (gradients[share] for share in (1.0, 0.25, 0.0))
    kernel = [g["encoder"]["kernel"] for g in (whole, part)]
    np.testing.assert_allclose(kernel[1], 0.25 * kernel[0], rtol=1e-4, atol=1e-9)
    assert size(none["encoder"]) == 0 and size(none["decoder"]) > 0
    np.testing.assert_allclose(none["decoder"]["kernel"], whole["decoder"]["kernel"], rtol=1e-5)


def test_prefixes_made_longer_are_drawn_about_as_often():
    keep = jnp.arange(0, 9)
    assert longer_than(keep, 3, 8).tolist() == [4, 4, 5, 6, 4, 5, 6, 7, 8]
    assert within_first({"kind": "uniform", "minimum": 2}, 8, 1)["minimum"] == 1
    slots = jax.random.normal(jax.random.key(0), (2, 3, 4), jnp.bfloat16)
    assert passing(slots, 0, 1.0) is slots and passing(slots, 1, 0.5).dtype == jnp.bfloat16
    np.testing.assert_array_equal(passing(slots, 1, 0.5), slots)


@pytest.mark.parametrize(
    ("loss", "told", "words"),
    [
        ({"cross_slots": 1}, {}, "config.loss.cross=0 leaves it out"),
        ({"cross": 1.0, "cross_slots": 4}, {}, "cross_slots=4 of config.model.slots=3"),
        ({"cross": 1.0, "mask": "exogenous_mask"}, {}, "give config.loss.mask='agent_mask'"),
        ({"own": "stopped"}, {}, "give their number"),
        ({"own": "longer", "cross": 1.0, "cross_slots": 3}, {}, "leaves no slot to own frames"),
        (
            {"own": "stopped", "cross": 1.0, "cross_slots": 1},
            {"first_slots": 2},
            "the same where several are given",
        ),
        ({"own_slots": 1}, {}, "own frames train all slots alike"),
        ({"own": "longer", "own_slots": 3}, {}, "leaves no slot to own frames"),
        ({"own": "some"}, {}, "config.loss.own='some'"),
        ({"feature": 1.0, "feature_space": "inverse"}, {}, "config.translator.steps"),
        ({"cross": 1.0, "feature": 1.0, "feature_space": "dino"}, {}, "of the frames alone"),
    ],
)
def test_remedies_that_contradict_each_other(loss, told, words):
    with pytest.raises(ConfigError, match=words):
        built(loss, **told)


def test_rows_without_partners_are_refused():
    batch = batch_of()
    with pytest.raises(ConfigError, match="config.data.pair_with to 'exogenous' or 'camera'"):
        built({"cross": 1.0}, batch={"frames": batch["frames"]})
    with pytest.raises(ConfigError, match="config.data.resize=True"):
        built({"cross": 1.0}, batch=batch | {"frames_pair": batch["frames_pair"][:, :, :4]})
