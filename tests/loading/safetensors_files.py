"""Writes small safetensors files, and the checkpoints that the goldens of diffusers were made of."""

import json

import numpy as np

from flexlam_jax.checkpoints.safetensors_header import DTYPES
from tests.models.make_sd3_goldens import weight

_NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}


def header_of(tensors):
    """The header of a file of {name: array}, as a dict."""
    header, start = {}, 0
    for name, array in tensors.items():
        place = [start, start + array.nbytes]
        header[name] = {
            "dtype": _NAMES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": place,
        }
        start = place[1]
    return header


def write(path, tensors, header=None, *, text=None, cut=0):
    """A file of {name: array}; `header` or its `text` as given, the last `cut` bytes left out."""
    text = json.dumps(header_of(tensors) if header is None else header) if text is None else text
    data = b"".join(np.ascontiguousarray(array).tobytes() for array in tensors.values())
    content = len(text.encode()).to_bytes(8, "little") + text.encode() + data
    path.write_bytes(content[: len(content) - cut])
    return path


def checkpoint(names):
    """{name: array} of {name: shape}: what the goldens were made with."""
    return {name: weight(name, tuple(shape)) for name, shape in names.items()}
