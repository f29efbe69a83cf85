"""Model sections of small tokenizers of 16-px frames, for tests."""

_CELLS = {"kind": "light", "patch": 8, "cell": 4, "channels": 8, "coarse": 8, "blocks": 1}
_BLOCKS = {"patch": 8, "width": 16, "blocks": 2, "window": 3, "heads": 2, "mlp_hidden": 32}
_SPACETIME = {"kind": "spacetime", **_BLOCKS}

LIGHT = {
    "image_size": 16,
    "encoder": _CELLS,
    "quantizer": {"kind": "fsq", "levels": (4, 3)},
    "decoder": _CELLS,
}
SPACETIME = {**LIGHT, "encoder": _SPACETIME, "decoder": _SPACETIME}
MODELS = {"light": LIGHT, "spacetime": SPACETIME}
