"""Writes a world as one HTML file, which plays it offline in a browser.

    python -m experiments.export_world --checkpoint=runs/dynamics --translator=runs/translator \\
        --out=world.html [--data=… --datasets=…] [--starts=6] [--steps=…] [--runtime=PATH]

The file holds the dynamics and the decoder of the tokenizer in half precision, ONNX Runtime Web, which
runs them, and frames to start from; a browser opens it from a disk, without a server. See
docs/world/one_file.md.
"""

import importlib.util
from collections.abc import Sequence
from typing import Any

from absl import flags

from experiments import lam_inputs
from experiments.export_world import runtime
from experiments.play.choices import define_choices
from experiments.play.opening import open_stage
from flexlam_jax.errors import UserError
from flexlam_jax.files import reachable, write_atomically
from flexlam_jax.models.maskgit import MOST_STEPS
from flexlam_jax.serving.browser import check_world
from flexlam_jax.world.opening import open_world

FPS = 6.0
_CHOICES = define_choices("a world: a model of dynamics", starts=6, most_starts=50)
_OUT = flags.DEFINE_string("out", None, "The HTML file to write.", required=True)
_STEPS = flags.DEFINE_integer(
    "steps",
    None,
    "Sampling steps of a frame to begin with; default the model's own, at most 4. Fewer are faster.",
    lower_bound=1,
    upper_bound=MOST_STEPS,
)
_RUNTIME = flags.DEFINE_string(
    "runtime",
    "",
    f"Package {runtime.NAME} {runtime.VERSION}, its tarball or its folder; default the copy in the "
    "cache folder, which npm fetches.",
)


def main(argv: Sequence[str]) -> None:
    del argv
    check_packages()
    from experiments.export_world.contents import page  # needs onnx

    out = check_out(lam_inputs.text(_OUT))
    choices = _CHOICES(FPS)
    world = check_world(open_world(choices.checkpoint, choices.step))
    runs = runtime.open_runtime(lam_inputs.text(_RUNTIME))
    text = page(open_stage(choices, world=world), _STEPS.value, runs)
    write_atomically(out, text)
    print(f"{out}: {len(text) / 1e6:.1f} MB")


def check_packages() -> None:
    """Raises UserError where the package is missing that graphs are written with."""
    if importlib.util.find_spec("onnx") is None:
        raise UserError(
            "the model is written for browsers with onnx, which is not installed; run `pip install "
            "'flexlam_jax[browser]'` (or `pip install onnx`)"
        )


def check_out(text: str) -> Any:
    """Where the file goes; raises UserError for one that is no HTML file, or somebody's folder."""
    out = reachable(text)
    if out.suffix != ".html" or out.is_dir():
        raise UserError(f"--out={text} is one file; name it something.html")
    return out
