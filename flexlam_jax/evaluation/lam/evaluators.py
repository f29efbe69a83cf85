"""The evaluators of latent action models. Another one is a function and an entry here."""

from flexlam_jax.evaluation.lam.action_probes import PROBE_BASELINES, PROBES
from flexlam_jax.evaluation.lam.code_usage import CODES
from flexlam_jax.evaluation.lam.reconstruction import COPY, RECONSTRUCTION

EVALUATORS = {one.name: one for one in (RECONSTRUCTION, COPY, CODES, PROBES, PROBE_BASELINES)}
