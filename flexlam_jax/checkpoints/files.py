"""How a checkpoint lies on disk (see checkpoint.py), and how Orbax is asked for it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath

from flexlam_jax.checkpoints.fingerprint import fingerprint
from flexlam_jax.errors import CheckpointError

FORMAT = 1
FOLDER = "checkpoints"
_ARRAYS = ("params", "ema", "optimizer")
_JSONS = ("data", "config", "meta")


@dataclasses.dataclass(frozen=True)
class Keep:
    """Which steps stay: the newest, and multiples of `every` until there are `count` in all."""

    count: int
    every: int

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        """Orbax's PreservationPolicy. The newest is the one that is about to be written."""
        steps = [checkpoint.step for checkpoint in checkpoints]
        lasting = [step for step in steps if step % self.every == 0 or step == max(steps)]
        return [step in sorted(lasting)[-self.count :] for step in steps]


def manager(
    directory: epath.Path, *, keep: Keep | None = None, reading: bool = False
) -> ocp.CheckpointManager:
    """`reading` changes nothing in the directory (Orbax's own read_only warns on every use), and is
    each process's own affair: Orbax would wait without end for a process that could not read.
    """
    alone = ocp.options.MultiprocessingOptions(
        primary_host=jax.process_index(),
        active_processes={jax.process_index()},
        barrier_sync_key_prefix=f"reader{jax.process_index()}",
    )
    handlers = {name: ocp.StandardCheckpointHandler() for name in _ARRAYS}
    handlers |= {name: ocp.JsonCheckpointHandler() for name in _JSONS}
    if not reading:
        directory.mkdir(parents=True, exist_ok=True)  # Orbax makes only the last folder itself.
    return ocp.CheckpointManager(
        directory,
        item_handlers=handlers,
        options=ocp.CheckpointManagerOptions(
            preservation_policy=keep,
            create=False,
            multiprocessing_options=alone if reading else ocp.options.MultiprocessingOptions(),
            cleanup_tmp_directories=not reading,
            save_root_metadata=not reading,
            enable_async_checkpointing=not reading,
        ),
    )


def read_meta(manager: ocp.CheckpointManager, step: int, folder: Any) -> dict[str, Any]:
    meta = manager.restore(step, args=ocp.args.Composite(meta=ocp.args.JsonRestore())).meta
    if meta["format"] > FORMAT:
        raise CheckpointError(
            f"step {step} in {folder} has checkpoint format {meta['format']}, this program reads "
            f"up to {FORMAT}; update flexlam_jax."
        )
    return meta


def item_metadata(folder: epath.Path, step: int, item: str) -> Any:
    """Shapes and types of one item; those of others may be damaged or gone. Has the field `tree`."""
    return ocp.StandardCheckpointHandler().metadata(folder / str(step) / item)


def verify(items: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
    for name, tree in items.items():
        if fingerprint(tree) != meta["fingerprints"][name]:
            raise OSError(f"item {name!r} does not match its fingerprint")
