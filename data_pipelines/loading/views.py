"""Several cameras of one instant in one row: `frames_<camera>` beside `frames`."""

from __future__ import annotations

from data_pipelines.errors import DataError
from data_pipelines.format.spec import DatasetSpec
from data_pipelines.loading.mixture import OpenedDataset
from data_pipelines.loading.synchronous import SharedReaders, synchronous_names
from data_pipelines.loading.windows import ClipReader

ALL = "all"


class CameraViews:
    """The cameras that are read for every row, whichever dataset the row is of.

    readers[i]: {key of the batch: reader} for dataset i, the same keys for all datasets.

    Raises DataError, listing the cameras that exist, where a dataset lacks one of them; for
    datasets of different cameras under "all"; and for datasets whose episodes disagree.
    """

    def __init__(
        self, datasets: list[OpenedDataset], views: tuple[str, ...], shared: SharedReaders
    ):
        held = [camera_names(dataset) for dataset in datasets]
        cameras = tuple(held[0]) if views == (ALL,) else views
        for dataset, names in zip(datasets, held, strict=True):
            _check_cameras(dataset, names, cameras, every=views == (ALL,))
        self.readers: list[dict[str, ClipReader]] = [
            {frames_key(camera): shared.of(dataset, names[camera]) for camera in cameras}
            for dataset, names in zip(datasets, held, strict=True)
        ]

    def specs(self) -> dict[str, list[DatasetSpec]]:
        """{key of the batch: specs of the datasets read for it}."""
        return {key: [readers[key].spec for readers in self.readers] for key in self.readers[0]}


def frames_key(camera: str) -> str:
    """Where a batch holds the frames of a camera."""
    return f"frames_{camera}"


def camera_names(dataset: OpenedDataset) -> dict[str, str]:
    """{camera: dataset that shows it} of all synchronous datasets, in the order of the folder."""
    synchronous = {dataset.spec.name, *synchronous_names(dataset, "camera")}
    names: dict[str, str] = {}
    for name, spec in dataset.info.datasets.items():
        if name not in synchronous or not spec.camera:
            continue
        if spec.camera in names:
            raise DataError(
                f"{dataset.info.path}: datasets {names[spec.camera]} and {name} are both camera "
                f"{spec.camera!r} of the recording {spec.recording!r}; prepare them apart"
            )
        names[spec.camera] = name
    return names


def _check_cameras(
    dataset: OpenedDataset, names: dict[str, str], cameras: tuple[str, ...], every: bool
) -> None:
    lacking = [camera for camera in cameras if camera not in names]
    if lacking or not names or (every and set(names) != set(cameras)):
        wanted = ", ".join(cameras) or "none"
        raise DataError(
            f"dataset {dataset.spec.name} of {dataset.info.path} cannot be read with the cameras "
            f"of data.views ({wanted}); its cameras: {', '.join(names) or 'none is named'}; name "
            "those that every dataset read has"
        )
