"""Dynamics: what a prediction sees, and that going on from the cache is reading the whole clip."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.config.settings import read
from flexlam_jax.errors import ConfigError
from flexlam_jax.models.dynamics import draw_frame
from flexlam_jax.models.dynamics_settings import ActionSettings, build_dynamics, clip_shapes
from tests.models.tiny_lam import randomised

B, T, N, V, K, D = 2, 5, 3, 5, 2, 2
MODEL = {"window": 3, "width": 8, "layers": 2, "heads": 2, "mlp_hidden": 16}
TOKENS, ACTIONS = {"count": N, "codebook_size": V}, {"slots": K, "slot_width": D}
DRAFTS = np.random.default_rng(1).integers(0, V, (B, T - 1, N)).astype(np.int32)
VARIANTS = {
    "genie": {},
    "shown": {"context": "shown", "enters": "token"},
    "causal": {"context": "shown", "kind": "causal"},
    "drafts": {"drafts": True},
    "drafts_shown": {"context": "shown", "drafts": True},
    "floor": {"action": "none"},
}


@dataclasses.dataclass(frozen=True)
class Built:
    model: object
    variables: object
    logits: object  # Jitted, of (ids, hidden, actions).


@pytest.fixture(scope="module", params=VARIANTS)
def built(request):
    model = build_dynamics({**MODEL, **VARIANTS[request.param]}, TOKENS, ACTIONS)
    shapes = clip_shapes(model, read("actions", ACTIONS, ActionSettings), 2)
    clip = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    variables = randomised(jax.jit(model.init)(jax.random.key(0), *clip))

    def logits(ids, hidden, actions=None, drafts=DRAFTS):
        return apply(variables, ids, hidden, actions, told(model, drafts))

    apply = jax.jit(model.apply)
    return Built(model, variables, logits)


def told(model, drafts):
    return drafts if model.drafts else None


@pytest.fixture(scope="module")
def clip():
    """ids, hidden tokens of all frames but the first, actions."""
    rng = np.random.default_rng(0)
    hidden = rng.random((B, T, N)) < 0.5
    hidden[:, 0], hidden[:, 1:, 0] = False, True
    ids = rng.integers(0, V, (B, T, N)).astype(np.int32)
    return ids, hidden, rng.normal(size=(B, T - 1, K, D)).astype(np.float32)


def changed(array, place, by=1):
    array = array.copy()
    array[place] = (array[place] + by) % V if array.dtype == np.int32 else array[place] + by
    return array


def moved(built, one, other):
    """Which logits two clips differ in, bool (B, T-1, N)."""
    difference = np.abs(np.asarray(built.logits(*one)) - np.asarray(built.logits(*other)))
    return difference.max(-1) > 1e-5


def test_going_on_from_the_cache_is_reading_the_whole_history(built, clip):
    ids, hidden, actions = clip
    bound = functools.partial(built.model.apply, built.variables)
    cache = bound(ids[:, :2], actions[:, :1], told(built.model, DRAFTS[:, :1]), method="start")
    step = jax.jit(functools.partial(bound, method="frame"))
    for time in range(2, T):
        past = hidden.copy()
        past[:, :time] = False
        whole = built.logits(ids, past, actions)[:, time - 1]
        action = actions[:, time - 1]
        draft = told(built.model, DRAFTS[:, time - 1])
        found = step(ids[:, time], hidden[:, time], action, cache, draft)
        np.testing.assert_allclose(found, whole, atol=1e-4)
        cache = bound(ids[:, time], action, cache, draft, method="write")
    assert cache.count.tolist() == [T, T]
    assert np.abs(np.asarray(whole)).max() > 0.1


def test_a_prediction_sees_what_it_is_given_and_nothing_else(built, clip):
    ids, hidden, actions = clip
    seen = moved(built, clip, (changed(ids, (0, 2)), hidden, actions))
    assert not seen[1].any() and not seen[0, 0].any()  # Other rows, frames before.
    if built.model.kind == "causal":
        assert seen[0, 1].tolist() == [False, True, True]  # The tokens before, and no other.
        last = moved(built, clip, (changed(ids, (0, 2, N - 1)), hidden, actions))
        assert not last[0, 1].any() and last[0, 2].all()  # Later frames see the whole of it.
        return
    told = moved(built, clip, (np.where(hidden, 0, ids), hidden, actions))
    if built.model.context == "masked":  # What is hidden is so everywhere.
        assert not told.any()
    else:  # Hidden while it is predicted, shown to those that look back.
        assert not told[:, 0].any() and told[:, 2:].any()
        more = moved(built, clip, (ids, hidden | (np.arange(T) == 2)[:, None], actions))
        assert not more[:, [0, 2, 3]].any() and more[:, 1].any()


def test_a_draft_is_of_its_frame_and_told_to_those_after_it(built, clip):
    ids, hidden, actions = clip
    if not built.model.drafts:
        return
    seen = moved(built, clip, (ids, hidden, actions, changed(DRAFTS, (0, 1))))
    assert not seen[:, 0].any() and not seen[1].any() and seen[0, 1:3].all()


def test_an_action_leads_to_its_frame_and_those_after_it(built, clip):
    ids, hidden, actions = clip
    seen = moved(built, clip, (ids, hidden, changed(actions, (0, 1))))
    if built.model.action == "none":
        assert not seen.any()
        np.testing.assert_array_equal(built.logits(ids, hidden), built.logits(*clip))
        return
    assert not seen[:, 0].any() and not seen[1].any() and seen[0, 1:3].all()


def test_a_drawn_frame_is_the_likeliest_without_temperature(built, clip):
    ids, _, actions = clip
    started = ids[:, :2], actions[:, :1], told(built.model, DRAFTS[:, :1])
    cache = built.model.apply(built.variables, *started, method="start")
    draft = told(built.model, DRAFTS[:, 1])
    keys = jax.random.split(jax.random.key(0), B)
    draw = jax.jit(
        functools.partial(
            draw_frame, built.model, built.variables, actions[:, 1], cache, draft=draft, steps=1
        )
    )
    drawn = draw(keys=keys, temperature=0.0)
    assert drawn.shape == (B, N) and drawn.dtype == jnp.int32
    assert ((draw(keys=keys, temperature=30.0) >= 0) & (drawn < V)).all()
    again = built.model.apply(
        built.variables,
        drawn if built.model.kind == "causal" else ids[:, 2],
        np.ones((B, N), bool),
        actions[:, 1],
        cache,
        draft,
        method="frame",
    )
    np.testing.assert_array_equal(drawn, again.argmax(-1))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"width": 12, "heads": 4}, "config.model.width=12 does not split into .*heads=4 heads"),
        ({"kind": "causal"}, "config.model.context='masked' hides some; set it to 'shown'"),
        ({"enters": "film"}, "config.model.enters='film' is not one of 'add', 'token'"),
        ({"window": 1}, "config.model.window=1"),
        ({"action": "none", "drafts": True}, "config.model.drafts is set.*there is no latent"),
    ],
)
def test_settings_that_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        build_dynamics({**MODEL, **change}, TOKENS, ACTIONS)
