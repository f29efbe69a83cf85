"""A reader without files, for tests of the engine: item i is an episode painted in its own noise.

`faults` maps an item's number to what is wrong with it. Every call of `read` leaves a line in the
file `log`, so that tests can count what was read again.
"""

import os
import pathlib
import signal
import time

import numpy as np

from data_pipelines.format.spec import ActionSpec, DatasetSpec
from data_pipelines.readers.recordings import Item, ItemError, Plan, Recording, Skipped

DESCRIPTION = "test reader"
SIZE = 16


def add_arguments(parser):
    parser.add_argument("--items", type=int, default=12)
    parser.add_argument("--source", default="nowhere")


def options(args):
    return make_options(items=args.items)


def make_options(**changes):
    defaults = {
        "items": 12,
        "seed": 0,
        "faults": {},
        "max_failures": 0.1,
        "log": "",
        "pause": 0.0,
        "cameras": ["front"],
        "groups": 0,
        "published": [],
        "same_name": False,
        "labels": True,
        "leaks": "stop",
        "prefix": "item",
        "facts": {},
    }
    return defaults | changes


def names(options):
    cameras = options["cameras"]
    return ["painted"] if len(cameras) == 1 else [f"painted_{camera}" for camera in cameras]


def plan(options):
    specs = [
        DatasetSpec(
            name=name,
            image_shape=(SIZE, SIZE, 3),
            codec="zstd",
            action=ActionSpec("continuous", ("x", "y"), -1.0, 1.0) if options["labels"] else None,
            camera=camera,
            recording="painted" if len(options["cameras"]) > 1 else "",
        )
        for name, camera in zip(names(options), options["cameras"], strict=True)
    ]
    items = [Item(f"{options['prefix']} {i}", {"number": i}) for i in range(options["items"])]
    return Plan(specs, items, sources={"reader": "painted"})


def read(item, options):
    number = item.payload["number"]
    if options["log"]:
        with pathlib.Path(options["log"]).open("a") as file:
            file.write(f"{number}\n")
    time.sleep(options["pause"])
    fault = options["faults"].get(str(number))
    if fault == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "raises":
        raise OSError(f"cannot open {item.name}")
    if fault == "ruled out":
        yield Skipped(item.name, "rejected annotation", "the publisher says so", expected=True)
        return
    if fault == "skips":
        yield Skipped(item.name, "missing clip", "it is listed and not there")
        return
    length = 10 + number % 4
    rng = np.random.default_rng([7, number])
    action = rng.uniform(-1, 1, (length - 1, 2)).astype(np.float32)
    if fault == "out of range":
        action[3, 1] = 1.5
    yield Recording(
        name="same" if options["same_name"] else item.name,
        frames={
            name: _frames(number, camera, length, fault)
            for camera, name in enumerate(names(options))
        },
        action=action if options["labels"] else None,
        group=f"group {number // options['groups']}" if options["groups"] else None,
        split=options["published"][number] if options["published"] else None,
        metadata={"language": f"paint number {number}"} | options["facts"],
    )


def _frames(number, camera, length, fault):
    painted = int(fault.split()[-1]) if fault and fault.startswith("copy of item") else number
    rng = np.random.default_rng([8, painted, camera])
    for t in range(length):
        if fault == "corrupt" and t == 5 and camera == 0:
            raise ItemError("corrupt video", f"item {number}: cannot decode frame {t}")
        if fault == "second camera short" and camera == 1 and t == length - 1:
            return
        frame = rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        yield np.zeros_like(frame) if fault == "blank" else frame
