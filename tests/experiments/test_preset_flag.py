"""The flag --config: every key is a flag, mistakes are one message, bugs keep their traceback."""

import sys
import traceback

import pytest
from absl import flags

from data_pipelines.loading.options import Entry, LoaderOptions, loader_options
from experiments import cli, preset_flag
from experiments.configs.keys import LamConfig
from experiments.tasks.registry import check_config
from flexlam_jax.config.settings import keys_of
from flexlam_jax.errors import ConfigError

PRESET = "experiments/configs/debug.py"
TINY = "tests/experiments/tiny.py"  # Leaves out whatever has a default.


def parse(monkeypatch, preset, *given):
    values = flags.FlagValues()
    preset_flag.define_config("A preset.", values)
    monkeypatch.setattr(sys, "argv", ["", f"--config={preset}", *given])
    values(sys.argv)
    return values.config


def refused(monkeypatch, preset, *given):
    with pytest.raises(preset_flag.Failed) as failed:
        parse(monkeypatch, preset, *given)
    assert isinstance(failed.value.__cause__, ConfigError)
    return str(failed.value.__cause__)


@pytest.mark.parametrize("preset", [PRESET, TINY])
def test_every_field_of_every_dataclass_is_a_flag(monkeypatch, preset):
    given = {}
    for name, key in keys_of(LamConfig).items():
        if not isinstance(key.default, dict) and key.range.holds(key.default):
            given[name] = key.default
    assert {"data.fraction", "data.pair_with", "data.subset_seed", "data.transitions"} <= set(given)
    texts = [f"--config.{name}={value}" for name, value in given.items() if value != ""]
    config = parse(monkeypatch, preset, *texts)
    for name, value in given.items():
        if value != "":
            *path, last = name.split(".")
            section = config
            for part in path:
                section = section[part]
            assert section[last] == value, name


def test_every_option_of_the_loader_is_reachable_also_in_a_mixture(monkeypatch):
    names = [key for key in keys_of(LoaderOptions)]
    assert {f"data.{name}" for name in names} <= set(keys_of(LamConfig))
    values = {"path": "somewhere", "weight": 0.5, "gap": "0.2s", "fraction": 0.5, "cameras": "top"}
    assert set(values) <= set(keys_of(Entry))
    config = parse(
        monkeypatch, PRESET, *(f"--config.data.mixture.a.{k}={v}" for k, v in values.items())
    )
    check_config(config)
    entry = loader_options(config.data).entries["a"]
    assert (entry.path, entry.weight, entry.gap) == ("somewhere", 0.5, "0.2s")
    assert (entry.fraction, entry.cameras) == (0.5, ("top",))


@pytest.mark.parametrize(
    "given, value",
    [
        (["--config.data.datasets={'a': 0.5}"], {"a": 0.5}),
        (["--config.data.datasets=a"], "a"),
        (["--config.data.datasets=('a', 'b')"], ("a", "b")),
        (["--config.data.datasets=()"], ()),
    ],
)
def test_every_form_of_datasets(monkeypatch, given, value):
    assert parse(monkeypatch, "experiments/configs/doom.py", *given).data.datasets == value


def test_variants_that_every_preset_has_combine(monkeypatch):
    config = parse(monkeypatch, f"{PRESET}:fixed=4,shift=3")
    assert config.model.keep.count == 4 and config.augmentation.shift == 3


def test_settings_of_another_kind_are_flags(monkeypatch):
    config = parse(
        monkeypatch,
        PRESET,
        "--config.model.keep.kind=geometric",
        "--config.model.keep.rate=0.3",
        "--config.model.encoder.positions=sincos",
        "--config.optimizer.groups.slow.pattern=encoder",
        "--config.batch_size={'labelled': 2, 'video': 6}",
    )
    check_config(config)
    assert config.model.keep.to_dict() == {"kind": "geometric", "rate": 0.3}
    assert config.optimizer.groups.slow.pattern == "encoder"
    assert config.batch_size == {"labelled": 2, "video": 6}


@pytest.mark.parametrize(
    "preset, given, told",
    [
        (PRESET, "--config.optimizer.lr=3", "unknown config key in --config.optimizer.lr=3; conf"),
        (PRESET, "--config.optimizer.lr=3", "config.optimizer has accumulate, b1, b2"),
        (PRESET, "--config.optimiser.b1=3", "unknown config key in --config.optimiser.b1=3; "),
        (PRESET, "--config.seed.x=3", "unknown config key in --config.seed.x=3; config has"),
        (PRESET, "--config.data.mixtures.a.path=x", "config.data has actions_between, "),
        (f"{PRESET}:huge", "", "unknown variant 'huge'; this preset has ['fixed', 'shift']"),
        (f"{PRESET}:fixed=x", "", "variant fixed=x: give the number of slots"),
        (f"{PRESET}:shift=", "", "variant shift=: give a number of pixels"),
        (f"{TINY}:debug", "", "this preset has no variants"),
        ("nowhere.py", "", "there is no file 'nowhere.py'"),
        ("experiments/configs", "", "there is no file 'experiments/configs'"),
        ("README.md", "", "--config is no preset, a Python file as"),
        ("experiments/cli.py", "", "experiments/cli.py has no function get_config"),
    ],
)
def test_mistakes_are_told(monkeypatch, preset, given, told):
    assert told in refused(monkeypatch, preset, *filter(None, [given]))


def test_files_that_are_no_presets(monkeypatch, tmp_path):
    (tmp_path / "broken.py").write_text("def get_config(:")
    (tmp_path / "dict.py").write_text("def get_config(): return {}")
    assert "broken.py" in refused(monkeypatch, tmp_path / "broken.py")
    assert "returns dict, not an ml_coll" in refused(monkeypatch, tmp_path / "dict.py")


@pytest.mark.parametrize(
    "bug, kind",
    [
        ("{}['missing']", KeyError),
        ("int('x')", ValueError),
        ("len(3)", TypeError),
        ("None.x", AttributeError),
        ("undefined", NameError),
        ("__import__('not_installed')", ImportError),
    ],
)
def test_a_bug_in_a_preset_keeps_its_traceback(monkeypatch, tmp_path, capsys, bug, kind):
    preset = tmp_path / "preset.py"
    preset.write_text(f"def get_config():\n    return {bug}  # Here.\n")
    values = flags.FlagValues()
    preset_flag.define_config("A preset.", values)
    monkeypatch.setattr(flags, "FLAGS", values)
    monkeypatch.setattr(sys, "argv", ["", f"--config={preset}"])
    with pytest.raises(kind) as error:
        cli._parse(sys.argv)
    told = "".join(traceback.format_exception(error.value))
    assert "# Here." in told and "bad config" not in told and capsys.readouterr().err == ""


def test_what_a_person_can_mend_is_one_line(monkeypatch, capsys):
    values = flags.FlagValues()
    preset_flag.define_config("A preset.", values)
    monkeypatch.setattr(flags, "FLAGS", values)
    for given in ("--config.optimizer.lr=3", "--config.optimizer.b1=x", "--config.data.fields=(a,"):
        monkeypatch.setattr(sys, "argv", ["", f"--config={PRESET}", given])
        with pytest.raises(SystemExit):
            cli._parse(sys.argv)
        told = capsys.readouterr().err
        assert told.startswith("error: ") and len(told.splitlines()) == 1 and given in told


def test_help_of_a_binary_lists_the_flag_and_every_key():
    values = flags.FlagValues()
    preset_flag.define_config("A preset.", values)
    listed = values.module_help(sys.modules[__name__])  # What --help prints of the calling module.
    assert "--config:" in listed
    assert [key for key in keys_of(LamConfig) if key not in listed] == []
