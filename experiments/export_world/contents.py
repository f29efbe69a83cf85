"""What the file holds: the graphs of the model, and what its page is told."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from experiments.export_world.document import document, text_of
from experiments.export_world.runtime import Runtime
from experiments.play.stage import Stage
from flexlam_jax.serving import browser
from flexlam_jax.serving.onnx.convert import to_onnx
from flexlam_jax.world.token_world import TokenWorld

FASTEST = 30  # frames per second that can be asked for
STEPS = 4  # of sampling, at most, where none are given: a browser takes twice the time of XLA


def page(stage: Stage, steps: int | None, runs: Runtime) -> str:
    """The HTML of a stage whose world passes `browser.check_world`.

    Args:
      steps: of sampling, to begin with; None for the model's own, but at most STEPS.
    """
    world = browser.half_precision(stage.world)
    graphs = {function.name: to_onnx(function) for function in browser.functions_of(world)}
    facts = facts_of(stage, world, steps or min(world.sampling_steps, STEPS)) | {
        "graphs": list(graphs)
    }
    return document(facts, {"script": runs.script, "runtime": runs.binary, **graphs})


def facts_of(stage: Stage, world: TokenWorld, steps: int) -> dict[str, Any]:
    """What main.js reads: what the live page does, and arrays as base64."""
    told = json.loads(stage.facts)
    for board in told["keyboards"]:
        codes = np.stack([code.slots for code in stage.controls[board["keep"]].codes])
        board["leads"] = _array(browser.leads_of(world, codes), np.float32)
        board["slots"] = _array(codes, np.float32)
    for start, frames in zip(told["starts"], stage.starts, strict=True):
        ids, leads, drafts = browser.start_of(world, frames)
        start |= {"ids": _array(ids, np.int32), "leads": _array(leads, np.float32)}
        start["drafts"] = _array(drafts, np.int32)
    dynamics = world.dynamics
    return {
        **{name: told[name] for name in ("title", "keep", "keyboards", "starts", "sampling")},
        # Others read the file: names, not where they lie here.
        "about": [f"{what} {Path(text).name}" for what, text in stage.about.items() if text],
        "live": None,
        "fps": stage.fps,
        "fastest": FASTEST,
        "steps": steps,
        "temperature": world.temperature,
        "world": {
            "size": told["size"],
            "tokens": dynamics.tokens,
            "codes": dynamics.codes,
            "width": dynamics.width,
            "heads": dynamics.block.heads,
            "cache": browser.cache_shape(world),
            "drafts": dynamics.drafts,
            "slots": (world.slots, world.slot_width),
        },
    }


def _array(array: np.ndarray, dtype: Any) -> str:
    return text_of(np.ascontiguousarray(array, dtype).tobytes())
