"""Latents on disk: what is read is what was written."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

import flexlam_jax
from flexlam_jax.errors import DamagedFile
from flexlam_jax.latents import (
    Latents,
    Manifest,
    file_name,
    read_manifest,
    verify,
    write_latents,
    write_manifest,
)

NAME = "sq uare/train.npz"


def rows(ids=True, count=50):
    slots = np.arange(count * 6, dtype=np.float32).reshape(count, 3, 2)
    number = np.arange(count, dtype=np.int32)
    return Latents(
        slots,
        slots[..., 0].astype(np.int32) if ids else None,
        number.astype(np.int64),
        number,
        np.ones(count, np.int32),
    )


def write(folder, latents):
    manifest = Manifest(
        model="m",
        step=3,
        gap=1,
        data="d",
        slots=3,
        slot_width=2,
        codebook_size=9,
        budgets=(1, 2),
        null=(0.5, 1.5),
    )
    manifest.files[NAME] = write_latents(folder, NAME, latents)
    write_manifest(folder, manifest)
    return manifest


def change_manifest(folder, change):
    values = json.loads((folder / "manifest.json").read_text())
    del values["sha256"]  # As early versions wrote it; test_a_changed_manifest_is_noticed has it.
    change(values)
    (folder / "manifest.json").write_text(json.dumps(values))


@pytest.mark.parametrize("ids", [True, False])
def test_what_was_written_is_read(tmp_path, ids):
    manifest = write(tmp_path, rows(ids))
    assert read_manifest(tmp_path) == manifest and read_manifest(tmp_path / "none") is None
    read = flexlam_jax.read_latents(tmp_path, "sq uare", "train")
    for name, value in dataclasses.asdict(rows(ids)).items():
        np.testing.assert_array_equal(getattr(read, name), value)


def test_every_changed_bit_is_noticed(tmp_path):
    write(tmp_path, rows(count=3))
    content = (tmp_path / NAME).read_bytes()
    for at in range(0, len(content), 37):
        changed = bytearray(content)
        changed[at] ^= 1 << (at % 8)
        (tmp_path / NAME).write_bytes(changed)
        with pytest.raises(DamagedFile, match="does not match its sha256"):
            flexlam_jax.read_latents(tmp_path, "sq uare", "train")


@pytest.mark.parametrize(
    "damage, told",
    [
        (lambda folder: (folder / NAME).unlink(), "cannot be read .No such file"),
        (lambda folder: (folder / NAME).write_bytes(b"PK"), "has 2 bytes instead of"),
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json is missing; make some"),
        (lambda folder: (folder / "manifest.json").write_bytes(b"\xff"), "it is not JSON"),
        (
            lambda folder: (folder / "manifest.json").write_text("[]"),
            "expected `object`, got `array`",
        ),
        (lambda folder: change_manifest(folder, lambda m: m.update(format=2)), "has format 2"),
        (lambda folder: change_manifest(folder, lambda m: m.update(gap="x")), 'gap: .* it is "x"'),
        (
            lambda folder: change_manifest(folder, lambda m: m["files"][NAME].update(bytes="1")),
            r"files\['sq uare/train.npz'\], is damaged: bytes: expected `int`, got `str`",
        ),
        (
            lambda folder: change_manifest(folder, lambda m: m.update(step=None)),
            "step: .* it is null",
        ),
        (
            lambda folder: change_manifest(folder, lambda m: m["files"].clear()),
            "holds: nothing yet",
        ),
    ],
)
def test_damage_is_one_message(tmp_path, damage, told):
    write(tmp_path, rows())
    damage(tmp_path)
    with pytest.raises(DamagedFile, match=told):
        flexlam_jax.read_latents(tmp_path, "sq uare", "train")


@pytest.mark.parametrize(
    "old, new",
    [('"gap": 1', '"gap": 3'), ("0.5", "0.25"), ('"transitions": 50', '"transitions": 58')],
)
def test_a_changed_manifest_is_noticed(tmp_path, old, new):
    write(tmp_path, rows())
    file = tmp_path / "manifest.json"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(DamagedFile, match="its fields are not those that were written"):
        flexlam_jax.read_latents(tmp_path, "sq uare", "train")


def early(folder, arrays, **options):
    """A file that the manifest has no sha256 of, as early versions and strangers write it."""
    write(folder, rows())
    options.get("save", np.savez)(folder / NAME, **arrays)

    def change(values):
        del values["files"][NAME]["sha256"]
        values["files"][NAME]["bytes"] = (folder / NAME).stat().st_size

    change_manifest(folder, change)


def test_files_of_early_versions_are_read(tmp_path, caplog):
    caplog.set_level("INFO")
    early(tmp_path, dataclasses.asdict(rows()))
    verify(tmp_path, NAME, read_manifest(tmp_path).files[NAME])
    np.testing.assert_array_equal(
        flexlam_jax.read_latents(tmp_path, "sq uare", "train").t, np.arange(50)
    )
    assert "cannot be verified" in caplog.text


@pytest.mark.parametrize(
    "arrays, save, told",
    [
        ({"t": np.array([{}], object)}, np.savez, "Object arrays cannot be loaded"),
        ({"t": np.arange(50)}, np.savez, "t is int64 .50,., the manifest says"),
        ({"slots": np.zeros((50, 3, 3), np.float32)}, np.savez, "slots is float32 .50, 3, 3."),
        ({"extra": np.zeros(10**6)}, np.savez_compressed, "it holds other arrays"),
    ],
)
def test_other_files_behind_a_manifest_are_refused(tmp_path, arrays, save, told):
    early(tmp_path, dataclasses.asdict(rows()) | arrays, save=save)
    with pytest.raises(DamagedFile, match=told):
        flexlam_jax.read_latents(tmp_path, "sq uare", "train")


@pytest.mark.parametrize(
    "dataset, split",
    [("..", "x"), ("a/b", "x"), ("", "x"), ("a", "../x"), ("a", "\\x"), ("/etc", "x")],
)
def test_names_lead_nowhere_else(tmp_path, dataset, split):
    write(tmp_path, rows())
    shutil.copytree(tmp_path / "sq uare", tmp_path / "a")
    with pytest.raises(DamagedFile, match="is no name of a dataset"):
        file_name(dataset, split)
    with pytest.raises(DamagedFile, match="is no name of a dataset"):
        flexlam_jax.read_latents(tmp_path, dataset, split)
