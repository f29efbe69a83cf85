"""The smallest LAM that has everything a resume could lose: a VQ codebook, EMA, random `keep`.

    python -m experiments.pretrain_lam --config=tests/experiments/tiny.py --workdir=DIR \\
        --config.data.path=DATA

where DATA is from `python -m data_pipelines.prepare synthetic --size=16 --out=DATA`.
"""

import ml_collections


def get_config():
    return ml_collections.ConfigDict(
        dict(
            seed=0,
            total_steps=24,
            batch_size=8,
            peak_tflops=0.1,
            compilation_cache="",
            data=dict(
                path="",
                datasets=(),
                clip_length=3,
                gap=1,
                split="train",
                fields=(),
                threads=1,
                prefetch=2,
                workers=0,
            ),
            model=dict(
                image_size=16,
                channels=3,
                slots=2,
                dtype="float32",
                remat="none",
                residual=True,
                encoder=dict(
                    kind="vit",
                    patch=8,
                    width=32,
                    heads=2,
                    mlp_hidden=64,
                    frame_blocks=1,
                    pair_blocks=1,
                ),
                quantizer=dict(kind="vq", codes=8, width=4),
                decoder=dict(
                    kind="vit",
                    patch=8,
                    width=32,
                    heads=2,
                    mlp_hidden=64,
                    blocks=1,
                    conditioning="self",
                ),
                keep=dict(kind="uniform"),
            ),
            loss=dict(pixel="mse", multiscale=0.0),
            optimizer=dict(
                learning_rate=3e-3,
                schedule="cosine",
                warmup_steps=4,
                decay_fraction=0.2,
                weight_decay=1e-2,
                clip_norm=1.0,
                b1=0.9,
                b2=0.99,
                accumulate=1,
                ema_decay=0.9,
            ),
            mesh=dict(slice=-1, data=-1, fsdp=1, model=1, fsdp_min_size=2**16),
            watchdog_seconds=600.0,
            checkpoint=dict(every=5, keep=3),
            log=dict(every=1, tensorboard=True, wandb=""),
            eval=dict(every=8, batches=2),
            profile=dict(start=0, steps=0),
        )
    )
