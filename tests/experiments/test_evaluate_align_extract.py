"""The three binaries that read a trained model, run as a user runs them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import flexlam_jax
from data_pipelines.conversion.build import prepare
from data_pipelines.loading.loader import ordered_batches
from data_pipelines.registry import recipe_options
from flexlam_jax.errors import CheckpointError
from tests.experiments.command_lines import run_lines
from tests.untrained import MODEL, save_run

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """data/ (16 px) and other/ (24 px), runs flex/ and fixed/ trained on data/."""
    place = tmp_path_factory.mktemp("place")
    for name, size, episodes in (("data", 16, 16), ("other", 24, 4)):
        flags = (f"--size={size}", f"--episodes={episodes}")
        prepare("synthetic", place / name, recipe_options("synthetic", *flags))
    data = {"path": str(place / "data"), "datasets": [], "gap": 1}
    save_run(place / "flex", data=data)
    save_run(place / "fixed", MODEL | {"keep": {"kind": "fixed", "count": 2}}, data=data)
    return place


def run(binary, *arguments):
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(REPO)}
    # Probes are fitted for real here: running takes longer than compiling.
    environment["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "false"
    return subprocess.run(
        [sys.executable, "-m", f"experiments.{binary}", *map(str, arguments)],
        cwd=REPO,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def flip(file):
    """Changes a bit in the middle of a file."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


@pytest.fixture(scope="module")
def evaluated(place):
    result = run(
        "evaluate_lam",
        f"--checkpoint={place / 'flex'}",
        f"--compare=fixed_k2={place / 'fixed'}",
        f"--out={place / 'report'}",
        "--label_counts=64,all",
        "--draws=2",
        "--pictures=2",
        "--decode_limit=40",
    )
    assert result.returncode == 0, result.stderr
    return result


def test_evaluate_writes_the_report_and_prints_the_same_table(place, evaluated):
    report = json.loads((place / "report" / "report.json").read_text())
    page = (place / "report" / "report.html").read_text()
    assert [model["name"] for model in report["models"]] == ["flex", "fixed_k2"]
    assert [row["k"] for row in report["models"][0]["reconstruction"]] == [1, 2, 3]
    assert [row["k"] for row in report["models"][1]["reconstruction"]] == [2]
    assert report["metric"]["name"] == "accuracy" and report["data"]["action_names"][0] == "stay"
    assert report["data"]["split"] == "test" and "--draws=2" in report["run"]["command"]
    psnr = report["models"][0]["reconstruction"][2]["psnr"]
    cell = f"{psnr['mean']:.2f} ±{(psnr['high'] - psnr['low']) / 2:.2f}"
    assert cell in evaluated.stdout and cell in page
    for line in report["summary"]:
        assert line in evaluated.stdout
    assert sorted(file.name for file in (place / "report").iterdir()) == [
        "probes.csv",
        "report.html",
        "report.json",
    ]


def test_evaluate_counts_the_split(place, evaluated):
    data = json.loads((place / "report" / "report.json").read_text())["data"]
    splits = json.loads((place / "data" / "manifest.json").read_text())["splits"]
    assert data["test_transitions"] == splits["test"]["transitions"]
    assert data["test_episodes"] == splits["test"]["episodes"]
    assert data["train_transitions"] == splits["train"]["transitions"]


def test_extract_joins_the_dataset_and_resumes(place):
    out = place / "latents"
    command = (
        "extract_latents",
        f"--checkpoint={place / 'flex'}",
        f"--out={out}",
        "--splits=test,train,validation",
        "--format=npz",
    )
    first = run(*command)
    assert first.returncode == 0, first.stderr
    manifest = json.loads((out / "manifest.json").read_text())
    lam = flexlam_jax.load(place / "flex")
    assert manifest["model"] == lam.fingerprint() and manifest["codebook_size"] == 9
    batch = next(ordered_batches(place / "data", (), "test", 32))
    with np.load(out / "square" / "test.npz", allow_pickle=False) as rows:
        assert len(rows["t"]) == manifest["files"]["square/test.npz"]["transitions"]
        for key in ("episode", "t", "gap"):
            np.testing.assert_array_equal(rows[key][:32], batch[key])
        expected = lam.encode(batch["frames"][:, 0], batch["frames"][:, 1])
        np.testing.assert_allclose(rows["slots"][:32], expected, atol=1e-5)
        assert rows["ids"].dtype == np.int32
    before = (out / "square" / "test.npz").stat().st_mtime_ns
    (out / "square" / "train.npz").unlink()
    flip(out / "square" / "validation.npz")
    again = run(*command)
    assert "already there" in again.stdout and (out / "square" / "train.npz").exists()
    assert again.stdout.count("does not match its sha256") == 1
    for split in ("train", "validation"):
        assert len(flexlam_jax.read_latents(out, "square", split).slots)
    assert (out / "square" / "test.npz").stat().st_mtime_ns == before
    save_run(place / "third", steps=(4,))
    other = run(
        "extract_latents",
        f"--checkpoint={place / 'third'}",
        f"--data={place / 'data'}",
        f"--out={out}",
        "--splits=test",
    )
    assert other.returncode == 1 and "latents of another model" in other.stderr


def test_align_saves_a_translator_that_loads(place):
    command = (
        "align_translator",
        f"--checkpoint={place / 'flex'}",
        f"--workdir={place / 'translator'}",
        "--labels=64",
    )
    result = run(*command)
    assert result.returncode == 0, result.stderr
    assert "k =  3: validation accuracy" in result.stdout
    translator = flexlam_jax.load_translator(place / "translator")
    lam = flexlam_jax.load(place / "flex")
    frames = np.zeros((5, 16, 16, 3), np.uint8)
    codes = lam.encode(frames, frames, keep=2)
    actions = translator(codes)
    assert actions.shape == (5,) and translator.config.action_names[0] == "stay"
    assert translator.config.lam["fingerprint"] == lam.fingerprint()
    (code, out, _, _), (changed, _, err, _) = run_lines(
        command[0], [command[1:], [*command[1:-1], "--labels=32"]]
    )
    assert code == 0 and "already there" in out
    assert changed == 1 and "made with other settings" in err
    weights = place / "translator" / "checkpoints" / "0" / "params"
    flip(max(weights.rglob("d/*"), key=lambda file: file.stat().st_size))
    with pytest.raises(CheckpointError):
        flexlam_jax.load_translator(place / "translator")
    ((code, out, _, _),) = run_lines(command[0], [command[1:]])
    assert code == 0 and "fitted again: " in out
    again = flexlam_jax.load_translator(place / "translator").outputs(codes)
    np.testing.assert_allclose(again, translator.outputs(codes), atol=1e-5)


def test_benchmark_measures_loading_and_encoding(place):
    result = run("benchmark", f"--checkpoint={place / 'flex'}", "--what=load,encode", "--repeats=1")
    assert result.returncode == 0, result.stderr
    row = json.loads(result.stdout)
    assert row["load"]["seconds_to_first_code"] > 0 and row["encode"]["pairs_per_second"] > 0


# What test_refused_commands does not have.
BAD = {
    "evaluate_lam": {
        "no checkpoint in": ["--checkpoint={place}/nowhere"],
        "frames of 24x24x3, the model reads 16x16x3": ["--data={place}/other"],
        "no split 'holdout'": ["--split=holdout"],
        "two models 'flex'": ["--compare=flex={place}/fixed"],
        "[9] are outside 0..3": ["--budgets=1,9"],
        "'many' is not one of": ["--label_counts=many"],
    },
    "align_translator": {"transitions only": ["--workdir={place}/t2", "--labels=100000"]},
    "extract_latents": {"cannot write": ["--out={place}/data/manifest.json"]},
}


@pytest.mark.parametrize("binary", BAD)
def test_bad_input_is_one_message(place, binary):
    lines = [
        [f"--checkpoint={place}/flex", *(flag.format(place=place) for flag in flags)]
        for flags in BAD[binary].values()
    ]
    for (code, _, err, _), message in zip(run_lines(binary, lines), BAD[binary], strict=True):
        errors = [line for line in err.splitlines() if line.startswith("error: ")]
        assert code == 1 and len(errors) == 1 and message in errors[0], err
        assert "Traceback" not in err
