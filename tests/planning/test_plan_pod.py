"""The command `plan_pod`, and plans that do not fit."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from experiments.tasks.registry import on_paper
from flexlam_jax.models.transformer import REMAT_NAMES
from flexlam_jax.planning.compile import Memory, _out_of_memory
from flexlam_jax.planning.plan import Plan, plan
from flexlam_jax.planning.report import describe, table, table_row, table_rows
from flexlam_jax.planning.roofline import Roofline
from flexlam_jax.planning.search import changed, flags, remedies, search
from flexlam_jax.planning.topology import has_compiler, parse_topology
from tests.experiments.command_lines import run_lines
from tests.experiments.tiny import get_config

REPO = Path(__file__).resolve().parents[2]


def plan_pod(*flags):
    return subprocess.run(
        [sys.executable, "-m", "experiments.plan_pod", *flags],
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=500,
    )


def test_a_preset_for_v5e_256(tmp_path):
    """With the TPU compiler where libtpu is installed, else on 256 virtual devices."""
    rows = tmp_path / "rows.jsonl"
    done = plan_pod(
        "--config=experiments/configs/debug.py",
        "--topology=v5e-256",
        "--config.batch_size=512",
        "--config.mesh.data=64",
        "--config.mesh.fsdp=4",
        "--config.mesh.fsdp_min_size=1024",
        f"--json={rows}",
    )
    assert done.returncode == 0, done.stderr
    (row,) = map(json.loads, rows.open())
    assert row["compiler"] == ("tpu" if has_compiler() else "cpu")
    assert row["chips"] == 256 and row["mesh"] == {"slice": 1, "data": 64, "fsdp": 4, "model": 1}
    assert row["transitions"] == 512 and row["fits"] and row["limit"] == 15.75 * 2**30
    memory = row["memory"]
    # Two clips of two 64x64 frames (debug has clips of two), and less than the whole state.
    assert 2 * 2 * 64 * 64 * 3 < memory["argument"] < 12 * row["parameters"]
    assert memory["alias"] >= 0.95 * memory["output"]  # All of the state is donated.
    kinds = row["collectives"]
    assert kinds["all-reduce"]["count"] > 0
    # What the devices gather is the parameters, in the forward pass and again in the backward one
    # (float32, as the debug preset computes); rings of permutes stand for some of them on TPU.
    gathered = sum(
        kinds.get(kind, {"bytes": 0})["bytes"] for kind in ("all-gather", "collective-permute")
    )
    assert 0 < gathered < 4 * 4 * row["parameters"]
    roof = row["roofline"]
    assert roof["seconds_overlapped"] == max(
        roof[term] for term in ("compute", "memory", "interconnect", "network")
    )
    assert row["executed_flops"] >= 0.98 * row["model_flops"] > 0
    assert done.stdout.startswith("FITS: ") and "sums over devices" in done.stdout
    assert roof["memory_least"] > 0
    assert ("libtpu is not installed" in done.stdout) != has_compiler()


def test_bad_input_is_one_message():
    told = {
        "there is no TPU topology 'v5e-300'": ["--topology=v5e-300"],
        "cannot write /nowhere/rows.jsonl": ["--topology=v5e-8", "--json=/nowhere/rows.jsonl"],
        "--config is no preset, a Python file": ["--topology=v5e-8", "--config=README.md"],
        # The only one that gets as far as to devices, of which a process has one number.
        "batch_size=12 must be a multiple of 8": ["--topology=v5e-8", "--config.batch_size=12"],
    }
    preset = "--config=experiments/configs/debug.py"
    said = run_lines("plan_pod", [[preset, *flags] for flags in told.values()])
    for (code, _, err, _), message in zip(said, told, strict=True):
        assert code == 1 and message in err and "Traceback" not in err, err


@pytest.fixture(scope="module")
def tiny_plan():
    """The tiny LAM on one virtual device, with a chip that has half a MiB of memory."""
    topology = parse_topology("v5e-1")
    chip = dataclasses.replace(topology.chip, hbm_bytes=2**19)
    return plan(get_config(), dataclasses.replace(topology, chip=chip), jax.devices()[:1], on_paper)


def test_a_plan_that_does_not_fit_says_by_how_much(tiny_plan):
    assert not tiny_plan.fits and tiny_plan.rate == 0.0
    large = dataclasses.replace(tiny_plan, needed=20 * 2**30, limit=15.75 * 2**30)
    assert describe(large).startswith(
        "DOES NOT FIT: 20.00 of 15.75 GiB per device, 4.25 GiB too much, on v5e-1 (1 chip, mesh 1)"
    )
    row = table_row("tiny", tiny_plan)
    assert row.endswith("| no |")
    assert table_rows(table([row])) == {("tiny", "v5e-1"): row}
    assert table_rows("| other | columns |\n| --- | --- |\n" + row) == {}


def test_memory_is_state_and_batch(tiny_plan):
    config = get_config()
    frames = config.batch_size * 3 * 16 * 16 * 3
    # Value, two moments and average of each parameter; the codebook and counters are small.
    state = tiny_plan.memory.argument - frames
    assert 16 * tiny_plan.parameters < state < 16 * tiny_plan.parameters + 4096
    assert tiny_plan.memory.peak >= tiny_plan.memory.argument


@pytest.mark.parametrize(
    "text, needed",
    [
        (
            "RESOURCE_EXHAUSTED: Used 306.85G of 15.75G hbm. Exceeded hbm capacity by 291.1G.",
            306.85,
        ),
        (
            "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO "
            "temporaries (23.17G) exceeds available HBM (15.75G).",
            23.17,
        ),
    ],
)
def test_the_compilers_words_for_too_large(text, needed):
    error = _out_of_memory(text)
    assert (error.needed, error.limit) == pytest.approx((needed * 2**30, 15.75 * 2**30))
    assert _out_of_memory("INTERNAL: " + text[20:]) is None


def made(config, needed=1.0, fast=False):
    """A plan as the compiler would make it, without one."""
    terms = dict.fromkeys(("memory", "memory_least", "interconnect", "network"), 0.0)
    mesh = {axis: config.mesh.get(axis, 1) for axis in ("slice", "data", "fsdp", "model")}
    return Plan(
        topology="v5e-8",
        chips=8,
        mesh=mesh,
        batch_size=config.batch_size,
        transitions=config.batch_size,
        accumulate=config.optimizer.accumulate,
        remat=config.model.remat,
        parameters=1,
        limit=10.0,
        needed=needed,
        compiler="tpu",
        memory=Memory(0, 0, 0, 0, 0),
        roofline=Roofline(compute=1.0 if fast else 1.5, ideal=1.0, sent={}, **terms),
    )


def test_search_changes_one_setting_at_a_time_and_keeps_the_best():
    config, topology = get_config(), parse_topology("v5e-8")
    tried, told = [], []

    def compile_one(variant):
        tried.append((variant.mesh.fsdp, variant.model.remat, variant.batch_size))
        if variant.model.remat == "none" and variant.batch_size == 8 and variant.mesh.fsdp == 4:
            raise jax.errors.JaxRuntimeError("INTERNAL: the compiler gave up\nmore")
        return made(
            variant, needed=11.0 if variant.batch_size > 16 else 5.0, fast=variant.mesh.fsdp == 8
        )

    plans = search(config, topology, compile_one, limit=9, told=lambda *x: told.append(x))
    remats = [remat for remat in REMAT_NAMES if remat != "none"]
    # The config itself (1x8 devices of data), other meshes, then remat and batch of the fastest:
    # 16 is faster still, 32 does not fit, 4 does not divide.
    assert tried[:3] == [(1, "none", 8), (8, "none", 8), (4, "none", 8)]
    assert [entry[1:] for entry in tried[4 : 4 + len(remats)]] == [(name, 8) for name in remats]
    assert {entry[2] for entry in tried} >= {8, 16} and len(tried) == len(set(tried)) <= 9
    assert [p.fits for p in plans] == sorted((p.fits for p in plans), reverse=True)
    assert plans[0].mesh["fsdp"] == 8 and plans[0].batch_size == 16
    assert len(plans) == len(tried) - 1 and any(isinstance(x[1], Exception) for x in told)
    assert config == get_config()


def test_flags_of_a_plan_are_those_of_its_config():
    variant = changed(
        get_config(), batch_size=64, remat="full", accumulate=2, mesh=dict(data=2, fsdp=2, model=2)
    )
    text = flags(made(variant))
    for setting in (
        "batch_size=64",
        "model.remat=full",
        "optimizer.accumulate=2",
        "mesh.data=2",
        "mesh.fsdp=2",
        "mesh.model=2",
    ):
        assert f"--config.{setting}" in text.split()


def test_remedies_are_ordered_and_divide():
    config, topology = get_config(), parse_topology("v5e-4")
    config.batch_size = 16
    changes = dict(remedies(config, topology))
    assert list(changes)[0] == "--config.model.remat=full"
    assert [c.optimizer.accumulate for c in changes.values()] == [1, 1, 2, 4]
    assert all(c.batch_size == 16 for c in changes.values())
