"""One latent action model for the tasks of the ViZDoom suite, 64 px, for two CPU cores.

    python -m data_pipelines.prepare doom_suite --out=data/doom_suite
    python -m experiments.pretrain_lam --config=experiments/configs/doom_suite.py \
        --workdir=runs/suite --config.data.path=data/doom_suite

Variants: debug (a smoke run), fixed=K (the Fixed-K baseline: one prefix per code, of K slots).

Nine minutes of CPU time, jax 0.10.2, on two cores that others used too. Expect a translator of 256
labels to read 0.58 of the actions of the six tasks' noisy experts at k = 4 (validation, seed 0,
interval 0.55 to 0.60), where the commonest action is 0.18. With 1,000 steps it is 0.54.
"""

from experiments.configs import common

TASKS = (
    "health_gathering",
    "defend_the_center",
    "defend_the_line",
    "my_way_home",
    "take_cover",
    "rocket_basic",
)


def get_config(variant=""):
    config = common.base("doom_suite")
    config.total_steps = 3000
    # Sticky play shows actions that the picture before does not give away.
    config.data.datasets = tuple(
        f"{task}_{behaviour}"
        for task in (*TASKS, "health_gathering_supreme")
        for behaviour in ("noisy", "sticky")
    ) + ("deadly_corridor_sticky",)
    config.loss.motion, config.loss.gain = 0.01, True
    config.checkpoint.every = config.eval.every = 600
    return common.apply_variants(config, variant, {"debug": _debug})


def _debug(config, _):
    common.shorten(config, steps=40, batch_size=32)
