"""A LAM of three matrices, whose gradients say which slot, frame and pixel a term reaches."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from flexlam_jax.models.lam import LatentActionModel
from flexlam_jax.models.quantizers import QUANTIZERS
from flexlam_jax.objectives.lam import lam_objective

SIZE, SLOTS, WIDTH = 8, 3, 2
CONFIG = {
    "image_size": SIZE,
    "slots": SLOTS,
    "encoder": {"kind": "vit"},
    "decoder": {"kind": "vit"},
    "quantizer": {"kind": "none", "width": WIDTH},
}
_small = nn.initializers.normal(0.1)


class LinearEncoder(nn.Module):
    """Slot k is a linear map of both frames, with parameters of its own: kernel[k]."""

    width: int

    @nn.compact
    def __call__(self, frames):
        flat = frames.reshape(*frames.shape[:2], -1)
        both = jnp.concatenate([flat[:, :-1], flat[:, 1:]], -1)
        kernel = self.param("kernel", _small, (SLOTS, both.shape[-1], self.width))
        return jnp.einsum("btf,kfd->btkd", both, kernel)


class LinearDecoder(nn.Module):
    @nn.compact
    def __call__(self, o_t, slots):
        code = slots.reshape(len(slots), -1)
        kernel = self.param("kernel", _small, (code.shape[-1], *o_t.shape[1:]))
        seen = self.param("seen", _small, ())
        return jnp.einsum("nf,fhwc->nhwc", code, kernel) + seen * o_t


def linear_model(width=WIDTH):
    return LatentActionModel(
        LinearEncoder(width), QUANTIZERS["none"](width=width), LinearDecoder(), slots=SLOTS
    )


def built(loss=None, length=2, batch=None, config=None, **told):
    """(objective, params, extra)."""
    config, model = CONFIG | (config or {}), linear_model()
    objective = lam_objective(model, config, loss or {}, clip_length=length, **told)
    batch = batch_of(length=length) if batch is None else batch
    extra = dict(jax.jit(objective.init)(jax.random.key(0), batch))
    return objective, extra.pop("params"), extra


def batch_of(rows=4, length=2, seed=0):
    """Random frames with partners and with masks: the agent is on the left half."""
    rng = np.random.default_rng(seed)
    shape = (rows, length, SIZE, SIZE)
    mask = np.zeros((*shape, 1), np.uint8)
    mask[:, :, :, : SIZE // 2] = 255
    frames, pair = (rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for _ in range(2))
    batch = {
        "frames": frames,
        "frames_pair": pair,
        "frames_agent_mask": mask,
        "frames_exogenous_mask": 255 - mask,
    }
    return jax.tree.map(jnp.asarray, batch)


def term(objective, extra, batch, name, key=1):
    """params -> value of a term."""

    def value(params):
        return objective.outcome(params, extra, batch, jax.random.key(key)).terms[name].value

    return value


def slots_reached(objective, params, extra, batch, name, key=1):
    """Which slots' own parameters the gradient of a term reaches."""
    gradient = jax.jit(jax.grad(term(objective, extra, batch, name, key)))(params)
    kernel = gradient["encoder"]["kernel"]
    return [bool(jnp.abs(kernel[slot]).sum() > 0) for slot in range(SLOTS)]


def size(tree):
    return sum(float(jnp.abs(leaf).sum()) for leaf in jax.tree.leaves(tree))
