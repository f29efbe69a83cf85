"""FlexLAM on ViZDoom video with distractors, for a study of many models: the quick start's, 32 px.

    python -m data_pipelines.prepare doom --out=data/distracted --plan=health_gathering_sticky=12000 \
        --size=32 --distractor=sprites,agent --distractor-strength=0.5 --exogenous-pairs --masks
    python -m experiments.pretrain_lam --config=experiments/configs/exogenous.py --workdir=runs/plain \
        --config.data.path=data/distracted --config.data.datasets="('health_gathering_sticky_a',)"

Variants: debug (a smoke run), fixed=K (the Fixed-K baseline). Remedies are values of its `loss` section:
docs/exogenous/remedies.md. What it reaches: docs/exogenous/pixels.md.
"""

from experiments.configs import common


def get_config(variant=""):
    config = common.base("doom", image_size=32)
    config.total_steps = 1000
    config.optimizer.learning_rate = 2e-3
    config.optimizer.warmup_steps = 100
    config.checkpoint.every = config.eval.every = 500
    return common.apply_variants(config, variant, {"debug": _debug})


def _debug(config, _):
    common.shorten(config, steps=20, batch_size=16)
