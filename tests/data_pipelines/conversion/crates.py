"""A reader without files whose items hold many recordings, for tests of what is counted as lost.

`crates` maps the name of an item to its number of recordings; `breaks` to how many of them come
before it raises; `unopened` lists files that the plan could not open. Cameras listed in `blank`
("<recording>:<dataset>") show black pictures.
"""

import numpy as np

from data_pipelines.format.spec import DatasetSpec
from data_pipelines.readers.recordings import Item, ItemError, Plan, Recording, Skipped

DESCRIPTION = "test reader of many recordings per item"
SIZE = 16
LENGTH = 6


def add_arguments(parser):
    del parser


def options(args):
    del args
    return make_options()


def make_options(**changes):
    defaults = {
        "crates": {},
        "breaks": {},
        "unopened": [],
        "known": False,
        "lost_frames": None,
        "cameras": [""],
        "blank": [],
        "texts": None,
        "published": {},
        "passed_over": {},
        "seed": 0,
        "max_failures": 0.1,
        "leaks": "stop",
    }
    return defaults | changes


def names(options):
    return ["crate" + (f"_{camera}" if camera else "") for camera in options["cameras"]]


def plan(options):
    specs = [
        DatasetSpec(
            name=name,
            image_shape=(SIZE, SIZE, 3),
            codec="zstd",
            camera=camera,
            recording="crate" if len(options["cameras"]) > 1 else "",
        )
        for name, camera in zip(names(options), options["cameras"], strict=True)
    ]
    items = [
        Item(name, {"count": count}, episodes=count if options["known"] else None)
        for name, count in options["crates"].items()
    ]
    skipped = [
        Skipped(name, "unreadable", f"{name}: damaged", episodes=None)
        for name in options["unopened"]
    ]
    return Plan(
        specs,
        items,
        skipped,
        one_recording_per_item=False,
        passed_over=options["passed_over"],
    )


def read(item, options):
    for number in range(item.payload["count"]):
        if options["breaks"].get(item.name) == number:
            raise ItemError("damaged", f"{item.name}: cut short", frames=options["lost_frames"])
        name = f"{item.name}/{number}"
        yield Recording(
            name,
            frames={
                dataset: _frames(name, camera, f"{name}:{dataset}" in options["blank"])
                for camera, dataset in enumerate(names(options))
            },
            split=options["published"].get(name),
            metadata=_texts(name, options["texts"]),
        )


def _texts(name, texts):
    return {} if texts is None else {"language": texts.get(name, "")}


def _frames(name, camera, blank):
    rng = np.random.default_rng([*map(ord, name), camera])
    for _ in range(LENGTH):
        frame = rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        yield np.zeros_like(frame) if blank else frame
