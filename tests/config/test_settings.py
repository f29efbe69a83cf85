"""Every key of every preset has a range, and what is outside is told with key, value and range."""

import dataclasses
import importlib
import math
import pkgutil

import pytest
from ml_collections import ConfigDict

from docs.examples import toy_family
from experiments import configs
from experiments.configs import common
from experiments.configs.keys import LamConfig, TaskSettings
from experiments.tasks.registry import check_config, settings_of
from flexlam_jax.config.settings import describe, keys_of, several_types
from flexlam_jax.errors import ConfigError
from flexlam_jax.models.bottleneck import SAMPLERS
from flexlam_jax.models.lam import DECODERS, ENCODERS
from flexlam_jax.models.quantizers import QUANTIZERS

PRESETS = [
    name for _, name, _ in pkgutil.iter_modules(configs.__path__) if name not in ("common", "keys")
]
KEYS = keys_of(LamConfig)
REQUIRED = [name for name, key in KEYS.items() if key.required and "quantizer" not in name]
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
    "data.episodes": 0.0,
    "data.subset_seed": 2**32,
    "data.label_draw": -1,
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


def with_value(key, value):
    config = common.base("debug").to_dict()
    section = config
    *path, name = key.split(".")
    for part in path:
        section = section.setdefault(part, {})
    section[name] = value
    return ConfigDict(config)


def table_of(name, known):
    """The key of the table `known` that a config's key belongs to: names in mappings are free."""
    parts = name.split(".")
    names = [".".join(parts[:length]) for length in range(1, len(parts) + 1)]
    return next((name for name in names if name in known), None)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_in_range_and_every_key_has_a_range(name):
    config = importlib.import_module(f"experiments.configs.{name}").get_config()
    check_config(config)
    known = keys_of(settings_of(config))
    assert [key for key, _ in flattened(config) if not table_of(key, known)] == []


def test_every_setting_says_what_it_is_for_and_its_default_is_in_range():
    for name, key in KEYS.items():
        assert key.help and key.range.text, name
        if key.default not in (None, dataclasses.MISSING) and not isinstance(key.default, dict):
            assert key.range.holds(key.default), name


@pytest.mark.parametrize("kinds", [ENCODERS, DECODERS, QUANTIZERS, SAMPLERS])
def test_kinds_of_one_role_agree_on_the_range_of_a_key(kinds):
    told = {}
    for kind in kinds.values():
        for name, key in keys_of(kind).items():
            assert told.setdefault(name, key.range.text) == key.range.text, name


@pytest.mark.parametrize("kinds", [ENCODERS, DECODERS, QUANTIZERS])
def test_every_field_of_a_module_is_a_key_or_comes_from_elsewhere(kinds):
    elsewhere = {"parent", "name", "slots", "features", "image_size", "image_channels", "residual",
                 "dtype"}  # fmt: skip
    for kind in kinds.values():
        # Sections within are known by their own keys, groups of settings by those of their fields.
        groups = {f.name for f in dataclasses.fields(kind) if dataclasses.is_dataclass(f.type)}
        fields = {field.name for field in dataclasses.fields(kind)} - elsewhere - groups
        assert fields <= {key.partition(".")[0] for key in keys_of(kind)}, kind


@pytest.mark.parametrize("key", OUTSIDE)
def test_a_value_outside_is_told_with_its_key_and_range(key):
    value = OUTSIDE[key]
    with pytest.raises(ConfigError) as error:
        check_config(with_value(key, value))
    told = str(error.value)
    assert told.startswith(f"bad config: config.{key}={value!r} ") and KEYS[key].range.text in told
    assert "\n" not in told, "nothing else is wrong"


@pytest.mark.parametrize(
    "key, value",
    [
        ("seed", 2**32 - 1),
        ("watchdog_seconds", 0),
        ("watchdog_seconds", 1),
        ("batch_size", {"labelled": 8, "video": 56}),
        ("data.gap", [1, 4]),
        ("data.gap", "0.5s"),
        ("data.gap", ("0.2s", "0.6s")),
        ("data.datasets", "one"),
        ("data.fields", ["action"]),
        ("model.image_size", (48, 64)),
        ("model.keep.count", None),
        ("optimizer.b1", 0),
        ("optimizer.learning_rate", 0.0),
        ("mesh.data", -1),
        ("augmentation.crop_scale", [1.0, 1.0]),
        ("data.mixture", {"a": {"weight": 0.5, "gap": (1, 2), "datasets": "one"}}),
    ],
)
def test_bounds_and_all_forms_belong_to_a_range(key, value):
    check_config(with_value(key, value))


@pytest.mark.parametrize(
    "key, value",
    [
        ("batch_size", 8.0),
        ("batch_size", True),
        ("batch_size", "8"),
        ("batch_size", None),
        ("optimizer.b2", "0.9"),
        ("optimizer.clip_norm", False),
        ("log.wandb", None),
        ("model.quantizer.levels", 3),
        ("augmentation.crop_scale", 1.0),
        ("watchdog_seconds", 0.5),
        ("model.slots", 2**31),
        ("optimizer", 3),
    ],
)
def test_other_kinds_of_values(key, value):
    with pytest.raises(ConfigError, match=f"config.{key}={value!r}"):
        check_config(with_value(key, value))


def test_all_wrong_keys_are_told_at_once():
    config = with_value("optimizer.b2", 2.0)
    config.optimizer.lr = 0.1
    config.seed = -1
    with pytest.raises(ConfigError) as error:
        check_config(config)
    for told in (
        "config.optimizer.b2=2.0 ",
        "unknown config key config.optimizer.lr; known: accum",
    ):
        assert told in str(error.value)
    assert "config.seed=-1 " in str(error.value)


def test_entries_of_a_mixture_and_weights_and_streams():
    for key in ("gap", "transitions", "fraction", "subset_seed", "weight"):
        with pytest.raises(ConfigError, match=f"config.data.mixture.a.{key}=-1"):
            check_config(with_value("data.mixture", {"a": {key: -1}}))
    with pytest.raises(ConfigError, match="config.data.datasets.a=0"):
        check_config(with_value("data.datasets", {"a": 0}))
    with pytest.raises(ConfigError, match="config.batch_size.video=0"):
        check_config(with_value("batch_size", {"labelled": 3, "video": 0}))


@pytest.mark.parametrize("key", [*REQUIRED, "optimizer", "data", "model", "loss", "mesh"])
def test_a_missing_key_is_named(key):
    config = common.base("debug").to_dict()
    section = config
    *path, name = key.split(".")
    for part in path:
        section = section[part]
    del section[name]
    with pytest.raises(ConfigError, match=f"lacks {key};"):
        check_config(config)


def test_keys_of_a_kind_from_elsewhere_are_its_own():
    config = with_value("kind", "tests.experiments.joint_task")  # It has no SETTINGS.
    config.kitchen = 3
    config.model = {"stoves": -1}
    check_config(config)
    config.seed = -1
    with pytest.raises(ConfigError, match="config.seed=-1 "):
        check_config(config)
    assert "model.slots" in KEYS and "model.slots" not in keys_of(TaskSettings)


def test_the_table_for_people_has_every_key():
    lines = describe(LamConfig).splitlines()
    assert [line.split()[0] for line in lines] == list(KEYS)


def test_values_of_several_types_are_told_by_their_annotation():
    assert several_types(type(common.LamSettings(64, 3, 4))) == {"image_size"}


def test_a_kind_with_settings_of_its_own_is_checked_by_them():
    config = toy_family.get_config()
    check_config(config)
    config.hidden = 0
    with pytest.raises(ConfigError, match="config.hidden=0 must be at least 1"):
        check_config(config)
