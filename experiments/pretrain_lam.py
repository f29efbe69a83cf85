"""Pretrains a latent action model on unlabelled video: `experiments.train` for the kind "lam".

    python -m experiments.pretrain_lam --config=experiments/configs/doom.py --workdir=runs/doom \\
        [--config.data.path=DIR] [--config.model.slots=16]

Killed or interrupted, the same command continues it, on as many devices as there are then. On TPU
pods, Slurm and GKE start it on every host; elsewhere add --coordinator_address=HOST:PORT
--num_processes=N --process_id=I (or set COORDINATOR_ADDRESS, NUM_PROCESSES, PROCESS_ID).
See flexlam_jax/training/loop.py for the loop.
"""

if __name__ == "__main__":  # Before the imports, which take seconds.
    from experiments import process

    process.start(restart=True)

from absl import flags

from experiments import cli, train

flags.adopt_module_key_flags(train)  # For --help.


def main(argv):
    train.main(argv, only="lam")


if __name__ == "__main__":
    cli.run(main)
