"""HiLAM: two stages of skills over the latent actions of a frozen model, for two CPU cores.

    python -m experiments.extract_latents --checkpoint=runs/lam --data=data/doom_suite \
        --splits=train,validation --out=latents
    python -m experiments.train --config=experiments/configs/hilam.py --workdir=runs/skills \
        --config.data.path=data/doom_suite --config.data.sidecars.slots=latents

Without sidecars, the frozen model encodes the frames inside the step:

    python -m experiments.train --config=experiments/configs/hilam.py --workdir=runs/skills \
        --config.data.path=data/doom_suite --config.lam.checkpoint=runs/lam

Variants: pod (about 240M parameters, bf16, for pods), ogbench (small, for some hundred episodes of
OGBench's scene), debug (a smoke run). The sections `codes`,
`latents` and `lam` are filled in from the sidecars or the model.

Routers learn an offset, their projections hardly move, and runs of boundaries are one: on planted
sequences that puts boundaries where segments begin, and the official code does not
(docs/results/skill_study_planted.md; three seeds, width 16). The official code's are
--config.model.offset=False --config.model.merge=1 --config.loss.ratio=0.03
--config.optimizer.groups="{}".

The variant ogbench was measured in docs/results/hilam.md, no run of this preset to the end. Sizes,
targets, batch and rate are ours: those of the HiLAM paper are not public.
"""

from ml_collections import ConfigDict

from experiments.configs import common
from experiments.configs.keys import HiLamConfig


def get_config(variant=""):
    config = common.section_config(HiLamConfig)
    config.data.column_chunk = 64
    config.total_steps, config.batch_size = 2000, 64
    config.checkpoint.every = config.eval.every = 500
    config.eval.batches = 16
    config.model.update(offset=True, merge=(3, 1))
    config.loss.ratio = 0.1
    config.optimizer.groups = ConfigDict(
        {
            "offset": {"pattern": "router/offset", "learning_rate": 5.0},
            "router": {"pattern": "router/(query|key)", "learning_rate": 0.05},
        }
    )
    variants = {"pod": _pod, "ogbench": _ogbench, "debug": _debug}
    return common.apply_variants(config, variant, variants)


def _ogbench(config, _):
    # Latent actions of experiments/configs/ogbench.py: numbers that say nothing are small.
    config.model.update(widths=(64, 64, 96), targets=(4.0, 3.0), normalise=False)
    config.loss.ratio = 0.3
    config.total_steps = 400
    config.checkpoint.every = config.eval.every = 200


def _pod(config, _):
    config.data.column_chunk = 256
    config.model.update(
        widths=(768, 1024, 1280), encoder_layers=(2, 2), decoder_layers=(2, 2), main_layers=8
    )
    config.model.update(heads=16, dtype="bfloat16", capacity=0.5)
    config.codes.update(slots=16, codebook_size=0, slot_width=32)
    config.total_steps, config.batch_size = 100_000, 1024
    config.data.threads, config.data.prefetch = 16, 4
    config.optimizer.update(
        learning_rate=2e-4, schedule="wsd", warmup_steps=2_000, weight_decay=0.05
    )
    config.mesh.data, config.mesh.fsdp = 1, -1
    config.checkpoint.every = config.eval.every = 2_000


def _debug(config, _):
    config.data.column_chunk = 16
    config.model.widths = (16, 16, 16)
    config.model.heads = 2
    common.shorten(config, steps=20, batch_size=16)
