"""Public checkpoints of Stable Diffusion 3: what diffusers computes with them, in both layouts.

tests/models/make_sd3_goldens.py says what the goldens hold. The largest numbers are about 5 in
outputs and 10 to 200 in gradients, so tolerances of gradients are of the largest one.
"""

import functools
import json
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.checkpoints.path_table import compiled, move_of, placed
from flexlam_jax.checkpoints.safetensors_header import StoredTensor
from flexlam_jax.checkpoints.subtrees import subtree
from flexlam_jax.errors import CheckpointError
from flexlam_jax.loading.pretrained import load_autoencoder_kl, load_mmdit
from flexlam_jax.loading.sd3_configs import variant_of
from flexlam_jax.loading.sd3_tables import autoencoder_table, mmdit_table
from flexlam_jax.models.autoencoder_kl import AutoencoderKL
from flexlam_jax.models.mmdit import VARIANTS, cropped_positions, mmdit_variant
from flexlam_jax.parallel.axes import AXES
from tests.loading.safetensors_files import checkpoint, write
from tests.models.make_sd3_goldens import PROBED, inputs

TOLERANCE = 1e-4
GOLDENS = Path(__file__).parents[1] / "models" / "goldens" / "sd3.npz"
TINY_AUTOENCODER = AutoencoderKL(channels=(8, 16, 16), blocks=1, groups=4, latent_channels=4)


@functools.cache
def goldens():
    with np.load(GOLDENS) as arrays:
        return dict(arrays)


def config_of(case):
    return json.loads(str(goldens()[f"{case}/config"]))


def stored(folder, case, names=None, config=None):
    """The checkpoint of a golden: a folder of diffusers, or a single file."""
    tensors = checkpoint(names or json.loads(str(goldens()[f"{case}/names"])))
    if "single" in case:
        if "model.diffusion_model.pos_embed" in tensors:
            # The base of the positions is read from it; all else of it is computed.
            table = cropped_positions((12, 12), 12, 8, 16)
            tensors["model.diffusion_model.pos_embed"] = table[None]
        return write(folder / f"{case}.safetensors", tensors)
    place = folder / case
    place.mkdir()
    write(place / "diffusion_pytorch_model.safetensors", tensors)
    (place / "config.json").write_text(json.dumps(config or config_of(case)))
    return place


def channels_last(x):
    return np.moveaxis(x, 1, -1) if x.ndim == 4 else x


def close(ours, theirs, what, of_largest=False):
    scale = np.abs(theirs).max() if of_largest else 1.0
    print(f"{what}: {np.abs(ours - theirs).max() / scale:.1e}")  # With pytest -s, for the docs.
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE * scale, err_msg=what)


def compare(case, function, variables, given):
    """Output and gradients of `function(variables, given)` against the golden's."""

    def loss(variables, given):
        out = function(variables, given)
        return jnp.sum(jnp.square(out)) / 2, out

    gradient = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
    (_, out), (by_params, by_input) = gradient(variables, given)
    close(out, channels_last(goldens()[f"{case}/out"]), "output")
    close(by_input, channels_last(goldens()[f"{case}/d_input"]), "input's gradient", True)
    return by_params["params"]


def check_gradients(case, rows, by_params):
    """The gradients of weights, brought into our places by the rows that bring the weights."""
    probed = [name for name in PROBED if f"{case}/d_{name}" in goldens()]
    assert len(probed) >= 3
    for name in probed:
        gradient = goldens()[f"{case}/d_{name}"]
        tensor = StoredTensor(GOLDENS, name, gradient.dtype, gradient.shape, 0)
        move = move_of(name, tensor, compiled(rows))
        ours = subtree(by_params, move.to)
        close(ours[move.index], placed(gradient, move, ours.shape), name, of_largest=True)


@pytest.mark.parametrize(
    "case, block",
    [
        ("sd3", {}),
        ("sd35_large", {"remat": "dots"}),
        ("sd35_medium", {"remat": "full", "unroll": True}),
    ],
)
def test_the_transformer_is_that_of_diffusers(case, block, tmp_path):
    """However its blocks are compiled."""
    model, variables = load_mmdit(stored(tmp_path, case), **block)
    given = {name: channels_last(x) for name, x in inputs(case).items()}
    others = given["timesteps"], given["context"], given["pooled"]
    by_params = compare(case, lambda v, x: model.apply(v, x, *others), variables, given["latents"])
    check_gradients(case, mmdit_table(model, "diffusers"), by_params)


@pytest.mark.parametrize("case", ["sd35_large_single", "sd35_medium_single"])
def test_a_single_file_says_what_it_holds_and_is_the_same_model(case, tmp_path):
    model, variables = load_mmdit(stored(tmp_path, case))
    assert model.position_base == 8 and model.block.qk_norm
    given = {name: channels_last(x) for name, x in inputs(case).items()}
    others = given["timesteps"], given["context"], given["pooled"]
    out = jax.jit(model.apply)(variables, given["latents"], *others)
    close(out, channels_last(goldens()[f"{case}/out"]), "output")


@pytest.mark.parametrize("half", ["encoder", "decoder"])
def test_the_autoencoder_is_that_of_diffusers(half, tmp_path):
    case = f"autoencoder_{half}"
    model, variables = load_autoencoder_kl(stored(tmp_path, case))
    assert model == TINY_AUTOENCODER
    (given,) = map(channels_last, inputs(case).values())
    by_params = compare(case, half_of(model, half), variables, given)
    check_gradients(case, autoencoder_table(model, "diffusers"), by_params)


def half_of(model, half):
    if half == "decoder":
        return lambda v, x: model.apply(v, x, method="decode")
    return lambda v, x: jnp.concatenate(model.apply(v, x, method="encode"), axis=-1)


def test_the_autoencoder_of_a_single_file(tmp_path):
    for half in ("encoder", "decoder"):
        case = f"autoencoder_single_{half}"
        model, variables = load_autoencoder_kl(stored(tmp_path, case), TINY_AUTOENCODER)
        (given,) = map(channels_last, inputs(case).values())
        out = jax.jit(half_of(model, half))(variables, given)
        close(out, channels_last(goldens()[f"{case}/out"]), half)


def test_published_variants_know_each_other(tmp_path):
    assert [variant_of(mmdit_variant(name)).split()[0] for name in VARIANTS] == list(VARIANTS)
    wanted, _ = load_mmdit(stored(tmp_path, "sd35_medium"))
    told = (
        r"holds an MMDiT of 3 layers of width 16, 0 of them dual, normalised queries and keys, the "
        r"model here is an MMDiT of 3 layers of width 16, 2 of them dual.*"
        r"! dual_layers: 0 there, 2 here$"
    )
    for case in ("sd35_large", "sd35_large_single"):
        with pytest.raises(CheckpointError, match=re.compile(told, re.S)):
            load_mmdit(stored(tmp_path, case), wanted)
    names = [field for field in ("width", "layers") if VARIANTS["sd35_large"][field]]
    assert names and "sd35_large (38 layers of width 2432)" == variant_of(
        mmdit_variant("sd35_large")
    )


@pytest.mark.parametrize(
    "name, told",
    [
        ("double_blocks.0.img_attn.qkv.weight", "a FLUX transformer"),
        ("single_transformer_blocks.0.attn.to_q.weight", "a FLUX transformer"),
        ("model.diffusion_model.label_emb.0.0.weight", "a UNet of Stable Diffusion XL"),
        ("model.diffusion_model.input_blocks.0.0.weight", "a UNet of Stable Diffusion 1 or 2"),
        ("first_stage_model.encoder.conv_in.weight", "an AutoencoderKL"),
        ("text_model.encoder.layers.0.mlp.fc1.weight", "a text encoder"),
        ("something", "a kind that is not known (its first tensor is something)"),
    ],
)
def test_a_checkpoint_of_another_kind_is_named(tmp_path, name, told):
    file = write(tmp_path / "other.safetensors", {name: np.zeros((2, 2), np.float32)})
    with pytest.raises(CheckpointError, match=re.escape(told) + ".*, where an MMDiT of"):
        load_mmdit(file)


def test_what_a_folder_cannot_be_is_told(tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        load_mmdit(tmp_path / "gone")
    with pytest.raises(CheckpointError, match="neither transformer/ nor config.json"):
        load_mmdit(tmp_path)
    flux = {"_class_name": "FluxTransformer2DModel"}
    names = {"transformer_blocks.0.attn.add_q_proj.weight": (2, 2)}
    place = stored(tmp_path, "sd3", names, flux)
    with pytest.raises(CheckpointError, match="is of a FluxTransformer2DModel, where a SD3Trans"):
        load_mmdit(place)
    for changed, told in (
        ({"dual_attention_layers": [1]}, "are not the first ones"),
        ({"qk_norm": "layer_norm"}, "is not 'rms_norm'"),
        ({"num_layers": "three"}, "num_layers: expected `int`, got `str`, it is .three"),
    ):
        (place / "config.json").write_text(json.dumps({**config_of("sd3"), **changed}))
        with pytest.raises(CheckpointError, match=told):
            load_mmdit(place)
    (place / "config.json").unlink()
    with pytest.raises(CheckpointError, match="names of diffusers.*config.json is missing"):
        load_mmdit(place / "diffusion_pytorch_model.safetensors")
    older = {**config_of("autoencoder_encoder"), "use_quant_conv": True}
    (place / "config.json").write_text(json.dumps(older))
    write(
        place / "diffusion_pytorch_model.safetensors",
        {
            "encoder.conv_in.weight": np.zeros(1, np.float32),
            "encoder.down_blocks.0.resnets.0.conv1.bias": np.zeros(1, np.float32),
        },
    )
    with pytest.raises(CheckpointError, match="Stable Diffusion 1, 2 and XL"):
        load_autoencoder_kl(place)


def test_a_whole_pipeline_and_a_mesh(tmp_path):
    """Both parts of a folder of diffusers, in bfloat16, on the mesh's shards."""
    stored(tmp_path, "sd3").rename(tmp_path / "transformer")
    stored(tmp_path, "autoencoder_decoder").rename(tmp_path / "vae")
    mesh = jax.make_mesh((1,) * len(AXES), AXES, devices=jax.devices()[:1])
    for load in (load_mmdit, load_autoencoder_kl):
        _, variables = load(tmp_path, mesh=mesh, param_dtype=jnp.bfloat16)
        for leaf in jax.tree.leaves(variables):
            assert leaf.dtype == jnp.bfloat16 and leaf.sharding.mesh == mesh


def test_missing_and_left_over_tensors_are_told_at_once(tmp_path):
    names = json.loads(str(goldens()["sd3/names"]))
    names = {name: shape for name, shape in names.items() if ".ff." not in name}
    names |= {f"control.{n}.weight": [2] for n in range(9)}
    with pytest.raises(CheckpointError) as error:
        load_mmdit(stored(tmp_path, "sd3", names))
    for line in (
        "- joint/image/mlp/up/kernel missing in the checkpoint",
        "- last/image/mlp/down/bias missing in the checkpoint",
        "+ control.[0-8].weight only in the checkpoint",
    ):
        assert line in str(error.value)
