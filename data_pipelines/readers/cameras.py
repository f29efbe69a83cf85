"""One dataset per camera, and how they are tied together."""

from __future__ import annotations

from collections.abc import Sequence

from data_pipelines.errors import DataError
from data_pipelines.spec import DatasetSpec


def parse_cameras(text: str, known: Sequence[str] | None = None) -> list[str]:
    """'a,b' as ['a', 'b'], in the order given; raises DataError if empty, repeated or unknown."""
    cameras = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in cameras if known is not None and name not in known]
    if not cameras or len(set(cameras)) != len(cameras) or unknown:
        choices = f"some of {', '.join(known)}" if known else "names of cameras"
        raise DataError(f"--cameras is {text!r}; give {choices}, separated by commas")
    return cameras


def camera_datasets(base: str, cameras: Sequence[str]) -> dict[str, str]:
    """Camera -> dataset name: `base` for one camera, `base_<camera>` for several."""
    if len(cameras) == 1:
        return {cameras[0]: base}
    return {camera: f"{base}_{camera}" for camera in cameras}


def camera_specs(base: str, cameras: Sequence[str], **fields) -> list[DatasetSpec]:
    """The specs of camera_datasets(base, cameras); several share the recording `base`."""
    recording = base if len(cameras) > 1 else ""
    return [
        DatasetSpec(name=name, camera=camera, recording=recording, **fields)
        for camera, name in camera_datasets(base, cameras).items()
    ]
