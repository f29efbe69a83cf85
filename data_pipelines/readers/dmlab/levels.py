"""What the layouts share: options of the frames, specs, channel order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.format.framing import fit_frame
from data_pipelines.format.spec import ActionSpec, DatasetSpec
from data_pipelines.names import plain_name
from data_pipelines.readers.frame_options import record_fields
from data_pipelines.readers.pictures import picture_array

FPS, FRAME_SKIP = 15.0, 4  # 60 Hz simulator; every agent below repeated its actions four times


def level_spec(
    level: str, options: dict[str, Any], action: ActionSpec, details: dict[str, Any], **fields
) -> DatasetSpec:
    """The dataset of one level."""
    timing = {"frame_skip": FRAME_SKIP, "fps": FPS, "has_reward": True}
    return DatasetSpec(
        name=level_dataset(level),
        action=action,
        details={"level": level, **details},
        **timing | fields,
        **record_fields(options),
    )


def level_dataset(level: str) -> str:
    return f"dmlab_{plain_name(level)}"


def chosen_levels(found: Sequence[str], options: dict[str, Any]) -> list[str]:
    """The levels asked for, or all; raises DataError for one that is not there, or for two that
    would be one dataset."""
    dataset, count = Counter(map(level_dataset, found)).most_common(1)[0]
    if count > 1:
        same = ", ".join(level for level in found if level_dataset(level) == dataset)
        raise DataError(f"{options['source']}: {same} would all be {dataset}; name one folder")
    missing = [level for level in options["levels"] if level not in found]
    if missing:
        raise DataError(
            f"--levels names {', '.join(missing)}, not in {options['source']}; there are: "
            + ", ".join(found)
        )
    return [level for level in found if not options["levels"] or level in options["levels"]]


def channel_order(options: dict[str, Any], default: str) -> str:
    return default if options["channels"] == "auto" else options["channels"]


def upright_rgb(
    pictures: Iterable[bytes | np.ndarray], order: str, options: dict[str, Any]
) -> Iterator[np.ndarray]:
    """uint8 RGB (size, size, 3), one by one, of encoded or plain pictures in `order`."""
    for t, picture in enumerate(pictures):
        if isinstance(picture, bytes):
            picture = picture_array(picture, f"frame {t}")
        if order == "bgr":
            picture = np.ascontiguousarray(picture[..., ::-1])
        yield fit_frame(picture, options["size"], options["fit"])
