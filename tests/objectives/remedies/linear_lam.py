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


def term(objective, extra, batch, name):
    """(params, seed) -> value of a term."""

    def value(params, seed=1):
        return objective.outcome(params, extra, batch, jax.random.key(seed)).terms[name].value

    return value


def slots_reached(objective, params, extra, batch, *names, seeds=(1,), part=()):
    """Of each term, the slots whose own parameters its gradient reaches, with any of the seeds.

    `part` is the path of the LAM in `params`.
    """

    @jax.jit  # One program for all terms and seeds: compiling takes longest.
    def sizes(params, seed):
        found = []
        for name in names:
            gradient = jax.grad(term(objective, extra, batch, name))(params, seed)
            for key in part:
                gradient = gradient[key]
            found.append(jnp.abs(gradient["encoder"]["kernel"]).sum((1, 2)))
        return jnp.stack(found)

    return np.any([np.asarray(sizes(params, seed)) > 0 for seed in seeds], axis=0).tolist()


def size(tree):
    """Sum of magnitudes; by NumPy: jax would compile two programs for every shape."""
    return sum(float(np.abs(leaf).sum()) for leaf in jax.tree.leaves(tree))
