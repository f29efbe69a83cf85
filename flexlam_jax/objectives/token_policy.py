"""The objective of a latent-token policy: the likelihood of frozen latent actions.

All K slots are trained, each given those before it; how many of them are used is decided when the
policy acts. Dimension keys: B batch, T steps, K slots, V codes.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from flexlam_jax.models.token_policy import TokenPolicy
from flexlam_jax.objectives.code_usage import code_counts
from flexlam_jax.objectives.objective import Mean, Objective
from flexlam_jax.objectives.terms import Report, Term, objective_of


def token_policy_objective(model: TokenPolicy, *, dtype: str = "float32") -> Objective:
    """Builds the Objective of a policy.

    Its batches are those of `models.token_policy.clip_shapes`, "ids" or "slots" beside "frames".
    Metrics (float32 scalars): loss = nll, nats per slot, for continuous slots of a density;
    slot_<i>_nll of each; for discrete slots slot_<i>_accuracy, of the likeliest code given the true
    ones before it, and marginal_entropy, the nll of codes drawn by their shares of the batch.

    Args:
      dtype: name of the type that the model computes in.
    """
    discrete = model.column == "ids"

    def codes_of(batch: Mapping[str, jax.Array]) -> jax.Array:
        return batch[model.column][:, -model.context :]

    def init(rng, batch):
        row = {name: x[:1] for name, x in batch.items()}
        return dict(model.init(rng, row["frames"][:, :-1], codes_of(row)))

    def apply(params, extra, batch, rng):
        # The last frame is where the last latent action leads: it is never read.
        return model.apply(
            {"params": params, **extra}, batch["frames"][:, :-1], codes_of(batch)
        ), extra

    def log_prob(outputs, batch):
        return model.distribution.log_prob(outputs, codes_of(batch))

    def nll(params, outputs, batch, key) -> Mean:
        return Mean.of(-log_prob(outputs, batch))

    def report(outputs, batch) -> Report:
        codes, log_p = codes_of(batch), log_prob(outputs, batch)
        metrics = {f"slot_{i + 1}_nll": Mean.of(-log_p[..., i]) for i in range(model.slots)}
        if not discrete:
            return Report(metrics)
        right = model.distribution.likeliest(outputs) == codes
        for i in range(model.slots):
            metrics[f"slot_{i + 1}_accuracy"] = Mean.of(right[..., i])
        return Report(metrics, {"code_counts": code_counts(codes, model.distribution.codes)})

    return objective_of(
        init,
        apply,
        [Term("nll", nll)],
        report=report,
        summary=_marginal_entropy,
        transitions_per_row=model.context,
        dtype=dtype,
    )


def _marginal_entropy(totals: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """Nats of the codes' shares, averaged over slots; nothing for continuous slots."""
    if not totals:
        return {}
    share_KV = totals["code_counts"] / totals["code_counts"].sum(-1, keepdims=True)
    entropy_K = -jnp.sum(share_KV * jnp.log(jnp.maximum(share_KV, 1e-12)), axis=-1)
    return {"marginal_entropy": entropy_K.mean()}
