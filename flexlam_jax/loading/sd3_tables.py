"""Where the tensors of public Stable Diffusion 3 checkpoints go: path tables of
checkpoints/path_table.py for both layouts, diffusers' and that of the single files.

Named as there: ours -> theirs. `#` stands for the number of a block.
"""

from flexlam_jax.checkpoints.path_table import Row
from flexlam_jax.models.autoencoder_kl import AutoencoderKL
from flexlam_jax.models.mmdit import MMDiT

LAYOUTS = ("diffusers", "single")

_MMDIT_TOP = {
    "patch_embed": ("pos_embed.proj", "x_embedder.proj"),
    "context_embed": ("context_embedder", "context_embedder"),
    "time_embed/first": ("time_text_embed.timestep_embedder.linear_1", "t_embedder.mlp.0"),
    "time_embed/second": ("time_text_embed.timestep_embedder.linear_2", "t_embedder.mlp.2"),
    "pooled_embed/first": ("time_text_embed.text_embedder.linear_1", "y_embedder.mlp.0"),
    "pooled_embed/second": ("time_text_embed.text_embedder.linear_2", "y_embedder.mlp.2"),
    "unembed": ("proj_out", "final_layer.linear"),
}
# Shift and scale of the last norms: diffusers has them the other way round.
_MMDIT_FINAL = ("norm_out.linear", "final_layer.adaLN_modulation.1")
_BLOCK = {
    "image/modulation/dense": ("norm1.linear", "x_block.adaLN_modulation.1"),
    "image/attention/out": ("attn.to_out.0", "x_block.attn.proj"),
    "image/self_attention/out": ("attn2.to_out.0", "x_block.attn2.proj"),
    "image/mlp/up": ("ff.net.0.proj", "x_block.mlp.fc1"),
    "image/mlp/down": ("ff.net.2", "x_block.mlp.fc2"),
    "context/attention/out": ("attn.to_add_out", "context_block.attn.proj"),
    "context/mlp/up": ("ff_context.net.0.proj", "context_block.mlp.fc1"),
    "context/mlp/down": ("ff_context.net.2", "context_block.mlp.fc2"),
}
_CONTEXT_MODULATION = ("norm1_context.linear", "context_block.adaLN_modulation.1")
_BLOCK_NORMS = {
    "image/attention/q_norm": ("attn.norm_q", "x_block.attn.ln_q"),
    "image/attention/k_norm": ("attn.norm_k", "x_block.attn.ln_k"),
    "image/self_attention/q_norm": ("attn2.norm_q", "x_block.attn2.ln_q"),
    "image/self_attention/k_norm": ("attn2.norm_k", "x_block.attn2.ln_k"),
    "context/attention/q_norm": ("attn.norm_added_q", "context_block.attn.ln_q"),
    "context/attention/k_norm": ("attn.norm_added_k", "context_block.attn.ln_k"),
}
# Three tensors each there, or one of (queries, keys, values).
_BLOCK_QKV = {
    "image/attention/qkv": ("attn.to_{}", "x_block.attn.qkv"),
    "image/self_attention/qkv": ("attn2.to_{}", "x_block.attn2.qkv"),
    "context/attention/qkv": ("attn.add_{}_proj", "context_block.attn.qkv"),
}


def mmdit_table(model: MMDiT, layout: str) -> list[Row]:
    """The rows for a transformer.

    Args:
      layout: one of LAYOUTS; names of single files without "model.diffusion_model.".
    """
    single = LAYOUTS.index(layout)
    swapped = "same" if single else "swapped"
    rows: list[Row] = [(("pos_embed\\.pos_embed", "pos_embed")[single], "", "same")]
    for to, names in _MMDIT_TOP.items():
        rows += _affine(names[single], to, "conv" if to == "patch_embed" else "linear")
    rows += _affine(_MMDIT_FINAL[single], "final_modulation/dense", "linear", swap=swapped)
    first = 0
    for stack, layers, kind in model.stacks():
        numbers = "|".join(str(first + layer) for layer in range(layers))
        block = rf"{('transformer_blocks', 'joint_blocks')[single]}\.({numbers})\."
        at, last = rf"\1-{first}", kind.get("last")
        for to, names in _BLOCK.items():
            rows += _affine(names[single], f"{stack}/{to}", "linear", block, at)
        rows += _affine(
            _CONTEXT_MODULATION[single],
            f"{stack}/context/modulation/dense",
            "linear",
            block,
            at,
            swap=swapped if last else "same",
        )
        for to, names in _BLOCK_NORMS.items():
            source = names[single].replace(".", r"\.")
            rows.append((rf"{block}{source}\.weight", f"{stack}/{to}/scale[{at}]", "same"))
        for to, names in _BLOCK_QKV.items():
            rows += _qkv(names[single], f"{stack}/{to}", block, f"{at},")
        first += layers
    return rows


def autoencoder_table(model: AutoencoderKL, layout: str) -> list[Row]:
    """The rows for an autoencoder.

    Args:
      layout: one of LAYOUTS; names of single files without "first_stage_model.".
    """
    single, stages = LAYOUTS.index(layout), len(model.channels)
    rows: list[Row] = []
    for half, way, others in (("encoder", "down", 0), ("decoder", "up", 1)):
        top = f"{half}."
        rows += _affine(f"{top}conv_in", f"{half}/in_conv", "conv")
        rows += _affine(f"{top}conv_out", f"{half}/out_conv", "conv")
        rows += _norm(f"{top}{('conv_norm_out', 'norm_out')[single]}", f"{half}/out_norm")
        for number in range(2):
            block = (f"mid_block.resnets.{number}", f"mid.block_{number + 1}")[single]
            rows += _residual(f"{top}{block}", f"{half}/mid_{number}", single)
        attention = f"{top}{('mid_block.attentions.0', 'mid.attn_1')[single]}"
        rows += _norm(f"{attention}.{('group_norm', 'norm')[single]}", f"{half}/mid_pixels/norm")
        rows += _affine(
            f"{attention}.{('to_out.0', 'proj_out')[single]}", f"{half}/mid_pixels/out", "linear"
        )
        rows += _qkv(f"{attention}.{('to_{}', '{}')[single]}", f"{half}/mid_pixels/qkv")
        for stage in range(stages):
            # Single files count the decoder's stages from the image on.
            theirs = stages - 1 - stage if single and others else stage
            place = f"{top}{way}{('_blocks', '')[single]}.{theirs}"
            for number in range(model.blocks + others):
                block = f"{place}.{('resnets', 'block')[single]}.{number}"
                rows += _residual(block, f"{half}/{way}_{stage}_{number}", single)
            sampler = f"{place}.{way}{('samplers.0', 'sample')[single]}.conv"
            rows += _affine(sampler, f"{half}/{way}_{stage}", "conv")
    return rows


def _affine(
    name: str, to: str, layout: str, block: str = "", at: str = "", *, swap: str = "same"
) -> list[Row]:
    """Weight and bias of a linear map or a convolution."""
    name, at = block + name.replace(".", r"\."), at and f"[{at}]"
    kernel = swap if swap != "same" else layout
    return [
        (rf"{name}\.weight", f"{to}/kernel{at}", kernel),
        (rf"{name}\.bias", f"{to}/bias{at}", swap),
    ]


def _norm(name: str, to: str) -> list[Row]:
    name = name.replace(".", r"\.")
    return [
        (rf"{name}\.weight", f"{to}/group/scale", "same"),
        (rf"{name}\.bias", f"{to}/group/bias", "same"),
    ]


def _qkv(name: str, to: str, block: str = "", at: str = "") -> list[Row]:
    """One tensor, or three where the name has a place for the letter."""
    name = block + name.replace(".", r"\.")
    if "{}" not in name:
        place = f"[{at.rstrip(',')}]"
        return [
            (rf"{name}\.weight", f"{to}/kernel{place}", "heads"),
            (rf"{name}\.bias", f"{to}/bias{place}", "heads"),
        ]
    rows: list[Row] = []
    for part, letter in enumerate("qkv"):
        source = name.replace("{}", letter)
        rows.append((rf"{source}\.weight", f"{to}/kernel[{at}:,:,{part}]", "linear"))
        rows.append((rf"{source}\.bias", f"{to}/bias[{at}:,{part}]", "same"))
    return rows


def _residual(name: str, to: str, single: int) -> list[Row]:
    short_cut = ("conv_shortcut", "nin_shortcut")[single]
    return [
        *_norm(f"{name}.norm1", f"{to}/norm_1"),
        *_affine(f"{name}.conv1", f"{to}/conv_1", "conv"),
        *_norm(f"{name}.norm2", f"{to}/norm_2"),
        *_affine(f"{name}.conv2", f"{to}/conv_2", "conv"),
        *_affine(f"{name}.{short_cut}", f"{to}/short_cut", "conv"),
    ]
