"""Behaviour cloning from true actions, one policy for six ViZDoom tasks: the ceiling of what labels
can give. 64 px, for two CPU cores.

    python -m data_pipelines.prepare doom_suite --out=data/doom_suite
    python -m experiments.train --config=experiments/configs/behaviour_cloning.py \
        --workdir=runs/cloned --config.data.path=data/doom_suite

Variants: debug (a smoke run). For other data name their datasets, and take the actions from them:
--config.data.datasets='()' --config.model.action_names='()'.

Three minutes of CPU time, jax 0.10.2, on two cores that others used too. Expect a validation
accuracy near 0.65, where the commonest action has 0.20; returns are in docs/behaviour_cloning.md.
"""

from experiments.configs import common
from experiments.configs.doom_suite import TASKS
from experiments.configs.keys import BehaviourCloningConfig


def get_config(variant=""):
    config = common.section_config(BehaviourCloningConfig)
    config.data.datasets = tuple(f"{task}_noisy" for task in TASKS)
    config.data.clip_length = 4  # One decision: neighbours tell little that is new.
    config.model.action_names = ("L", "R", "F", "FL", "FR", "A", "SL", "SR")
    config.total_steps, config.batch_size = 2500, 128
    config.checkpoint.every = config.eval.every = 500
    config.eval.batches = 16
    return common.apply_variants(config, variant, {"debug": _debug})


def _debug(config, _):
    common.shorten(config, steps=40, batch_size=8)
