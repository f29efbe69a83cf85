"""Serves a page on this machine on which a world is played by its latent actions.

    python -m experiments.play --checkpoint=runs/dynamics --translator=runs/translator
    python -m experiments.play --checkpoint=runs/doom --data=data/doom --datasets=my_way_home_sticky

--checkpoint is a model of dynamics, or a latent action model, whose decoder is then iterated. Keys 1
to 9 play codes; arrows and WASD play the codes that the translator reads as actions, or without one
those whose transitions have these actions most often. See docs/world/page.md.
"""

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from experiments import lam_inputs
from experiments.play.choices import define_choices
from experiments.play.messages import FASTEST
from experiments.play.opening import open_stage
from experiments.play.records import SETTINGS
from flexlam_jax import output_folder
from flexlam_jax.files import write_atomically
from flexlam_jax.output_folder import PLAYED
from flexlam_jax.training.compilation import use_compilation_cache

_CHOICES = define_choices(
    "a world: a model of dynamics, or a latent action model", starts=12, most_starts=200
)
_PORT = flags.DEFINE_integer(
    "port", 8420, "Port on loopback; 0 is any that is free.", lower_bound=0, upper_bound=65535
)
_FPS = flags.DEFINE_float(
    "fps", 10.0, "Frames per second to begin with.", lower_bound=0.5, upper_bound=FASTEST
)
_OUT = flags.DEFINE_string("out", "", "Folder for recordings; default none are made.")
_CACHE = flags.DEFINE_string(
    "compilation_cache", "", "Folder that keeps compiled programs for the next call; default none."
)


def main(argv: Sequence[str]) -> None:
    del argv
    from experiments.play import server  # says so where aiohttp is not installed

    out = lam_inputs.text(_OUT)
    if out:
        output_folder.check(out, PLAYED)
    choices = _CHOICES(_FPS.value)
    with contextlib.closing(server.listening_socket(_PORT.value)) as bound:
        use_compilation_cache(_CACHE.value)
        with output_folder.Claim(out, PLAYED) if out else contextlib.nullcontext() as folder:
            place = Path(folder) if folder else None
            stage = open_stage(choices, place)
            if place:
                settings = {"kind": "played", "checkpoint": choices.checkpoint}
                write_atomically(place / SETTINGS, json.dumps(settings) + "\n")
            compiled(stage)
            port = bound.getsockname()[1]
            print(
                f"http://{server.HOST}:{port}/ plays {choices.checkpoint}; Ctrl-C ends it",
                flush=True,
            )
            server.serve(stage, bound)


def compiled(stage) -> None:
    """Plays a step that nobody sees, so that the first key is not waited for."""
    board = stage.first
    state = stage.world.start(stage.starts[:1])
    stage.world.step(state, board.codes[board.still or 0].slots[None], board.keep)
