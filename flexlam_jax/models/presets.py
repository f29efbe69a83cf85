"""Model sections of the presets, as plain dicts that `build_lam` takes.

debug  a ViT of a few ten thousand parameters that uses every part; compiles in seconds
doom   the light motion family, for CPUs and minutes
doom_suite  the same with large codes, for video of many tasks
video  the light family with 64 slots, which say more than what moved
flow   64 slots and a decoder that draws o_{t+1} by rectified flow, small enough for CPUs
base, large, xl  ViTs of about 60M, 300M and 1B parameters in bf16, for accelerators

The sizes of the ViTs are ours; those of the FlexLAM paper are not public.
"""

from typing import Any

# width, heads, frame blocks, pair blocks, decoder blocks, and the least recomputation with which
# the preset's batch of 224-px clips fits the slices of docs/pod_plans.md. A block has 12 width^2
# parameters.
_VITS = {
    "base": (512, 8, 4, 4, 10, "dots"),
    "large": (1024, 16, 6, 6, 12, "mlp"),
    "xl": (1536, 12, 9, 9, 18, "full"),
}
PRESETS = ("debug", "doom", "doom_suite", "video", "flow", *_VITS)


def model_preset(name: str, image_size: int = 64) -> dict[str, Any]:
    """The `model` section of preset `name` for square frames of `image_size` pixels.

    Raises:
      ValueError: unknown name.
    """
    if name not in PRESETS:
        raise ValueError(f"unknown model preset {name!r}; choose one of {PRESETS}")
    light = {
        "debug": _debug,
        "doom": _doom,
        "doom_suite": _doom_suite,
        "video": _video,
        "flow": _flow,
    }
    section = light.get(name, lambda: _vit(name, image_size))()
    return {
        "image_size": image_size,
        "channels": 3,
        "keep": {"kind": "uniform"},
        "residual": True,
        **section,
    }


def _debug():
    vit = {"kind": "vit", "patch": 16, "width": 32, "heads": 2, "mlp_hidden": 64, "qk_norm": True}
    return {
        "slots": 4,
        "encoder": {**vit, "frame_blocks": 1, "pair_blocks": 2},
        "quantizer": {"kind": "vq", "codes": 9, "width": 4},
        "decoder": {**vit, "blocks": 2, "conditioning": "self"},
    }


def _doom():
    return {
        "slots": 4,
        "encoder": {"kind": "motion"},
        # Nine codes, 3.2 bits: so few that one slot cannot say everything, and a budget matters.
        "quantizer": {"kind": "fsq", "levels": (3, 3)},
        "decoder": {"kind": "motion"},
        # Two prefixes of each encoding per step, of few lengths: the first slots learn most by it.
        "keep": {"kind": "powers_of_two"},
        "prefixes": 2,
    }


def _doom_suite():
    # What an action looks like depends on the task: with nine codes a slot tells too little of it.
    return {
        **_doom(),
        "quantizer": {"kind": "fsq", "levels": (7, 7, 7, 7)},
    }


def _video():
    return {
        **_doom(),
        "slots": 64,
        "encoder": {"kind": "motion", "change": 16},
        "decoder": {"kind": "motion", "detail": True},
        # Of seven lengths the longest learn slowest: two of three prefixes are mostly whole.
        "prefixes": 3,
        "further_keep": {"kind": "powers_of_two", "whole": 6.0},
    }


def _flow():
    vit = {"patch": 8, "width": 128, "heads": 4, "mlp_hidden": 512}
    return {
        "slots": 64,
        "encoder": {"kind": "vit", **vit, "frame_blocks": 1, "pair_blocks": 2},
        "quantizer": {"kind": "fsq", "levels": (5, 5, 5)},
        "decoder": {
            "kind": "flow",
            **vit,
            "layers": 4,
            "position_table": 32,
            "position_base": 32,
            # Most of a next frame is as it was: differences have about this deviation.
            "spread": 0.2,
        },
        # A tenth is told nothing, for guidance.
        "keep": {"kind": "powers_of_two", "none": 0.1},
        "prefixes": 2,
    }


def _vit(name, image_size):
    width, heads, frame_blocks, pair_blocks, decoder_blocks, remat = _VITS[name]
    vit = {
        "kind": "vit",
        "patch": 8 if image_size < 128 else 14,
        "width": width,
        "heads": heads,
        "mlp_hidden": 4 * width,
        "qk_norm": True,
    }
    return {
        "slots": 16,
        "encoder": {
            **vit,
            "frame_blocks": frame_blocks,
            "pair_blocks": pair_blocks,
            "motion_tokens": True,
        },
        "quantizer": {"kind": "fsq", "levels": (5, 5, 5)},
        "decoder": {**vit, "blocks": decoder_blocks, "conditioning": "self"},
        "dtype": "bfloat16",
        "remat": remat,
    }
