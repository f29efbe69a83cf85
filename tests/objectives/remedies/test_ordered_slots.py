"""Which slot ends up with what, where everything is linear and the noise is stronger than the agent.

Frames change by one pattern that the agent controls (variance 1) and one that nobody does (variance
NOISE), with partners that share the first. The first slot holds the stronger one, unless a remedy
says otherwise; see docs/exogenous/remedies.md for the thresholds.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flexlam_jax.objectives.lam import lam_objective
from flexlam_jax.objectives.lam_finetune import finetune_objective, supervision
from tests.objectives.remedies.linear_lam import CONFIG, SIZE, linear_model

NOISE, ROWS = 4.0, 256


def patterns():
    """Orthonormal pictures: the agent's, the noise's, and two of what does not change.

    So few that the codes cannot learn by heart what only the partner's noise says.
    """
    pictures = np.random.default_rng(0).normal(size=(SIZE * SIZE * 3, 4))
    return np.linalg.qr(pictures)[0].T.reshape(4, SIZE, SIZE, 3)


def world():
    """Batch of frames and partners; actions and noise (ROWS, 1)."""
    rng = np.random.default_rng(1)
    agent, noise, *still = patterns()
    action, mine, other = rng.normal(size=(3, ROWS, 1))
    start = np.tensordot(rng.normal(size=(2, ROWS, 2)), np.stack(still), 1)

    def frames(start, drawn):
        change = np.tensordot(action, agent[None], 1)
        change = change + NOISE**0.5 * np.tensordot(drawn, noise[None], 1)
        return jnp.asarray(np.stack([start, start + change], 1), jnp.float32)

    batch = {"frames": frames(start[0], mine), "frames_pair": frames(start[1], other)}
    return batch, action, mine


def trained(loss, **translator):
    """Slots (ROWS, K) after training, of the first world."""
    batch, action, noise = world()
    config = CONFIG | {"quantizer": {"kind": "none", "width": 1}}
    model = linear_model(width=1)
    if translator:
        translator = {"outputs": 1, "discrete": False, "hidden": 4} | translator
        told = supervision(translator)
        objective = finetune_objective(
            lam_objective(model, config, loss, **told), model, config, translator
        )
        labelled = {"frames": batch["frames"], "action": jnp.asarray(action[:, None], jnp.float32)}
        batch = {"video": batch, "labelled": labelled}
    else:
        objective = lam_objective(model, config, loss)
    optimizer = optax.adam(optax.cosine_decay_schedule(0.03, 500))

    @jax.jit
    def fit(key):
        params = objective.init(key, batch)["params"]

        def step(carry, number):
            params, state = carry
            loss = lambda p: objective.loss(
                objective.outcome(p, {}, batch, jax.random.fold_in(key, number)).terms
            )
            updates, state = optimizer.update(jax.grad(loss)(params), state)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (params, optimizer.init(params)), jnp.arange(500))[0][0]

    params = fit(jax.random.key(0))
    own = params["lam"] if translator else params
    frames = batch["video"]["frames"] if translator else batch["frames"]
    slots = model.apply({"params": own}, frames, method="encode")[0]
    return np.asarray(slots)[:, 0, :, 0], action, noise, frames


def explained(slot, truth):
    """R^2 of the truth by the slot."""
    return float(np.corrcoef(slot, truth[:, 0])[0, 1] ** 2)


@pytest.mark.parametrize(
    ("loss", "translator", "agent_first"),
    [
        # Nested dropout orders by variance.
        ({}, {}, False),
        # All slots: (1 + 0.5)^2 < NOISE, (1 + 3)^2 > NOISE.
        ({"cross": 3.0}, {}, True),
        # Weak on the first slot, where own frames pull too; and where they do not.
        ({"cross": 0.05, "cross_slots": 1}, {}, False),
        ({"cross": 0.05, "cross_slots": 1, "own": "longer"}, {}, True),
        ({"cross": 0.05, "cross_slots": 1, "own": "stopped"}, {}, True),
        # The same of actions.
        ({}, {"coefficient": 0.001, "slots": 1}, False),
        ({"own": "stopped"}, {"coefficient": 0.001, "slots": 1}, True),
    ],
)
def test_the_first_slot(loss, translator, agent_first):
    slots, action, noise, _ = trained(loss, **translator)
    agent, other = explained(slots[:, 0], action), explained(slots[:, 0], noise)
    if agent_first:
        assert agent > 0.9 and other < 0.1, (agent, other)
    else:
        assert other > 0.8 and agent < 0.2, (agent, other)


def test_later_slots_hold_the_rest():
    loss = {"cross": 0.5, "cross_slots": 1, "own": "stopped"}
    slots, _, noise, _ = trained(loss)
    design = np.concatenate([slots[:, 1:], np.ones((ROWS, 1))], 1)
    residual = noise - design @ np.linalg.lstsq(design, noise, rcond=None)[0]
    assert residual.var() < 0.1 * noise.var()
