"""The settings of a public Stable Diffusion 3 checkpoint: from diffusers' config.json, or from names
and shapes of a single file, which has no settings. What is of another kind is named."""

import dataclasses
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np

from flexlam_jax.checkpoints.safetensors import Maps
from flexlam_jax.checkpoints.safetensors_header import StoredTensor
from flexlam_jax.errors import CheckpointError
from flexlam_jax.models.autoencoder_kl import AutoencoderKL
from flexlam_jax.models.mmdit import VARIANTS, MMDiT, mmdit_variant
from flexlam_jax.models.transformer import BlockSettings
from flexlam_jax.typed_json import as_type, read_json

Tensors = Mapping[str, StoredTensor]
T = TypeVar("T")
Count = Annotated[int, msgspec.Meta(ge=1)]
HEAD_WIDTH = 64  # Of all published models.
# What a checkpoint is, by the first pattern that one of its names has at its beginning.
_KINDS = (
    ("a FLUX transformer", r"(.*\.)?(double_blocks|single_blocks|single_transformer_blocks)\.0\."),
    ("a UNet of Stable Diffusion XL", r"(model\.diffusion_model\.)?(label_emb|add_embedding)\."),
    (
        "a UNet of Stable Diffusion 1 or 2",
        r"(model\.diffusion_model\.)?(input_blocks|down_blocks)\.0\.",
    ),
    (
        "an MMDiT of Stable Diffusion 3",
        r"(.*\.)?(joint_blocks\.0\.|transformer_blocks\.0\.attn\.add_q_proj\.)",
    ),
    ("a diffusion transformer of another family", r"(.*\.)?(transformer_blocks|blocks)\.0\.attn"),
    ("an AutoencoderKL", r"(first_stage_model\.|vae\.)?(encoder|decoder)\.conv_in\."),
    ("a text encoder", r"(.*\.)?(text_model\.encoder\.|encoder\.block\.0\.|shared\.weight)"),
)


@dataclasses.dataclass(frozen=True)
class TransformerConfig:
    """What is read of SD3Transformer2DModel's config.json, with the defaults that it has there."""

    sample_size: Count = 128
    patch_size: Count = 2
    in_channels: Count = 16
    out_channels: Count | None = 16
    num_layers: Count = 18
    attention_head_dim: Count = 64
    num_attention_heads: Count = 18
    joint_attention_dim: Count = 4096
    caption_projection_dim: Count = 1152
    pooled_projection_dim: Count = 2048
    pos_embed_max_size: Count = 96
    dual_attention_layers: tuple[int, ...] | None = ()
    qk_norm: str | None = None


@dataclasses.dataclass(frozen=True)
class AutoencoderConfig:
    """What is read of AutoencoderKL's config.json, with the defaults that it has there."""

    in_channels: Count = 3
    block_out_channels: tuple[Count, ...] = (64,)
    layers_per_block: Count = 1
    latent_channels: Count = 4
    norm_num_groups: Count = 32
    scaling_factor: float = 0.18215
    shift_factor: float | None = None
    use_quant_conv: bool = True
    use_post_quant_conv: bool = True


def kind_of(names: Tensors) -> str:
    """What a checkpoint with these names is, for messages."""
    for kind, pattern in _KINDS:
        if any(re.match(pattern, name) for name in names):
            return kind
    return f"a model of a kind that is not known (its first tensor is {next(iter(names), None)})"


def variant_of(model: MMDiT) -> str:
    """'sd35_large (38 layers of width 2432)', for messages."""
    sizes = f"{model.layers} layers of width {model.width}"
    for name in VARIANTS:
        known = mmdit_variant(name)
        fields = ("width", "layers", "dual_layers")
        if all(getattr(known, field) == getattr(model, field) for field in fields) and (
            known.block.qk_norm == model.block.qk_norm
        ):
            return f"{name} ({sizes})"
    norm = ", normalised queries and keys" if model.block.qk_norm else ""
    return f"an MMDiT of {sizes}, {model.dual_layers} of them dual{norm}"


def mmdit_of_config(path: Path, **block: Any) -> MMDiT:
    """The model of a config.json of diffusers' SD3Transformer2DModel.

    Raises:
      CheckpointError: it is of another class, or of what this model has not.
    """
    config = _read(path, "SD3Transformer2DModel", TransformerConfig)
    width = config.num_attention_heads * config.attention_head_dim
    dual = config.dual_attention_layers or ()
    for fits, field, told in (
        (dual == tuple(range(len(dual))), "dual_attention_layers", "are not the first ones"),
        (config.qk_norm in (None, "rms_norm"), "qk_norm", "is not 'rms_norm'"),
        (config.caption_projection_dim == width, "caption_projection_dim", f"is not {width}"),
    ):
        if not fits:
            raise CheckpointError(
                f"{path}: {field}={getattr(config, field)!r} {told}, which MMDiT needs"
            )
    return MMDiT(
        BlockSettings(
            heads=config.num_attention_heads,
            mlp_hidden=4 * width,
            qk_norm=config.qk_norm is not None,
            **block,
        ),
        width=width,
        layers=config.num_layers,
        dual_layers=len(dual),
        patch=config.patch_size,
        channels=config.in_channels,
        out_channels=config.out_channels or config.in_channels,
        context_width=config.joint_attention_dim,
        pooled_width=config.pooled_projection_dim,
        position_table=config.pos_embed_max_size,
        position_base=config.sample_size // config.patch_size,
    )


def mmdit_of_shapes(
    tensors: Tensors, source: Any, head_width: int = HEAD_WIDTH, **block: Any
) -> MMDiT:
    """The model of a single file, by names (without their prefix) and shapes; of the positions' table
    one number is read.

    Args:
      head_width: E, which a file tells only where queries and keys are normalised.

    Raises:
      CheckpointError: tensors that every one has are missing or misshapen.
    """
    try:
        width, channels, patch, _ = tensors["x_embedder.proj.weight"].shape
        numbers = [int(name.split(".")[1]) for name in tensors if name.startswith("joint_blocks.")]
        dual = {name.split(".")[1] for name in tensors if ".attn2." in name}
        norm = tensors.get("joint_blocks.0.x_block.attn.ln_q.weight")
        table, base = _positions(tensors["pos_embed"])
        return MMDiT(
            BlockSettings(
                heads=width // (norm.shape[0] if norm else head_width),
                mlp_hidden=tensors["joint_blocks.0.x_block.mlp.fc1.weight"].shape[0],
                qk_norm=norm is not None,
                **block,
            ),
            width=width,
            layers=max(numbers) + 1,
            dual_layers=len(dual),
            patch=patch,
            channels=channels,
            out_channels=tensors["final_layer.linear.weight"].shape[0] // patch**2,
            context_width=tensors["context_embedder.weight"].shape[1],
            pooled_width=tensors["y_embedder.mlp.0.weight"].shape[1],
            position_table=table,
            position_base=base,
        )
    except (KeyError, ValueError, IndexError, ZeroDivisionError) as error:
        raise CheckpointError(
            f"{source} does not hold a whole MMDiT of Stable Diffusion 3 ({error!r})"
        ) from error


def autoencoder_of_config(path: Path, dtype: Any) -> AutoencoderKL:
    """The model of a config.json of diffusers' AutoencoderKL.

    Raises:
      CheckpointError: it is of another class, or of what this model has not.
    """
    config = _read(path, "AutoencoderKL", AutoencoderConfig)
    if config.use_quant_conv or config.use_post_quant_conv:
        raise CheckpointError(
            f"{path} has convolutions around the bottleneck (use_quant_conv), as those of Stable "
            "Diffusion 1, 2 and XL; the AutoencoderKL here is that of Stable Diffusion 3"
        )
    return AutoencoderKL(
        channels=config.block_out_channels,
        blocks=config.layers_per_block,
        groups=config.norm_num_groups,
        image_channels=config.in_channels,
        latent_channels=config.latent_channels,
        scaling_factor=config.scaling_factor,
        shift_factor=config.shift_factor or 0.0,
        dtype=dtype,
    )


def autoencoder_of_shapes(tensors: Tensors, source: Any, dtype: Any) -> AutoencoderKL:
    """The model of a single file, by names (without their prefix) and shapes. Its groups, and the
    factors of its latents, which files do not tell, are those of Stable Diffusion 3.

    Raises:
      CheckpointError: tensors that every one has are missing or misshapen.
    """
    try:
        stages = 1 + max(int(name.split(".")[2]) for name in tensors if "encoder.down." in name)
        first = "encoder.down.{}.block.0.conv1.weight"
        channels = tuple(tensors[first.format(stage)].shape[0] for stage in range(stages))
        return AutoencoderKL(
            channels=channels,
            blocks=sum("encoder.down.0.block" in n and "conv1.weight" in n for n in tensors),
            image_channels=tensors["encoder.conv_in.weight"].shape[1],
            latent_channels=tensors["decoder.conv_in.weight"].shape[1],
            dtype=dtype,
        )
    except (KeyError, ValueError, IndexError) as error:
        raise CheckpointError(
            f"{source} does not hold a whole AutoencoderKL ({error!r})"
        ) from error


def _positions(tensor: StoredTensor) -> tuple[int, int]:
    """(side of the table, `position_base`): the first number of the second place is sin(base / side)."""
    side = math.isqrt(tensor.shape[1])
    with Maps() as maps:
        first = float(np.float32(maps.array(tensor)[0, 1, 0]))
    return side, max(1, round(side * math.asin(min(max(first, 0.0), 1.0))))


def _read(path: Path, wanted: str, kind: type[T]) -> T:
    remedy = "take the one that belongs to the weights beside it"
    config = read_json(path, dict, remedy=remedy, error=CheckpointError)
    found = config.get("_class_name")
    if found != wanted:
        raise CheckpointError(f"{path} is of a {found}, where a {wanted} is needed")
    return as_type(config, kind, where=str(path), remedy=remedy, error=CheckpointError)
