"""Writes goldens/sd3.npz: what diffusers computes with tiny random Stable Diffusion 3 models.

    python -m venv oracle && oracle/bin/pip install diffusers==0.42.1 torch==2.14.1
    oracle/bin/python tests/models/make_sd3_goldens.py

Run once, outside the test environment, which has no torch. Weights are not stored: `weight` makes
them anew from their names, so the file holds names, shapes, outputs and gradients only. Of
single-file checkpoints diffusers' own conversion made the models.

Keys are CASE/names (JSON {name: shape} of the checkpoint), CASE/config (JSON), CASE/out, and
CASE/d_input and CASE/d_NAME, the gradients of sum(out ** 2) / 2 by the input and by some weights,
which have the names and shapes of diffusers. Arrays have the channels second, as in torch.
"""

import json
import zlib
from pathlib import Path

import numpy as np

BASE = {
    "sample_size": 16,
    "patch_size": 2,
    "in_channels": 16,
    "out_channels": 16,
    "attention_head_dim": 8,
    "num_attention_heads": 2,
    "num_layers": 3,
    "joint_attention_dim": 12,
    "caption_projection_dim": 16,
    "pooled_projection_dim": 10,
    "pos_embed_max_size": 12,
    "dual_attention_layers": [],
    "qk_norm": None,
}
TRANSFORMERS = {
    "sd3": BASE,
    "sd35_large": {**BASE, "qk_norm": "rms_norm"},
    "sd35_medium": {**BASE, "qk_norm": "rms_norm", "dual_attention_layers": [0, 1]},
}
AUTOENCODER = {
    "in_channels": 3,
    "out_channels": 3,
    "block_out_channels": [8, 16, 16],
    "layers_per_block": 1,
    "latent_channels": 4,
    "norm_num_groups": 4,
    "scaling_factor": 1.5305,
    "shift_factor": 0.0609,
}
ROWS, COLUMNS = 8, 12  # Of latents and of pictures: two sides, so that none is taken for the other.
PROBED = (
    "pos_embed.proj.weight",
    "context_embedder.bias",
    "time_text_embed.timestep_embedder.linear_1.bias",
    "time_text_embed.text_embedder.linear_2.weight",
    "transformer_blocks.0.attn.to_k.weight",
    "transformer_blocks.0.norm1_context.linear.bias",
    "transformer_blocks.1.ff.net.0.proj.bias",
    "transformer_blocks.1.attn2.to_q.weight",
    "transformer_blocks.1.attn.norm_added_q.weight",
    "transformer_blocks.2.attn.add_v_proj.weight",
    "transformer_blocks.2.norm1_context.linear.weight",
    "norm_out.linear.weight",
    "encoder.conv_in.weight",
    "encoder.mid_block.attentions.0.to_v.weight",
    "encoder.down_blocks.0.downsamplers.0.conv.weight",
    "decoder.up_blocks.2.resnets.0.conv_shortcut.weight",
    "decoder.mid_block.attentions.0.to_q.bias",
    "decoder.conv_norm_out.weight",
)


def weight(name, shape):
    """The values of one tensor of a checkpoint, by its name alone."""
    values = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    if len(shape) > 1:
        values = values / np.sqrt(np.prod(shape[1:]))
    elif name.endswith("bias"):
        values = 0.2 * values
    else:
        values = 1 + 0.2 * values
    return values.astype(np.float32)


def inputs(case):
    """{name: array} that a case is computed of."""
    if case.endswith("decoder"):
        return {"latents": weight(case, (2, 4, ROWS, COLUMNS))}
    if case.startswith("autoencoder"):
        return {"images": np.tanh(weight(case, (2, 3, ROWS, COLUMNS)) * 4)}
    return {
        "latents": 5 * weight("latents", (2, 16, ROWS, COLUMNS)),
        "context": weight("context", (2, 5, 12)),
        "pooled": weight("pooled", (2, 10)),
        "timesteps": np.array([931.5, 20.25], np.float32),
    }


def original_transformer(names):
    """{name: shape} of the single-file layout of a transformer, of {name: shape} of diffusers'."""
    width = names["context_embedder.weight"][0]
    same = {
        "pos_embed.pos_embed": "pos_embed",
        "pos_embed.proj": "x_embedder.proj",
        "time_text_embed.timestep_embedder.linear_1": "t_embedder.mlp.0",
        "time_text_embed.timestep_embedder.linear_2": "t_embedder.mlp.2",
        "time_text_embed.text_embedder.linear_1": "y_embedder.mlp.0",
        "time_text_embed.text_embedder.linear_2": "y_embedder.mlp.2",
        "context_embedder": "context_embedder",
        "norm_out.linear": "final_layer.adaLN_modulation.1",
        "proj_out": "final_layer.linear",
        "attn.norm_q": "x_block.attn.ln_q",
        "attn.norm_k": "x_block.attn.ln_k",
        "attn.norm_added_q": "context_block.attn.ln_q",
        "attn.norm_added_k": "context_block.attn.ln_k",
        "attn.to_out.0": "x_block.attn.proj",
        "attn.to_add_out": "context_block.attn.proj",
        "attn2.norm_q": "x_block.attn2.ln_q",
        "attn2.norm_k": "x_block.attn2.ln_k",
        "attn2.to_out.0": "x_block.attn2.proj",
        "norm1.linear": "x_block.adaLN_modulation.1",
        "norm1_context.linear": "context_block.adaLN_modulation.1",
        "ff.net.0.proj": "x_block.mlp.fc1",
        "ff.net.2": "x_block.mlp.fc2",
        "ff_context.net.0.proj": "context_block.mlp.fc1",
        "ff_context.net.2": "context_block.mlp.fc2",
        "attn.to_q": "x_block.attn.qkv",
        "attn.add_q_proj": "context_block.attn.qkv",
        "attn2.to_q": "x_block.attn2.qkv",
    }
    found = {}
    for name, shape in names.items():
        prefix, rest = "", name
        if name.startswith("transformer_blocks."):
            _, block, rest = name.split(".", 2)
            prefix = f"joint_blocks.{block}."
        stem, _, kind = rest.rpartition(".")
        if rest == "pos_embed.pos_embed":
            found["pos_embed"] = shape
        elif stem in same:
            fused = same[stem].endswith("qkv")
            shape = (3 * width, *shape[1:]) if fused else shape
            found[f"{prefix}{same[stem]}.{kind}"] = shape
    return {f"model.diffusion_model.{name}": shape for name, shape in found.items()}


def original_autoencoder(names, stages):
    """{name: shape} of the single-file layout of an autoencoder, of {name: shape} of diffusers'."""
    words = [
        ("mid_block.resnets.0", "mid.block_1"),
        ("mid_block.resnets.1", "mid.block_2"),
        ("mid_block.attentions.0.group_norm", "mid.attn_1.norm"),
        ("mid_block.attentions.0.to_out.0", "mid.attn_1.proj_out"),
        ("mid_block.attentions.0.to_", "mid.attn_1."),
        ("conv_norm_out", "norm_out"),
        ("conv_shortcut", "nin_shortcut"),
        (".resnets.", ".block."),
        ("downsamplers.0", "downsample"),
        ("upsamplers.0", "upsample"),
        ("down_blocks.", "down."),
    ]
    found = {}
    for name, shape in names.items():
        if "mid_block.attentions" in name and name.endswith("weight") and len(shape) == 2:
            shape = (*shape, 1, 1)
        for one, other in words:
            name = name.replace(one, other)
        for stage in range(stages):  # Ours of a layout that counts from the other end.
            if f"up_blocks.{stage}." in name:
                name = name.replace(f"up_blocks.{stage}.", f"up.{stages - 1 - stage}.")
                break
        found[f"first_stage_model.{name}"] = shape
    return found


def _record(out, case, model, config, names, function, leaf):
    import torch

    result = function()
    (result.square().sum() / 2).backward()
    out[f"{case}/names"] = np.array(
        json.dumps({name: list(shape) for name, shape in names.items()})
    )
    out[f"{case}/config"] = np.array(json.dumps(config))
    out[f"{case}/out"] = result.detach().numpy()
    out[f"{case}/d_input"] = leaf.grad.numpy()
    for name, parameter in model.named_parameters():
        if name in PROBED and parameter.grad is not None and "single" not in case:
            out[f"{case}/d_{name}"] = parameter.grad.numpy()
    assert torch.isfinite(result).all()


def _shapes(model):
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def _load(model, weights):
    import torch

    tensors = {name: torch.as_tensor(value) for name, value in weights.items()}
    missing, extra = model.load_state_dict(tensors, strict=False)
    assert not extra and set(missing) <= {"pos_embed.pos_embed"}, (missing, extra)
    return model


def _transformers(out):
    import torch
    from diffusers import SD3Transformer2DModel
    from diffusers.loaders.single_file_utils import convert_sd3_transformer_checkpoint_to_diffusers

    cases = [(name, False) for name in TRANSFORMERS]
    cases += [("sd35_large", True), ("sd35_medium", True)]
    for name, single in cases:
        config = TRANSFORMERS[name]
        model = SD3Transformer2DModel(**config)
        names = _shapes(model)
        if single:
            names = original_transformer(names)
            weights = {key: torch.from_numpy(weight(key, shape)) for key, shape in names.items()}
            weights["model.diffusion_model.pos_embed"] = model.pos_embed.pos_embed
            weights = convert_sd3_transformer_checkpoint_to_diffusers(dict(weights))
        else:
            weights = {
                key: weight(key, shape)
                for key, shape in names.items()
                if "pos_embed.pos" not in key
            }
        _load(model, weights)
        given = {key: torch.from_numpy(value) for key, value in inputs("").items()}
        leaf = given["latents"].requires_grad_()

        def velocity(model=model, leaf=leaf, given=given):
            return model(leaf, given["context"], given["pooled"], given["timesteps"])[0]

        case = f"{name}_single" if single else name
        _record(
            out,
            case,
            model,
            {"_class_name": "SD3Transformer2DModel", **config},
            names,
            velocity,
            leaf,
        )


def _autoencoders(out):
    import torch
    from diffusers import AutoencoderKL
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    stages = len(AUTOENCODER["block_out_channels"])
    config = {
        **AUTOENCODER,
        "down_block_types": ["DownEncoderBlock2D"] * stages,
        "up_block_types": ["UpDecoderBlock2D"] * stages,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
    }
    for single in (False, True):
        for half in ("encoder", "decoder"):
            model = AutoencoderKL(**config)
            names = _shapes(model)
            if single:
                names = original_autoencoder(names, stages)
            weights = {key: torch.from_numpy(weight(key, shape)) for key, shape in names.items()}
            if single:
                weights = convert_ldm_vae_checkpoint(weights, config)
            _load(model, weights)
            case = f"autoencoder{'_single' if single else ''}_{half}"
            (leaf,) = (torch.from_numpy(value).requires_grad_() for value in inputs(case).values())

            def half_of(model=model, leaf=leaf, half=half):
                if half == "decoder":
                    return model.decode(leaf).sample
                return model.encode(leaf).latent_dist.parameters

            _record(
                out, case, model, {"_class_name": "AutoencoderKL", **config}, names, half_of, leaf
            )


if __name__ == "__main__":
    goldens = {}
    _transformers(goldens)
    _autoencoders(goldens)
    path = Path(__file__).with_name("goldens") / "sd3.npz"
    np.savez_compressed(path, **goldens)
    print(f"{path}: {len(goldens)} arrays, {path.stat().st_size / 1000:.0f} kB")
