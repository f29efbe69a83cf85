"""Joint fine-tuning: the quick start's LAM goes on with a translator, on 0.5 % labels and all video.

    python -m experiments.train --config=experiments/configs/lam_finetune.py --workdir=runs/tuned \
        --config.init_from.lam.path=runs/doom --config.data.path=data/doom \
        [--config.labelled.labels=64] [--config.labelled.draw=1]

Give the model section of the run that it starts from (fixed=K for a Fixed-K LAM). What comes out is
a latent action model: evaluate_lam, align_translator and extract_latents take it as --checkpoint.

Variants: debug (a smoke run from random weights), scratch (no run to start from: as long as the LAM's
own training, for action supervision from the beginning), of=PRESET (model, loss and data of another
LAM's preset, FILE or FILE:variant, several of these with a plus between), fixed=K (the Fixed-K
baseline).

    python -m experiments.train --config=experiments/configs/lam_finetune.py:scratch \
        --workdir=runs/supervised --config.data.path=data/doom --config.labelled.labels=1% \
        [--config.translator.slots=1 --config.loss.own=stopped]
"""

from experiments.configs import common
from experiments.preset_flag import read_preset
from experiments.tasks.lam_finetune import LamFinetuneConfig
from flexlam_jax.models.lam import LamSettings, resolve_config
from flexlam_jax.models.presets import model_preset


def get_config(variant=""):
    config = common.section_config(LamFinetuneConfig)
    config.kind = "lam_finetune"
    model = resolve_config(model_preset("doom", image_size=64))
    config.model = common.section_config(LamSettings, model)
    config.init_from = {"lam": {"path": "runs/doom", "take": "", "to": "lam", "step": None}}
    config.translator.outputs = 5
    config.data.datasets = ("health_gathering_sticky",)
    config.batch_size = {"video": 64, "labelled": 32}
    config.total_steps = 300
    config.optimizer.learning_rate = 3e-4
    config.optimizer.warmup_steps = 30
    config.checkpoint.every = config.eval.every = 100
    return common.apply_variants(config, variant, {"debug": _debug, "of": _of, "scratch": _scratch})


def _scratch(config, _):
    config.init_from = {}
    config.total_steps, config.optimizer.learning_rate = 1100, 2e-3
    config.optimizer.warmup_steps = 100
    config.checkpoint.every = config.eval.every = 275


def _of(config, preset):
    lam = read_preset(preset.replace("+", ","))
    for section in ("model", "loss", "data", *(("vectors",) if "vectors" in lam else ())):
        config[section] = lam[section]


def _debug(config, _):
    config.init_from = {}
    common.shorten(config, steps=20, batch_size=16)
    config.batch_size = {"video": 16, "labelled": 8}
