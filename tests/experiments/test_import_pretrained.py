"""Published image models as what runs start from; the files are those of the goldens of diffusers."""

import json

import jax
import numpy as np
import pytest

from experiments.configs.flow import FROM_PRETRAINED
from experiments.preset_flag import read_preset
from experiments.tasks.registry import as_run
from flexlam_jax.checkpoints.params import restore_params
from flexlam_jax.errors import ConfigError
from flexlam_jax.models.lam import build_lam
from flexlam_jax.training.state import TrainState
from flexlam_jax.training.warm_start import read_start
from tests.experiments.command_lines import run_lines
from tests.loading.safetensors_files import write
from tests.loading.test_pretrained import stored
from tests.models.tiny_lam import tiny_config

PRESET = "experiments/configs/flow.py:debug"


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """(folder, source, results of all command lines)."""
    folder = tmp_path_factory.mktemp("imported")
    source = stored(folder, "sd35_medium")
    queries = np.arange(12, dtype=np.float32).reshape(3, 4)
    other = write(folder / "other.safetensors", {"slots.weight": queries, "ema": queries})
    table, wrong = folder / "rows.json", folder / "wrong.json"
    table.write_text(json.dumps([["slots.weight", "slot_order", "same"], ["ema", "", "same"]]))
    wrong.write_text('[["slots.weight", 3]]')
    for_part = [f"--path={other}", f"--table={table}", f"--config={PRESET}", "--to=decoder"]
    lines = [
        [f"--path={source}", f"--out={folder}/sd35", "--parts=transformer"],
        [*for_part, f"--out={folder}/part"],
        [f"--path={source}", f"--out={folder}/a", "--parts=vae"],
        [f"--path={source}", f"--out={folder}/b", "--parts=autoencoder"],
        [f"--path={other}", f"--out={folder}/c", f"--table={table}"],
        [*for_part, f"--out={folder}/d", f"--table={wrong}"],
        [*for_part, f"--out={folder}/e", "--to=decoder/nowhere"],
        [f"--path={source}", f"--out={source}"],
    ]
    return folder, source, run_lines("import_pretrained", lines)


def test_a_run_starts_from_an_imported_transformer(imported):
    folder, _, results = imported
    assert results[0][0] == 0 and "transformer: " in results[0][1], results[0]
    _, config, _ = restore_params(folder / "sd35" / "transformer")
    sizes = config["model"]
    # fmt: off
    names = ("width", "layers", "dual_layers", "patch", "heads", "mlp_hidden", "qk_norm",
             "position_table", "position_base")
    # fmt: on
    # Latents of as many channels as the checkpoint's, 8 pixels to a latent.
    latents = {"kind": "kl", "channels": (4, 4), "groups": 2, "latent_channels": sizes["channels"]}
    decoder = {"kind": "flow", "latents": latents, **{name: sizes[name] for name in names}}
    model = build_lam(tiny_config(decoder=decoder))
    frames = jax.ShapeDtypeStruct((1, 2, 16, 16, 3), np.uint8)
    params = jax.eval_shape(model.init, jax.random.key(0), frames)["params"]
    abstract = TrainState(0, params, {}, None)
    start = {
        part: {
            "path": str(folder / "sd35" / "transformer"),
            "take": part,
            "to": f"decoder/velocity/{part}",
        }  # fmt: skip
        for part in FROM_PRETRAINED
        if part in params["decoder"]["velocity"]  # So few layers are all of one kind.
    }
    parts = read_start({"init_from": start}, abstract, folder).parts
    untouched = {"context_embed", "pooled_embed", "shown_embed"}
    given = {path.removeprefix("decoder/velocity/") for _, path in parts}
    assert given | untouched == set(params["decoder"]["velocity"])


def test_an_autoencoder_that_nobody_trained_is_refused():
    as_run(read_preset("experiments/configs/flow.py:sd35,from=DIR"))
    with pytest.raises(ConfigError, match="trained autoencoder at 'decoder/latents'.*from=DIR"):
        as_run(read_preset("experiments/configs/flow.py:sd35"))


def test_a_table_says_where_tensors_of_another_model_go(imported):
    folder, _, results = imported
    assert results[1][0] == 1 and "slot_order" in results[1][2], results[1]


@pytest.mark.parametrize(
    "line, message",
    [
        (2, "--parts=vae: choose of transformer, autoencoder"),
        (3, "holds an MMDiT of Stable Diffusion 3, where an AutoencoderKL is needed"),
        (4, "--config, --to is missing"),
        (5, "wrong.json cannot be read: it must be a list of"),
        (6, "--to=decoder/nowhere is no part of that model"),
        (7, "not imported parameters of this package"),
    ],
)
def test_bad_input_is_one_message(imported, line, message):
    code, _, error, _ = imported[2][line]
    assert code == 1 and message in error and "Traceback" not in error, error
