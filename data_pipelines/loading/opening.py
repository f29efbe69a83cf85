"""The options met with the folders: everything that rows are read from, opened and checked."""

from __future__ import annotations

import dataclasses

from data_pipelines.errors import DataError
from data_pipelines.loading.batch_layout import PAIR, BatchLayout
from data_pipelines.loading.episode_texts import EpisodeTexts
from data_pipelines.loading.mixture import OpenedDataset, common_image_shape, open_mixture
from data_pipelines.loading.options import LoaderOptions
from data_pipelines.loading.pairing import PairedDatasets
from data_pipelines.loading.row_reading import OpenedData
from data_pipelines.loading.sidecar_columns import SidecarColumns
from data_pipelines.loading.synchronous import SharedReaders
from data_pipelines.loading.views import CameraViews


def open_data(options: LoaderOptions) -> OpenedData:
    """Opens every dataset that the options name; no record is read.

    Raises DataError for whatever the folders do not hold or a batch cannot hold together.
    """
    datasets = open_mixture(options)
    specs = [dataset.spec for dataset in datasets]
    image_shape = common_image_shape(specs, options)
    shared = SharedReaders(datasets)
    pairs = views = None
    beside = {}
    if options.pair_with:
        pairs = PairedDatasets(datasets, options.pair_with, shared)
        beside[PAIR] = common_image_shape([reader.spec for reader in pairs.readers], options)
    if options.views:
        views = CameraViews(datasets, options.views, shared)
        # Cameras may differ in size: image_size is a check of `frames` alone.
        sizes = options if options.resize else dataclasses.replace(options, image_size=0)
        for key, of_camera in views.specs().items():
            if key in beside:
                raise DataError(
                    f"a camera called {key.removeprefix('frames_')!r} would take the place of the "
                    "pair in a batch; drop data.pair_with, or leave that camera out of data.views"
                )
            beside[key] = common_image_shape(of_camera, sizes)
    layout = BatchLayout(
        specs,
        options,
        image_shape,
        beside=beside,
        longest_gap=max(dataset.gap[1] for dataset in datasets),
    )
    texts = EpisodeTexts(datasets) if options.language else None
    columns = _sidecars(datasets, layout, options.column_chunk)
    return OpenedData(datasets, layout, pairs, views, texts, columns)


def _sidecars(
    datasets: list[OpenedDataset], layout: BatchLayout, chunk: int
) -> SidecarColumns | None:
    columns = [dataset.sidecars for dataset in datasets]
    if not any(columns):
        return None
    return SidecarColumns(columns, layout.clip_length, list(layout.empty(0)), chunk=chunk)
