"""Tensors of safetensors files, mapped into memory: nothing is unpickled, and nothing is read before
it is asked for.

The format is small, and read here rather than by the package of that name, so that a part of a
tensor is a view of the file whose pages can be let go, which is how a large model is loaded with
little memory beside it (streaming.py), and so that what is wrong with a file names the tensor.
"""

import json
import math
import mmap
from pathlib import Path
from typing import Any

import numpy as np

from flexlam_jax.checkpoints.safetensors_header import REMEDY, StoredTensor, read_header
from flexlam_jax.errors import CheckpointError
from flexlam_jax.files import reachable

INDEX = ".safetensors.index.json"
PICKLES = (".ckpt", ".bin", ".pt", ".pth", ".pkl")


def open_tensors(path: Any) -> dict[str, StoredTensor]:
    """{name: tensor} of a file, or of a folder that holds one file or several and their index.

    Raises:
      CheckpointError: as `read_header`; a pickle; or a folder that has no such file, several
        without an index, or an index that does not agree with them.
    """
    place = reachable(path, CheckpointError)
    if "://" in str(place):
        raise CheckpointError(
            f"{place} is not on a disk of this machine, as a file must be to be "
            "mapped; copy it here first"
        )
    place = Path(place)
    if place.is_dir():
        return _of_folder(place)
    refuse_pickle(place)
    return read_header(place)


def refuse_pickle(path: Path) -> None:
    """Raises CheckpointError for a file whose name says that it is one."""
    if path.suffix in PICKLES:
        raise CheckpointError(
            f"{path} is a pickle, which may run any program when it is read, and is not read here; "
            "take the .safetensors file of the same model, or convert it where you trust it "
            "(safetensors.torch.save_file(torch.load(path, weights_only=True), ...))"
        )


class Maps:
    """Files mapped into memory while the block lasts: `with Maps() as maps`."""

    def __init__(self) -> None:
        self._maps: dict[Path, mmap.mmap] = {}

    def __enter__(self) -> "Maps":
        return self

    def __exit__(self, *error: Any) -> None:
        # Not closed by hand: arrays over a map keep it, and a closed one under them would crash.
        self._maps.clear()

    def array(self, tensor: StoredTensor) -> np.ndarray:
        """The tensor, read-only, as a view of its file.

        Raises:
          CheckpointError: the file is gone.
        """
        held = self._of(tensor.file)
        count = math.prod(tensor.shape)
        if not count:
            return np.zeros(tensor.shape, tensor.dtype)
        flat = np.frombuffer(held, np.uint8, tensor.size, tensor.start)
        # Files need not align what they hold.
        return flat.view(tensor.dtype).reshape(tensor.shape)

    def forget(self, tensor: StoredTensor) -> None:
        """Lets the pages go that hold the tensor; reading it again reads the file again."""
        if tensor.size and hasattr(mmap, "MADV_DONTNEED"):
            start = tensor.start - tensor.start % mmap.PAGESIZE
            self._of(tensor.file).madvise(
                mmap.MADV_DONTNEED, start, tensor.start + tensor.size - start
            )

    def _of(self, path: Path) -> mmap.mmap:
        if path not in self._maps:
            try:
                with open(path, "rb") as file:
                    self._maps[path] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except (OSError, ValueError) as error:
                raise CheckpointError(f"{path} cannot be mapped: {error}") from error
        return self._maps[path]


def _of_folder(folder: Path) -> dict[str, StoredTensor]:
    indexes = sorted(folder.glob(f"*{INDEX}"))
    files = sorted(folder.glob("*.safetensors"))
    if len(indexes) == 1:
        return _of_index(indexes[0])
    if len(files) == 1 and not indexes:
        return read_header(files[0])
    if files:
        names = ", ".join(file.name for file in [*indexes, *files])
        raise CheckpointError(
            f"{folder} holds several models ({names}); name the file that is meant"
        )
    for file in sorted(folder.iterdir()):
        refuse_pickle(file)
    raise CheckpointError(f"{folder} holds no .safetensors file")


def _of_index(index: Path) -> dict[str, StoredTensor]:
    remedy = f"it should map names of tensors to files beside it; {REMEDY}"
    try:
        table = json.loads(index.read_bytes())["weight_map"]
        names = {file: Path(file).name for file in table.values()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{index} is damaged ({error!r}); {remedy}") from error
    if outside := [file for file, name in names.items() if file != name]:
        raise CheckpointError(f"{index} names the file {outside[0]!r}, not one beside it; {remedy}")
    headers = {file: read_header(index.parent / file) for file in sorted(names)}
    if lost := [name for name, file in table.items() if name not in headers[file]]:
        raise CheckpointError(
            f"{index} has {lost[0]} in {table[lost[0]]}, which does not hold it"
            f"{f', and {len(lost) - 1} more so' if lost[1:] else ''}; {REMEDY}"
        )
    return {name: headers[file][name] for name, file in table.items()}
