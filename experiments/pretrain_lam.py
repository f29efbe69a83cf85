"""Pretrains a latent action model on unlabelled video: `experiments.train` for the kind "lam".

    python -m experiments.pretrain_lam --config=experiments/configs/doom.py --workdir=runs/doom \\
        [--config.data.path=DIR] [--config.model.slots=16]

It refuses configs of other kinds; all else is said in experiments/train.py.
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
