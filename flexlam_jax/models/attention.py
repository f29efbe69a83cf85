"""The one attention entry point: every attention of the package goes through `attend`.

Dimension keys: L query length, S key length, H heads, E head width, ... any batch axes.
"""

import math
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P

from flexlam_jax.errors import ConfigError
from flexlam_jax.models.splash import splash_attention
from flexlam_jax.parallel.axes import TENSOR_AXIS

IMPLEMENTATIONS = ("auto", "xla", "cudnn", "splash")
# Keys from which `auto` takes the splash kernel on a TPU. XLA writes the (L, S) logits to memory,
# splash does not, but it pads both lengths to 128. Bytes that a v5e program of forward and backward
# moves, by its compiler's count, XLA against splash: 528 keys 3.2 to 1.7 GB, 272 keys 1.1 to 1.3,
# 144 keys 0.24 to 0.23, 80 keys 0.09 to 0.12 (docs/PERF.md).
SPLASH_MIN_KEYS = 512


def compile_platform() -> str:
    """'cpu', 'gpu' or 'tpu': that of the mesh that is compiled for, else the host's default.

    The two differ when a program is compiled ahead of time for absent hardware.
    """
    device = jax.sharding.get_abstract_mesh().abstract_device
    platform = device.platform if device is not None else jax.default_backend()
    return "gpu" if platform in ("cuda", "rocm") else platform


def resolve_implementation(
    implementation: str,
    dtype: Any,
    platform: str | None = None,
    keys: int = 0,
    masked: bool = False,
    head_width: int = 64,
) -> str:
    """Turns 'auto' into the kernel for this platform; raises ConfigError for an unknown name.

    Args:
      implementation: one of IMPLEMENTATIONS; everything but 'auto' is returned as it is.
      dtype: of the queries. cuDNN has kernels for half precision only,
      head_width: and for multiples of 8 up to 128.
      platform: 'cpu', 'gpu', 'tpu'; None = compile_platform().
      keys: number of keys; see SPLASH_MIN_KEYS.
      masked: whether there is a mask other than causality, which splash does not take.
    """
    if implementation not in IMPLEMENTATIONS:
        raise ConfigError(
            f"attention={implementation!r} is unknown; choose one of {IMPLEMENTATIONS}"
        )
    if implementation != "auto":
        return implementation
    platform = platform or compile_platform()
    half = jnp.dtype(dtype) in (jnp.dtype(jnp.bfloat16), jnp.dtype(jnp.float16))
    if platform == "gpu" and half and head_width % 8 == 0 and head_width <= 128:
        return "cudnn"
    if platform == "tpu" and keys >= SPLASH_MIN_KEYS and not masked:
        return "splash"
    return "xla"


def attend(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    *,
    mask: jax.Array | None = None,
    causal: bool = False,
    implementation: str = "auto",
) -> jax.Array:
    """Softmax attention with float32 logits and softmax, whatever the compute type.

    Args:
      q: queries (..., L, H, E).
      k, v: keys and values (..., S, H, E).
      mask: optional bool, broadcastable to (..., H, L, S); True = may attend.
      causal: query i sees keys 0..i only.
      implementation: one of IMPLEMENTATIONS.

    Returns:
      (..., L, H, E) in the type of q.

    Raises:
      ValueError: unknown implementation, or a mask for splash.
      AssertionError: when traced with shapes that do not belong together.
    """
    # Not by chex.Dimensions, which takes no length that is left open, as exported models have.
    chex.assert_shape([k, v], (*q.shape[:-3], k.shape[-3], *q.shape[-2:]))
    implementation = resolve_implementation(
        implementation, q.dtype, keys=k.shape[-3], masked=mask is not None, head_width=q.shape[-1]
    )
    if implementation == "splash":
        if mask is not None:
            raise ConfigError("attention 'splash' takes no mask but causality; choose 'xla'")
        return _sharded_splash(q, k, v, causal)
    if implementation == "cudnn":
        return _cudnn_attention(q, k, v, mask, causal)
    return _xla_attention(q, k, v, mask, causal)


def _xla_attention(q, k, v, mask, causal):
    scale = q.shape[-1] ** -0.5
    logits = jnp.einsum("...lhe,...she->...hls", q * scale, k, preferred_element_type=jnp.float32)
    if causal:
        L, S = logits.shape[-2:]
        visible = jnp.tril(jnp.ones((L, S), bool))
        mask = visible if mask is None else mask & visible
    if mask is not None:
        # A large finite number, not -inf: a fully masked row must not become NaN.
        logits = jnp.where(mask, logits, -0.7 * jnp.finfo(jnp.float32).max)
    weights = jax.nn.softmax(logits, axis=-1).astype(v.dtype)
    return jnp.einsum("...hls,...she->...lhe", weights, v)


def _cudnn_attention(q, k, v, mask, causal):
    batch = q.shape[:-3]
    if mask is not None:
        # cuDNN refuses masks that only broadcast, so the mask is spelled out.
        mask = jnp.broadcast_to(mask, (*batch, q.shape[-2], q.shape[-3], k.shape[-3]))
        mask = mask.reshape(-1, *mask.shape[-3:])
    flat = [x.reshape(-1, *x.shape[-3:]) for x in (q, k, v)]
    out = jax.nn.dot_product_attention(*flat, mask=mask, is_causal=causal, implementation="cudnn")
    return out.reshape(q.shape)


def _sharded_splash(q, k, v, causal):
    """The partitioner cannot look into the kernel, so each device runs it on its rows and heads."""
    mesh, interpret = jax.sharding.get_abstract_mesh(), compile_platform() != "tpu"
    flat = [x.reshape(-1, *x.shape[-3:]) for x in (q, k, v)]

    def local(q, k, v):
        return splash_attention(q, k, v, causal=causal, interpret=interpret)

    if math.prod(mesh.axis_sizes) > 1:
        rows = tuple(name for name in mesh.axis_names if name != TENSOR_AXIS)
        ways, heads = math.prod(mesh.shape[name] for name in rows), mesh.shape.get(TENSOR_AXIS, 1)
        if flat[0].shape[0] % ways or q.shape[-2] % heads:
            # Initialisation looks at one row; nothing is gained by a kernel there.
            return _xla_attention(q, k, v, None, causal)
        split = P(rows, None, TENSOR_AXIS if TENSOR_AXIS in mesh.axis_names else None, None)
        local = jax.shard_map(local, in_specs=(split,) * 3, out_specs=split, check_vma=False)
    return local(*flat).reshape(q.shape)
