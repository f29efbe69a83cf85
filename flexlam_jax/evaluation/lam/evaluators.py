"""The evaluators of latent action models. Another one is a function and an entry here."""

from flexlam_jax.evaluation.lam.action_probes import INVERSE_MODEL, PROBE_BASELINES, PROBES
from flexlam_jax.evaluation.lam.adaptive_budget import ADAPTIVE_BUDGET
from flexlam_jax.evaluation.lam.code_usage import CODES
from flexlam_jax.evaluation.lam.label_free import LABEL_FREE
from flexlam_jax.evaluation.lam.leakage import EXOGENOUS_REGION, LEAKAGE, LEAKAGE_BASELINES
from flexlam_jax.evaluation.lam.reconstruction import COPY, RECONSTRUCTION

EVALUATORS = {
    one.name: one
    for one in (
        RECONSTRUCTION,
        COPY,
        CODES,
        PROBES,
        PROBE_BASELINES,
        INVERSE_MODEL,
        ADAPTIVE_BUDGET,
        LABEL_FREE,
        LEAKAGE,
        LEAKAGE_BASELINES,
        EXOGENOUS_REGION,
    )
}
