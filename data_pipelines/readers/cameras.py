"""One dataset per camera, and how they are tied together."""

from __future__ import annotations

from collections.abc import Sequence

from data_pipelines.errors import DataError
from data_pipelines.format.spec import DatasetSpec
from data_pipelines.names import check_name, plain_name


def parse_cameras(
    text: str, known: Sequence[str] | None = None, flag: str = "--cameras"
) -> list[str]:
    """'a,b' as ['a', 'b'], in the order given; raises DataError if empty, repeated or unknown."""
    cameras = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in cameras if known is not None and name not in known]
    if not cameras or len(set(cameras)) != len(cameras) or unknown:
        choices = f"some of {', '.join(known)}" if known else "names of cameras"
        raise DataError(f"{flag} is {text!r}; give {choices}, separated by commas")
    return cameras


def camera_datasets(base: str, cameras: Sequence[str]) -> dict[str, str]:
    """Camera -> dataset name: `base` for one camera, `base_<camera>` for several.

    Cameras are named by somebody's files: one that is no name gets a plain one in its dataset's.
    Raises DataError if two cameras would share a dataset.
    """
    if len(cameras) == 1:
        return {cameras[0]: base}
    datasets: dict[str, str] = {}
    for camera in cameras:
        name = f"{base}_{_plain(camera)}"
        if name in datasets.values():
            raise DataError(f"camera {camera!r}: another one has the dataset {name}; choose one")
        datasets[camera] = name
    return datasets


def _plain(camera: str) -> str:
    try:
        return check_name(f"_{camera}", "camera")[1:]
    except DataError:
        return plain_name(camera)


def camera_specs(base: str, cameras: Sequence[str], **fields) -> list[DatasetSpec]:
    """The specs of camera_datasets(base, cameras); several share the recording `base`."""
    recording = base if len(cameras) > 1 else ""
    return [
        DatasetSpec(name=name, camera=camera, recording=recording, **fields)
        for camera, name in camera_datasets(base, cameras).items()
    ]
