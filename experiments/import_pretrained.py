"""Turns a published image model into checkpoints that runs start from, and say which they started from.

    python -m experiments.import_pretrained --path=stable-diffusion-3.5-medium --out=pretrained/sd35 \\
        [--parts=transformer,autoencoder]
    python -m experiments.import_pretrained --path=other.safetensors --out=pretrained/other \\
        --table=rows.json --config=PRESET --to=decoder/velocity

The first takes a folder of diffusers or a single file of Stable Diffusion 3 (docs/real_video/decoder.md)
and writes OUT/transformer and OUT/autoencoder. The second takes any .safetensors file: the rows, a
list of [regular expression, path of ours, layout], say where its tensors go in the part --to of the
preset's model; OUT/part holds those that they name. config.init_from then takes them as it takes
those of any run, and config.frozen keeps them. Nothing is fetched, nothing is unpickled.
"""

if __name__ == "__main__":  # Before the imports, which take seconds.
    from experiments import process

    process.start()

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import jax
from absl import flags

from experiments import cli, lam_inputs
from experiments.preset_flag import read_preset
from experiments.tasks.registry import as_run, on_paper
from flexlam_jax import output_folder
from flexlam_jax.checkpoints.safetensors import open_tensors
from flexlam_jax.checkpoints.streaming import read_tensors
from flexlam_jax.checkpoints.subtrees import children, subtree
from flexlam_jax.checkpoints.write import save_model
from flexlam_jax.errors import CheckpointError, UserError
from flexlam_jax.files import reachable, write_atomically
from flexlam_jax.loading.pretrained import load_autoencoder_kl, load_mmdit

_PATH = flags.DEFINE_string("path", None, "Folder of diffusers, or a .safetensors file.")
_OUT = flags.DEFINE_string("out", None, "Folder to write to.")
LOADERS: dict[str, Callable[[Any], tuple[Any, dict[str, Any]]]] = {
    "transformer": load_mmdit,
    "autoencoder": load_autoencoder_kl,
}
_PARTS = flags.DEFINE_list("parts", list(LOADERS), f"Which of {', '.join(LOADERS)}.")
_TABLE = flags.DEFINE_string("table", "", "JSON file of rows, for another model than these.")
_PRESET = flags.DEFINE_string("config", "", "With --table: preset of the model that is to start.")
_TO = flags.DEFINE_string("to", "", "With --table: path in that model's parameters.")
flags.mark_flags_as_required(["path", "out"])


def main(argv):
    del argv
    path, table, to = (lam_inputs.text(flag) for flag in (_PATH, _TABLE, _TO))
    told = {"--table": table, "--config": _PRESET.value, "--to": to}
    if any(told.values()) and not all(told.values()):
        missing = ", ".join(name for name, value in told.items() if not value)
        raise UserError(f"{missing} is missing: --table, --config and --to go together")
    parts = lam_inputs.listed(_PARTS)
    if unknown := sorted(set(parts) - LOADERS.keys()):
        raise UserError(f"--parts={','.join(unknown)}: choose of {', '.join(LOADERS)}")
    with output_folder.Claim(_OUT.value, output_folder.PRETRAINED) as out:
        about = {"kind": output_folder.PRETRAINED.name, "source": path, "part": "all"}
        write_atomically(out / "pretrained.json", json.dumps(about, indent=2) + "\n")
        if table:
            _write(out, "part", path, _by_table(path, table, to), {"to": to})
            return
        for part in parts:
            model, variables = LOADERS[part](path)
            _write(out, part, path, variables, settings_of(model))


def settings_of(model: Any) -> dict[str, Any]:
    """The sizes of a transformer or autoencoder, as its fields are named."""
    fields = [f.name for f in dataclasses.fields(model) if "range" in f.metadata]
    sizes = {name: getattr(model, name) for name in fields}
    if hasattr(model, "block"):
        sizes |= {name: getattr(model.block, name) for name in ("heads", "mlp_hidden", "qk_norm")}
    return sizes


def _by_table(path: str, table: str, to: str) -> dict[str, Any]:
    """{"params": what the rows of a table take} of a .safetensors file."""
    objective, batch = on_paper(as_run(read_preset(_PRESET.value)))
    params = jax.eval_shape(objective.init, jax.random.key(0), batch)["params"]
    abstract = subtree(params, to)
    if abstract is None:
        raise UserError(f"--to={to} is no part of that model: {children(params, to)}")
    return {
        "params": read_tensors(
            open_tensors(reachable(path, CheckpointError)),
            read_rows(table),
            abstract,
            source=path,
            partial=True,
        )
    }


def read_rows(path: str) -> list[tuple[str, str, str]]:
    """The rows of a JSON file; raises UserError for a file that holds none."""
    try:
        rows = json.loads(reachable(path).read_text())
        if not rows or not all(len(row) == 3 and all(map(_is_text, row)) for row in rows):
            raise ValueError("it must be a list of [pattern, path, layout]")
    except (OSError, TypeError, ValueError) as error:
        raise UserError(f"--table={path} cannot be read: {error}") from error
    return [tuple(row) for row in rows]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _write(out, part, path, variables, settings) -> None:
    count = sum(x.size for x in jax.tree.leaves(variables))
    config = {"source": path, "part": part, "model": settings}
    save_model(out / part, output_folder.PRETRAINED, variables, config)
    print(f"{out / part}: {count:,} parameters")


if __name__ == "__main__":
    cli.run(main)
