import jax
import numpy as np
import pytest

from flexlam_jax.models.token_policy import build_token_policy
from flexlam_jax.objectives.token_policy import token_policy_objective
from tests.models.test_token_policy import CODES, MODEL, K, S, T, V, bound, random_codes
from tests.models.tiny_lam import random_frames, randomised


@pytest.fixture(scope="module", params=CODES)
def built(request):
    model = build_token_policy(MODEL, CODES[request.param])
    objective = token_policy_objective(model)
    batch = {
        "frames": random_frames((6, T + S, 16, 16, 3)),
        model.column: random_codes(request.param, 6, T + S - 1),
    }
    variables = randomised(jax.jit(objective.init)(jax.random.key(0), batch), scale=0.2)

    @jax.jit
    def values(batch):
        outcome = objective.outcome(variables["params"], {}, batch, jax.random.key(0))
        return objective.values(outcome)

    return model, variables, batch, values


def test_the_loss_is_the_mean_nll_of_the_steps_in_context(built):
    model, variables, batch, values = built
    codes = batch[model.column][:, -T:]
    nats = jax.jit(lambda v, *args: model.apply(v, *args, method="log_prob"))(
        variables, batch["frames"][:, :-1], codes
    )
    found = values(batch)
    np.testing.assert_allclose(found["loss"], -np.mean(nats), rtol=1e-5)
    for slot in range(K):
        expected = -np.mean(nats[:, :, slot])
        np.testing.assert_allclose(found[f"slot_{slot + 1}_nll"], expected, rtol=1e-5)


def test_where_the_last_action_leads_and_what_precedes_the_context_are_not_read(built):
    model, _, batch, values = built
    frames, codes = batch["frames"].copy(), batch[model.column].copy()
    frames[:, -1], codes[:, : S - 1] = 0, 0
    changed = values({"frames": frames, model.column: codes})
    assert float(changed["loss"]) == float(values(batch)["loss"])
    frames[:, -2] = 0
    assert float(values({**batch, "frames": frames})["loss"]) != float(changed["loss"])


def test_accuracy_and_the_entropy_to_beat(built):
    model, variables, batch, values = built
    if model.column == "slots":
        assert not {"marginal_entropy", "slot_1_accuracy"} & set(values(batch))
        return
    head = bound(model.distribution.clone(parent=None))
    predict = jax.jit(lambda variables, *args: head.likeliest(model.apply(variables, *args)))
    likeliest = np.array(batch["ids"])
    # Slot by slot, as changing one changes what is predicted of the next.
    for step in range(T):
        for slot in range(K):
            found = predict(variables, batch["frames"][:, :-1], likeliest[:, -T:])
            likeliest[:, S - 1 + step, slot] = found[:, step, slot]
    found = values({**batch, "ids": likeliest})
    assert all(float(found[f"slot_{slot + 1}_accuracy"]) == 1 for slot in range(K))
    everything = np.broadcast_to(np.arange(V, dtype=np.int32)[:, None, None], (V, T + S - 1, K))
    uniform = values({"frames": batch["frames"][:V], "ids": everything})
    np.testing.assert_allclose(uniform["marginal_entropy"], np.log(V), rtol=1e-5)
