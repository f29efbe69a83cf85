"""Every number of every preset has a range, and what is outside is told with key, value and range."""

import importlib
import math
import numbers
import pkgutil

import pytest
from ml_collections import ConfigDict

from experiments import configs
from experiments.configs import common
from flexlam_jax.config.ranges import (
    MIXTURE,
    RANGES,
    REQUIRED,
    check_config,
    check_ranges,
    describe_ranges,
    range_of,
)
from flexlam_jax.errors import ConfigError, UserError
from flexlam_jax.models.bottleneck import SAMPLERS
from flexlam_jax.models.lam import DECODERS, ENCODERS
from flexlam_jax.models.quantizers import QUANTIZERS

PRESETS = [name for _, name, _ in pkgutil.iter_modules(configs.__path__) if name != "common"]
# One value just outside of every key that has another range than a count or a share.
OUTSIDE = {
    "seed": -1,
    "peak_tflops": -0.1,
    "watchdog_seconds": -1.0,
    "data.clip_length": 1,
    "data.gap": (2, 1),
    "data.image_size": -1,
    "data.threads": 1025,
    "data.workers": -1,
    "data.transitions": -1,
    "data.fraction": 0.0,
    "data.subset_seed": 2**32,
    "augmentation.crop_scale": (0.0, 1.0),
    "augmentation.crop_aspect": (1.0, math.inf),
    "augmentation.shift": 65,
    "augmentation.hue": 0.51,
    "model.image_size": (64, 0),
    "model.encoder.frame_blocks": -1,
    "model.encoder.hidden": (),
    "model.encoder.windows": (4,),
    "model.encoder.radius": (2, -1),
    "model.decoder.blocks": -1,
    "model.decoder.radius": (2, 65),
    "model.decoder.hidden": 1,
    "model.quantizer.levels": (3, 1),
    "model.quantizer.codes": 1,
    "model.quantizer.decay": 1.0,
    "model.keep.minimum": -1,
    "model.keep.count": -1,
    "model.keep.rate": 1.0,
    "optimizer.learning_rate": math.nan,
    "optimizer.warmup_steps": -1,
    "optimizer.decay_fraction": 1.1,
    "optimizer.b2": 2.0,
    "optimizer.ema_decay": 1.0,
    "mesh.slice": 0,
    "mesh.fsdp": -2,
    "mesh.fsdp_min_size": -1,
    "eval.batches": -1,
    "profile.start": -1,
    "profile.steps": -1,
}


def flattened(tree, path=""):
    for key, value in tree.items():
        if hasattr(value, "items"):
            yield from flattened(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def is_number(value):
    items = value if isinstance(value, (list, tuple)) and value else [value]
    return all(isinstance(x, numbers.Number) and not isinstance(x, bool) for x in items)


def with_value(key, value):
    config = common.base("debug").to_dict()
    section = config
    *path, name = key.split(".")
    for part in path:
        section = section.setdefault(part, {})
    section[name] = value
    return ConfigDict(config)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_in_range_and_every_number_has_a_range(name):
    config = importlib.import_module(f"experiments.configs.{name}").get_config()
    check_config(config)
    assert [key for key, value in flattened(config) if is_number(value) and not range_of(key)] == []


def test_settings_that_no_preset_has_are_in_the_table():
    fields = {
        f"model.{part}.{name}": field.default
        for part, kinds in (("encoder", ENCODERS), ("decoder", DECODERS), ("quantizer", QUANTIZERS))
        for kind in kinds.values()
        for name, field in kind.__dataclass_fields__.items()
    }
    fields |= {
        f"model.keep.{name}": value for kind in SAMPLERS.values() for name, value in kind.items()
    }
    assert [
        key
        for key, value in fields.items()
        if is_number(value) and key not in RANGES and not key.endswith(".features")
    ] == []


@pytest.mark.parametrize("key", RANGES)
def test_a_value_outside_is_told_with_its_key_and_range(key):
    value = OUTSIDE.get(key, -0.1 if RANGES[key].text.startswith("a number") else 0)
    with pytest.raises(UserError) as error:
        check_ranges(with_value(key, value))
    told = str(error.value)
    assert told.startswith(f"bad config: config.{key}={value!r} ") and RANGES[key].text in told
    assert "\n" not in told, "nothing else is wrong"


@pytest.mark.parametrize(
    "key, value",
    [
        ("seed", 2**32 - 1),
        ("watchdog_seconds", 0),
        ("watchdog_seconds", 1),
        ("data.gap", [1, 4]),
        ("data.gap", "0.5s"),
        ("data.gap", ("0.2s", "0.6s")),
        ("model.image_size", (48, 64)),
        ("model.keep.count", None),
        ("optimizer.b1", 0),
        ("optimizer.learning_rate", 0.0),
        ("mesh.data", -1),
        ("augmentation.crop_scale", [1.0, 1.0]),
    ],
)
def test_bounds_belong_to_a_range(key, value):
    check_ranges(with_value(key, value))


@pytest.mark.parametrize(
    "key, value",
    [
        ("batch_size", 8.0),
        ("batch_size", True),
        ("batch_size", "8"),
        ("batch_size", None),
        ("optimizer.b2", "0.9"),
        ("optimizer.clip_norm", False),
        ("model.quantizer.levels", 3),
        ("augmentation.crop_scale", 1.0),
        ("watchdog_seconds", 0.5),
        ("model.slots", 2**31),
    ],
)
def test_other_kinds_of_values(key, value):
    with pytest.raises(ConfigError, match=f"config.{key}={value!r}"):
        check_ranges(with_value(key, value))


def test_all_wrong_keys_are_told_at_once():
    config = with_value("optimizer.b2", 2.0)
    config.seed = -1
    with pytest.raises(ConfigError, match="config.optimizer.b2=2.0 (.|\n)*config.seed=-1 "):
        check_ranges(config)
    check_ranges(config, sections=("data", "log"))


def test_entries_of_a_mixture_and_weights():
    check_ranges(with_value("data.mixture", {"a": {"weight": 0.5, "gap": (1, 2)}}))
    for key in MIXTURE:
        with pytest.raises(ConfigError, match=f"config.data.mixture.a.{key}=-1"):
            check_ranges(with_value("data.mixture", {"a": {key: -1}}))
    with pytest.raises(ConfigError, match="config.data.datasets.a=0"):
        check_ranges(with_value("data.datasets", {"a": 0}))


@pytest.mark.parametrize("key", REQUIRED)
def test_a_missing_key_is_named(key):
    config = common.base("debug").to_dict()
    section = config
    *path, name = key.split(".")
    for part in path:
        section = section[part]
    del section[name]
    with pytest.raises(ConfigError, match=f"lacks {key};"):
        check_config(config)


def test_the_table_for_people_has_every_key():
    lines = describe_ranges().splitlines()
    assert [line.split()[0] for line in lines] == list(RANGES)
