"""Public Stable Diffusion 3 checkpoints as models of this package.

    model, variables = load_mmdit("stable-diffusion-3.5-medium")
    velocity = model.apply(variables, latents, timesteps, context, pooled)
    autoencoder, variables = load_autoencoder_kl("stable-diffusion-3.5-medium")

A path is a pipeline's folder as diffusers writes it (transformer/, vae/), one of these folders, or a
single .safetensors file in the original layout, as it is published or of one part only. Nothing is
fetched; nothing is unpickled.
"""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from flexlam_jax.checkpoints.path_table import Row
from flexlam_jax.checkpoints.safetensors import open_tensors
from flexlam_jax.checkpoints.safetensors_header import StoredTensor
from flexlam_jax.checkpoints.streaming import read_tensors
from flexlam_jax.errors import CheckpointError
from flexlam_jax.files import reachable
from flexlam_jax.loading import sd3_configs
from flexlam_jax.loading.sd3_tables import autoencoder_table, mmdit_table
from flexlam_jax.models.autoencoder_kl import AutoencoderKL
from flexlam_jax.models.mmdit import MMDiT
from flexlam_jax.parallel.sharding import tree_shardings, with_shardings

MMDIT = "an MMDiT of Stable Diffusion 3"
AUTOENCODER = "an AutoencoderKL"
_DIFFUSERS = r"transformer_blocks\.|(encoder|decoder)\.(down|up)_blocks\."


def load_mmdit(
    path: Any,
    expected: MMDiT | None = None,
    *,
    mesh: Mesh | None = None,
    param_dtype: Any = jnp.float32,
    **block: Any,
) -> tuple[MMDiT, dict[str, Any]]:
    """A transformer and its parameters.

    Args:
      path: see the head of this file.
      expected: the model that the checkpoint must be of; None takes what it is.
      mesh: parameters are split over it by the rules of parallel/sharding.py; None = one device.
      param_dtype: of the parameters, whatever the file has.
      block: fields of BlockSettings for a model that is not `expected`: dtype, attention, remat,
        unroll.

    Returns:
      (model, {"params": ...}).

    Raises:
      CheckpointError: no such checkpoint, a damaged one, a pickle, or one of another model, which
        is named; before memory is taken.
    """
    tensors, config = _found(path, "transformer", "model.diffusion_model.", MMDIT)
    if config:
        found = sd3_configs.mmdit_of_config(config, **block)
    else:
        head = expected.width // expected.block.heads if expected else sd3_configs.HEAD_WIDTH
        found = sd3_configs.mmdit_of_shapes(tensors, path, head, **block)
    if expected is not None:
        _same(path, found, expected)
    model = expected or found
    row = jax.ShapeDtypeStruct
    side = model.patch
    inputs = (
        row((1, side, side, model.channels), jnp.float32),
        row((1,), jnp.float32),
        row((1, 1, model.context_width), jnp.float32),
        row((1, model.pooled_width), jnp.float32),
    )
    return model, _variables(path, tensors, config, mmdit_table, model, inputs, mesh, param_dtype)


def load_autoencoder_kl(
    path: Any,
    expected: AutoencoderKL | None = None,
    *,
    mesh: Mesh | None = None,
    param_dtype: Any = jnp.float32,
    dtype: Any = jnp.float32,
) -> tuple[AutoencoderKL, dict[str, Any]]:
    """An autoencoder and its parameters: as `load_mmdit`.

    Args:
      dtype: that a model that is not `expected` computes in.
    """
    tensors, config = _found(path, "vae", "first_stage_model.", AUTOENCODER)
    if expected is not None:
        model = expected
    elif config:
        model = sd3_configs.autoencoder_of_config(config, dtype)
    else:
        model = sd3_configs.autoencoder_of_shapes(tensors, path, dtype)
    side = model.factor
    inputs = (jax.ShapeDtypeStruct((1, side, side, model.image_channels), jnp.float32),)
    table = autoencoder_table
    return model, _variables(path, tensors, config, table, model, inputs, mesh, param_dtype)


def _found(
    path: Any, folder: str, prefix: str, kind: str
) -> tuple[dict[str, StoredTensor], Path | None]:
    """(tensors of the part, without their prefix; its config.json where the layout is diffusers')."""
    place = Path(reachable(path, CheckpointError))
    if not place.exists():
        raise CheckpointError(
            f"{place} does not exist; give a folder of diffusers or a .safetensors file"
        )
    if (place / folder).is_dir():
        place = place / folder
    config = (place if place.is_dir() else place.parent) / "config.json"
    if place.is_dir() and not config.exists():
        raise CheckpointError(
            f"{place} is no folder of diffusers: it has neither {folder}/ nor config.json; name the "
            "single .safetensors file instead"
        )
    held = open_tensors(place)
    tensors = {name.removeprefix(prefix): held[name] for name in held if name.startswith(prefix)}
    tensors = tensors or held
    found = sd3_configs.kind_of(tensors)
    if found != kind:
        raise CheckpointError(f"{place} holds {found}, where {kind} is needed")
    if not any(re.match(_DIFFUSERS, name) for name in tensors):
        return tensors, None
    if not config.exists():
        raise CheckpointError(
            f"{place} has the names of diffusers, whose settings are not beside it: {config} is missing"
        )
    return tensors, config


def _same(path: Any, found: MMDiT, expected: MMDiT) -> None:
    """Raises CheckpointError for a checkpoint of another variant."""
    sizes = [
        {**_sizes(model), **{key: getattr(model.block, key) for key in ("heads", "qk_norm")}}
        for model in (found, expected)
    ]
    lines = [
        f"  ! {key}: {n} there, {sizes[1][key]} here"
        for key, n in sizes[0].items()
        if n != sizes[1][key]
    ]
    if lines:
        there, here = map(sd3_configs.variant_of, (found, expected))
        raise CheckpointError(
            "\n".join([f"{path} holds {there}, the model here is {here}:", *lines])
        )


def _sizes(model: MMDiT) -> dict[str, int]:
    return {
        field.name: getattr(model, field.name)
        for field in dataclasses.fields(model)
        if "range" in field.metadata
    }


def _variables(
    path: Any,
    tensors: dict[str, StoredTensor],
    config: Path | None,
    table: Callable[[Any, str], list[Row]],
    model: Any,
    inputs: tuple[Any, ...],
    mesh: Mesh | None,
    param_dtype: Any,
) -> dict[str, Any]:
    key = jax.ShapeDtypeStruct((), jax.random.key(0).dtype)
    abstract = jax.eval_shape(model.init, key, *inputs)["params"]
    abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, param_dtype), abstract)
    if mesh is not None:
        abstract = with_shardings(abstract, tree_shardings(abstract, mesh))
    rows = table(model, "diffusers" if config else "single")
    return {"params": read_tensors(tensors, rows, abstract, source=path)}
