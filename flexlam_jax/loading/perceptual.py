"""Networks that tell how alike pictures look, from safetensors files that somebody downloaded.

    look = load_perceptual(["alexnet.safetensors", "lpips_alex.safetensors"])
    look(frames, other_frames)          # (B,), 0 for equal ones
    look.name                           # "LPIPS (AlexNet)"

One file holds the network (torchvision's names, features.N.weight), another the weights of its
channels (those of the package lpips, linN.model.1.weight); or one file both. Without the second the
distance is that of the network's features as they are, and its name says so. Nothing is fetched, and
nothing is unpickled.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flexlam_jax.checkpoints.fingerprint import parameters_hash
from flexlam_jax.checkpoints.path_table import Row
from flexlam_jax.checkpoints.safetensors import open_tensors
from flexlam_jax.checkpoints.safetensors_header import StoredTensor
from flexlam_jax.checkpoints.streaming import read_tensors
from flexlam_jax.errors import CheckpointError, UserError
from flexlam_jax.loading.sd3_configs import kind_of
from flexlam_jax.models.perceptual import NETWORKS, Network, PerceptualDistance
from flexlam_jax.parallel.sharding import path_name

_CONVOLUTION = r"(?:features|net\.slice\d)\.(\d+)\."
_WEIGHTS = r"lin(\d)\.model\.[01]\.weight"
TABLE: list[Row] = [
    (rf"{_CONVOLUTION}weight", r"features/conv_\1/kernel", "conv"),
    (rf"{_CONVOLUTION}bias", r"features/conv_\1/bias", "same"),
    (_WEIGHTS, r"lin_\1/kernel", "linear"),
    # Layers that classify; and what a whole state of the package lpips holds beside.
    (r"(classifier|head|pre_logits|scaling_layer|lins)\..*", "", "same"),
]
# Networks that files may hold instead, by names that no other has.
_OTHERS = (
    ("SqueezeNet", r"features\.\d+\.squeeze\."),
    ("a VGG with batch normalisation", r"features\.1\.running_mean"),
    ("a ResNet", r"layer1\.0\.conv1\."),
    ("an Inception network", r"Mixed_5b\."),
    ("a ConvNeXt or EfficientNet", r"(features\.\d+\.\d+\.(block|0)\.|stages\.0\.)"),
    ("a vision transformer", r"(.*\.)?(blocks|encoder\.layers?(\.encoder_layer_)?)\.?\d+\."),
)
_VGG_SIZES = {8: "VGG11", 10: "VGG13", 16: "VGG19"}
_PIXELS = 2**20  # Of pictures that are compared at once: a layer of 64 channels takes 256 MB.
NEEDED = (
    "give the convolutions of AlexNet or VGG16 under torchvision's names (features.0.weight ...) and, "
    "in the same file or another, the weights of the package lpips (lin0.model.1.weight ...); "
    "docs/real_video/quality.md tells how to write both"
)


class LoadedPerceptual:
    """A perceptual distance with its parameters. Made by `load_perceptual`.

    Attributes:
      name: what tables call it.      network: what makes its features.
      weighted: whether channels have weights that were fitted to people's judgements.
      fingerprint: sha256 of the parameters.
    """

    def __init__(self, model: PerceptualDistance, variables: Mapping[str, Any]):
        self.network, self.weighted = model.network, model.weighted
        title = model.network.title
        self.name = f"LPIPS ({title})" if model.weighted else f"{title} features, unweighted"
        self.fingerprint = parameters_hash(variables)
        self._variables, self._distance = variables, jax.jit(model.apply)

    def described(self) -> dict[str, Any]:
        """What it is, for a report."""
        of = {"network": self.network.title, "weighted": self.weighted}
        return {"name": self.name, **of, "fingerprint": self.fingerprint}

    def check(self, frame_shape: Sequence[int]) -> None:
        """Raises UserError for frames (H, W, C) that the network does not take."""
        height, width, channels = frame_shape
        if min(height, width) < self.network.least or channels not in (1, 3):
            raise UserError(
                f"{self.name} compares pictures of at least {self.network.least} x "
                f"{self.network.least} pixels, grey or RGB; the frames are {height} x {width} x "
                f"{channels}. Leave it out, or use a model of larger frames"
            )

    def __call__(self, x: jax.Array | np.ndarray, y: jax.Array | np.ndarray, /) -> np.ndarray:
        """Distances (B,) float32 of frames (B, H, W, C), uint8 or in [0, 1].

        Raises:
          UserError: as `check`; or frames, or numbers within the network, that are not finite.
        """
        self.check(x.shape[1:])
        rows = max(1, min(len(x), _PIXELS // (x.shape[1] * x.shape[2])))
        parts = []
        for start in range(0, len(x), rows):
            pair = [np.asarray(of[start : start + rows]) for of in (x, y)]
            size = len(pair[0])
            # One compiled shape, not two.
            fill = [(0, rows - size)] + [(0, 0)] * (x.ndim - 1)
            pair = [np.pad(of, fill) for of in pair]
            parts.append(np.asarray(self._distance(self._variables, *pair))[:size])
        found = np.concatenate(parts) if parts else np.zeros(0, np.float32)
        if bad := np.flatnonzero(~np.isfinite(found)).tolist():
            raise UserError(
                f"{self.name}: the distances of {len(bad)} of {len(found)} pairs of frames are no "
                f"numbers, the first at {bad[0]}; the frames or the weights hold NaN or infinity"
            )
        return found


def load_perceptual(paths: Sequence[Any]) -> LoadedPerceptual:
    """The distance that one or several safetensors files make up, see the head of this file.

    Raises:
      CheckpointError: as `open_tensors` (a .pth file is a pickle); files of another network, of parts
        that do not belong together, or with missing, misshapen or infinite tensors.
    """
    source = ", ".join(str(path) for path in paths)
    tensors: dict[str, StoredTensor] = {}
    for path in paths:
        found = open_tensors(path)
        if twice := sorted(tensors.keys() & found.keys()):
            raise CheckpointError(f"{source}: both hold {twice[0]}; give one file of each part")
        tensors |= found
    network = _network(tensors, source)
    weighted = any(re.fullmatch(_WEIGHTS, name) for name in tensors)
    if weighted:
        _check_weights(tensors, network, source)
    model = PerceptualDistance(network, weighted)
    frames = jax.ShapeDtypeStruct((1, network.least, network.least, 3), jnp.float32)
    key = jax.ShapeDtypeStruct((), jax.random.key(0).dtype)
    abstract = jax.eval_shape(model.init, key, frames, frames)["params"]
    remedy = NEEDED[0].upper() + NEEDED[1:]
    params = read_tensors(tensors, TABLE, abstract, source=source, remedy=remedy)
    for path, leaf in jax.tree.leaves_with_path(params):
        if not np.isfinite(leaf).all():
            raise CheckpointError(
                f"{source}: {path_name(path)} holds NaN or infinity; fetch the file again"
            )
    return LoadedPerceptual(model, {"params": params})


def _network(tensors: Mapping[str, StoredTensor], source: str) -> Network:
    """Which of NETWORKS the tensors are of."""
    numbers = {
        int(match[1]) for name in tensors if (match := re.fullmatch(rf"{_CONVOLUTION}weight", name))
    }
    for network in NETWORKS.values():
        if numbers == {layer.number for layer in network.layers}:
            return network
    if not numbers and any(re.fullmatch(_WEIGHTS, name) for name in tensors):
        told = "weights of LPIPS alone, without the network whose features they weigh"
    else:
        told = next(
            (kind for kind, pattern in _OTHERS if any(re.match(pattern, name) for name in tensors)),
            _VGG_SIZES.get(len(numbers)) or kind_of(tensors),
        )
    raise CheckpointError(f"{source} holds {told}; {NEEDED}")


def _check_weights(tensors: Mapping[str, StoredTensor], network: Network, source: str) -> None:
    """Raises CheckpointError for weights of another network's features."""
    found = {
        int(match[1]): tensor.shape
        for name, tensor in tensors.items()
        if (match := re.fullmatch(_WEIGHTS, name))
    }
    channels = tuple(found[number][1] for number in sorted(found) if len(found[number]) == 4)
    if channels == network.compared:
        return
    others = [one.title for one in NETWORKS.values() if one.compared == channels]
    of = others[0] if others else "SqueezeNet" if len(found) == 7 else f"channels {channels}"
    raise CheckpointError(
        f"{source}: the weights of LPIPS are those of {of}, the network is {network.title}, whose "
        f"channels are {network.compared}; give a pair that belongs together"
    )
