"""Latents as sidecars: equal to those of one file, joined by the loader, resumed, shared."""

import json
import shutil

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from absl import flags

import flexlam_jax
from data_pipelines.conversion.build import prepare
from data_pipelines.errors import DataError
from data_pipelines.format.manifest import open_dataset
from data_pipelines.format.sidecars import split_fingerprint
from data_pipelines.loading.loader import training_batches
from data_pipelines.loading.options import loader_options
from data_pipelines.registry import recipe_options
from experiments import lam_inputs, latent_files, preset_flag
from experiments.data_hashes import data_hashes
from experiments.export_cards import model_card
from flexlam_jax.errors import DamagedFile
from flexlam_jax.loading.action_card import (
    FORMAT,
    ActionCard,
    CodeCard,
    Source,
    Thresholds,
    sealed,
)
from tests.experiments.command_lines import run_lines
from tests.untrained import save_run

SPLITS = "--splits=train,test"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """data/ (16 px), runs flex/ and other/ trained on it."""
    place = tmp_path_factory.mktemp("place")
    options = recipe_options("synthetic", "--size=16", "--episodes=16")
    prepare("synthetic", place / "data", options)
    data = {"path": str(place / "data"), "datasets": [], "gap": 1}
    save_run(place / "flex", data=data)
    save_run(place / "other", steps=(4,), data=data)
    return place


@pytest.fixture(scope="module")
def lam(place):
    return flexlam_jax.load(place / "flex")


def flip(file):
    content = bytearray(file.read_bytes())
    content[-3] ^= 4
    file.write_bytes(content)


@pytest.fixture(scope="module")
def extracted(place):
    """sidecar/, npz/ and shared/, of which a second process wrote its part first; the answers."""

    def line(out, run="flex", *more):
        return [f"--checkpoint={place / run}", f"--out={place / out}", SPLITS, *more]

    lines = {
        "npz": line("npz", "flex", "--format=npz"),
        "sidecar": line("sidecar"),
        "second": line("shared", "flex", "--shard=1/2", "--format=rlds"),
        "first": line("shared", "flex", "--shard=0/2", "--format=rlds"),
        "again": line("shared"),
        "other": line("sidecar", "other"),
        "no_shard": line("new", "flex", "--shard=2/2"),
        "no_number": line("new", "flex", "--shard=a/b"),
        "lerobot": line("shared", "flex", "--format=lerobot", "--keep=2"),
        "rlds": line("shared", "flex", "--format=rlds"),
        "lary": line("new", "flex", "--format=lary"),
        "other_keep": line("shared", "flex", "--format=lerobot"),
        "too_many": line("new", "flex", "--format=rlds", "--keep=4"),
        "keep": line("new", "flex", "--keep=2"),
        "fps": line("new", "flex", "--format=rlds", "--fps=10"),
        "beside_lary": line("new", "flex", "--format=lary", f"--beside={place}"),
        "beside": line("new", "flex", "--format=lerobot", f"--beside={place / 'data'}"),
        "unknown": line("new", "flex", "--format=zarr"),
        "npz_shard": line("new", "flex", "--shard=0/2", "--format=npz"),
    }
    return dict(zip(lines, run_lines("extract_latents", list(lines.values())), strict=True))


def assert_equal(a, b, **tolerance):
    for name in ("slots", "ids", "episode", "t", "gap"):
        one, other = getattr(a, name), getattr(b, name)
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, **({"atol": 0, "rtol": 0} | tolerance), err_msg=name)


def test_sidecars_and_npz_hold_the_same(place, extracted):
    for name in ("npz", "sidecar", "first"):
        assert extracted[name][0] == 0, extracted[name][2]
    assert not (place / "sidecar" / "square" / "train.npz").exists()
    for split in ("train", "test"):
        expected = flexlam_jax.read_latents(place / "npz", "square", split)
        for folder in ("sidecar", "shared"):
            assert_equal(flexlam_jax.read_latents(place / folder, "square", split), expected)
    assert sorted(file.name for file in (place / "sidecar").iterdir()) == [
        "data_card.md",
        "manifest.json",
        "model_card.md",
        "square",
    ]


def test_the_manifest_says_what_made_them(place, extracted, lam):
    facts = json.loads((place / "sidecar" / "square" / "train" / "sidecar.json").read_text())
    assert facts["made_by"]["model"] == lam.fingerprint() and facts["gap"] == 1
    np.testing.assert_array_equal(np.float32(facts["made_by"]["null"]), lam.null)
    assert facts["made_by"]["budgets"] == list(lam.budgets)
    assert facts["kind"] == "latents" and facts["alignment"] == "transition"


def test_the_loader_joins_them(place, extracted, lam):
    folder = str(place / "sidecar")
    sidecars = {"slots": {"path": folder, "model": lam.fingerprint()}, "ids": folder}
    config = {"path": str(place / "data"), "sidecars": sidecars}
    batches = training_batches(config, seed=0, batch_size=32)
    batch = next(batches)
    batches.close()
    slots, ids = lam.encode_with_ids(batch["frames"][:, 0], batch["frames"][:, 1])
    np.testing.assert_allclose(batch["slots"][:, 0], slots, atol=1e-5)
    np.testing.assert_array_equal(batch["ids"][:, 0], ids)
    config["sidecars"] = {"slots": {"path": folder, "model": "0" * 64}}
    with pytest.raises(DataError, match="data.sidecars.slots: .*was made by model"):
        training_batches(config, seed=0, batch_size=32)


def test_processes_share_a_folder(extracted):
    code, out, err, _ = extracted["second"]
    assert code == 0 and "1 of 1 blocks are missing; the other shards write them" in out, err
    assert "already there" in extracted["again"][1]
    # Whoever finds the latents of all splits writes the other format.
    assert "rlds/square/1.0.0" not in out and "rlds/square/1.0.0" in extracted["first"][1]


@pytest.mark.parametrize(
    "name, told",
    [
        ("other", "holds latents of another model"),
        ("no_shard", "--shard=2/2 is not i/n with 0 <= i < n"),
        ("no_number", "--shard=a/b is not i/n"),
        ("npz_shard", "--shard is for sidecars"),
        ("lary", "has 5 discrete actions; LARY's probe reads actions of 7 numbers"),
        ("other_keep", "another model, dataset or options (latents.keep 2 instead of 3)"),
        ("too_many", "--keep=4 is outside 0..3, the slots of the model"),
        ("keep", "--keep is for --format=lerobot, rlds, lary, not for --format=sidecar"),
        ("fps", "--fps is for --format=lerobot without --beside"),
        ("beside_lary", "--beside is for lerobot and rlds, not for --format=lary"),
        ("beside", "meta/info.json"),
        ("unknown", "--format"),
    ],
)
def test_what_is_refused(place, extracted, name, told):
    code, _, err, _ = extracted[name]
    assert code == 1 and told in err and not (place / "new").exists()


def test_other_formats_are_made_of_the_sidecars(place, extracted, lam):
    """Without encoding again; what tools of these formats read is tested where they are written."""
    for name in ("lerobot", "rlds"):
        code, out, err, _ = extracted[name]
        assert code == 0 and out.count("already there") == 2, err
    rows = flexlam_jax.read_latents(place / "shared", "square", "test")
    (episode, *_) = dict.fromkeys(rows.episode.tolist())
    table = pq.read_table(place / "shared/lerobot/square/data/chunk-000/file-000.parquet")
    first = json.loads((place / "shared/lerobot/square/meta/info.json").read_text())["splits"][
        "test"
    ]
    mine = table.filter(pc.field("episode_index") == int(first.split(":")[0])).to_pydict()
    count = len(mine["index"]) - 1
    assert (rows.episode[:count] == episode).all()
    np.testing.assert_array_equal(mine["latent_action.codes"][:count], rows.slots[:count])
    np.testing.assert_array_equal(mine["latent_action.ids"][:count], rows.ids[:count])
    np.testing.assert_array_equal(mine["latent_action.codes"][count], np.tile(lam.null, (3, 1)))
    assert mine["latent_action.ids"][count] == [lam.null_id] * 3
    assert mine["latent_action.keep"] == [2] * count + [0]
    # So a row with the mask ignored is the empty prefix, as the model itself has it.
    filled = lam.null_fill(
        np.float32(mine["latent_action.codes"]), np.int32(mine["latent_action.keep"])
    )
    ids = np.where(np.arange(3) < 2, mine["latent_action.ids"], lam.null_id)
    np.testing.assert_allclose(lam.slots_of(ids.astype(np.int32)), filled, atol=1e-6)
    assert (place / "shared/rlds/square/1.0.0/features.json").is_file()


def test_cards_travel_with_every_format(place, extracted, lam):
    for folder in ("npz", "sidecar", "shared", "shared/lerobot/square", "shared/rlds/square/1.0.0"):
        model, data = (
            (place / folder / name).read_text() for name in ("model_card.md", "data_card.md")
        )
        for card in (model, data):
            assert card.startswith("---\nlicense: unknown") and lam.fingerprint() in card
            assert "no validated intervention" in card and "python -m experiments.extract" in card
        info = open_dataset(place / "data")
        for split in ("train", "test"):
            assert split_fingerprint(info, "square", split) in data
        assert info.manifest["content_hash"] in data
    assert "`latent_action.keep`" in (place / "shared/lerobot/square/data_card.md").read_text()


def test_the_model_card_says_what_was_measured(lam, tmp_path):
    def card():
        return model_card(lam, str(tmp_path), "flex", "python -m this", "of today")

    assert "recorded no hashes" in card() and "Nothing yet" in card()
    (tmp_path / "run.json").write_text(json.dumps({"data": {"square/train": "5e" * 32}}))
    assert f"| square/train | `{'5e' * 32}` |" in card()
    report = {"models": [{"step": lam.step}], "summary": ["One slot gains 2 dB."]}
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation/report.json").write_text(json.dumps(report))
    assert "- One slot gains 2 dB." in card()
    report["models"][0]["step"] += 1
    (tmp_path / "evaluation/report.json").write_text(json.dumps(report))
    assert "One slot" not in card() and "is of another step (3)" in card()
    made_by = Source("flex", lam.step, lam.fingerprint())
    given = {"slots": ((0.0, 0.0),), "share": 0.5, "reliability": None, "labels": 40, "base": 0.2}
    given |= {"budget": 1, "obedience": None, "probe": None, "why": ""}
    codes = tuple(
        CodeCard(ids=(i,), action=action, validated=action == "left", **given)
        for i, action in enumerate(("left", "right"))
    )
    known = ActionCard(
        format=FORMAT,
        world=made_by,
        lam=made_by,
        translator=None,
        slots=3,
        null=(0.0, 0.0),
        action_names=("left", "right"),
        thresholds=Thresholds(),
        data={},
        codes=codes,
        leakage={},
        run={},
    )
    (tmp_path / "action_card.json").write_text(json.dumps(sealed(known)))
    told = "of 2 codes of 1 slots 1 were shown to stand for an action (left)"
    assert told in card()


@pytest.mark.parametrize(
    "damage, told",
    [
        (lambda split: flip(split / "slots.npy"), "slots.npy is damaged: it does not match"),
        (lambda split: (split / "ids.npy").unlink(), "ids.npy is damaged: No such file"),
        (lambda split: (split / "slots.npy").write_bytes(b""), "0 bytes instead of"),
        (lambda split: (split / "sidecar.json").unlink(), "holds no latents of dataset 'square'"),
        (lambda split: (split / "sidecar.json").write_text("[]"), "expected `object`"),
        (
            lambda split: (split / "sidecar.json").write_text(
                (split / "sidecar.json").read_text().replace('"gap": 1', '"gap": 3')
            ),
            "its fields are not those that were written",
        ),
        (
            lambda split: shutil.copytree(split.parent / "test", split, dirs_exist_ok=True),
            "holds latents of dataset 'square', split 'test': folders were renamed",
        ),
    ],
)
def test_damaged_sidecars_are_refused(place, extracted, tmp_path, damage, told):
    shutil.copytree(place / "sidecar", tmp_path / "copy")
    damage(tmp_path / "copy" / "square" / "train")
    with pytest.raises(DamagedFile, match=told):
        flexlam_jax.read_latents(tmp_path / "copy", "square", "train")


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(lam_inputs, "BATCH_SIZE", 64)
    monkeypatch.setattr(latent_files, "_BLOCK_ROWS", 128)


class Killed(BaseException):
    pass


def test_killed_it_goes_on_and_repeats_no_block(place, extracted, lam, tmp_path, small_blocks):
    source = lam_inputs.Source(open_dataset(place / "data"), ("square",), 1)
    rows = []

    def extract(until):
        manifest = latent_files.open_manifest(tmp_path, lam, source)

        def encode(o_t, o_next):
            if len(rows) == until:
                raise Killed
            rows.append(len(o_t))
            return lam.encode_with_ids(o_t, o_next)

        return latent_files.extract_sidecar(
            encode, source, "square", "train", tmp_path, manifest, (0, 1)
        )

    with pytest.raises(Killed):  # In the middle of the third block.
        extract(5)
    with pytest.raises(DamagedFile, match="it holds: nothing yet"):
        flexlam_jax.read_latents(tmp_path, "square", "train")
    total = extract(None)
    assert sum(rows) == total + 64  # The batch of the block that was not finished.
    expected = flexlam_jax.read_latents(place / "npz", "square", "train")
    assert_equal(flexlam_jax.read_latents(tmp_path, "square", "train"), expected, atol=1e-5)
    flip(tmp_path / "square" / "train" / "ids.npy")
    assert extract(None) == total and sum(rows) == 2 * total + 64
    assert_equal(flexlam_jax.read_latents(tmp_path, "square", "train"), expected, atol=1e-5)


def test_batches_are_split_over_the_devices(place, extracted, tmp_path, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=3")
    line = [f"--checkpoint={place / 'flex'}", f"--out={tmp_path / 'out'}", "--splits=test"]
    ((code, _, err, _),) = run_lines("extract_latents", [line])
    assert code == 0, err
    expected = flexlam_jax.read_latents(place / "npz", "square", "test")
    assert_equal(flexlam_jax.read_latents(tmp_path / "out", "square", "test"), expected, atol=1e-5)


def test_a_run_tells_sidecars_of_other_content(place, extracted):
    config = {"path": str(place / "data"), "sidecars": {"slots": str(place / "sidecar")}}
    hashes = data_hashes(config, ["train", "test"])
    assert set(hashes) == {
        f"square/{name}" for name in ("train", "train/slots", "test", "test/slots")
    }
    config["sidecars"]["slots"] = {"path": str(place / "shared")}  # The same, written by two.
    assert data_hashes(config, ["train", "test"]) == hashes
    assert hashes["square/train/slots"] != hashes["square/test/slots"]


def test_the_option_is_a_flag(place, extracted, lam, monkeypatch):
    values = flags.FlagValues()
    preset_flag.define_config("", values)
    given = {"path": place / "data", "sidecars.ids": place / "sidecar"}
    given |= {"sidecars.slots.path": place / "sidecar", "sidecars.slots.model": lam.fingerprint()}
    line = ["", "--config=experiments/configs/doom.py"]
    line += [f"--config.data.{key}={value}" for key, value in given.items()]
    monkeypatch.setattr("sys.argv", line)
    values(line)
    options = loader_options(values.config.data)
    assert options.sidecars == {
        "ids": str(place / "sidecar"),
        "slots": {"path": str(place / "sidecar"), "model": lam.fingerprint()},
    }
