"""The command `plan_pod`, and plans that do not fit."""

import dataclasses
import json
import os
from pathlib import Path
import subprocess
import sys

import jax
import pytest

from flexlam_jax.planning.compile import Memory, _out_of_memory
from flexlam_jax.planning.plan import Plan, plan
from flexlam_jax.planning.report import describe, table
from flexlam_jax.planning.search import remedies, search, variants
from flexlam_jax.planning.topology import has_compiler, parse_topology
from tests.experiments.tiny import get_config

REPO = Path(__file__).resolve().parents[2]


def plan_pod(*flags):
    return subprocess.run([sys.executable, "-m", "experiments.plan_pod", *flags], cwd=REPO,
                          capture_output=True, text=True, timeout=500,
                          env={**os.environ, "XLA_FLAGS": "--xla_backend_optimization_level=0"})


def test_a_preset_for_v5e_256(tmp_path):
    """With the TPU compiler where libtpu is installed, else on 256 virtual devices."""
    rows = tmp_path / "rows.jsonl"
    done = plan_pod("--config=experiments/configs/debug.py", "--topology=v5e-256",
                    "--config.batch_size=512", "--config.mesh.data=64", "--config.mesh.fsdp=4",
                    "--config.mesh.fsdp_min_size=1024", f"--json={rows}")
    assert done.returncode == 0, done.stderr
    (row,) = map(json.loads, rows.open())
    assert row["compiler"] == ("tpu" if has_compiler() else "cpu")
    assert row["chips"] == 256 and row["mesh"] == {"slice": 1, "data": 64, "fsdp": 4, "model": 1}
    assert row["transitions"] == 512 and row["fits"] and row["limit"] == 15.75 * 2**30
    memory = row["memory"]
    # Two clips of two 64x64 frames (debug has clips of two), and less than the whole state.
    assert 2 * 2 * 64 * 64 * 3 < memory["argument"] < 12 * row["parameters"]
    assert memory["alias"] >= 0.95 * memory["output"]    # All of the state is donated.
    kinds = row["collectives"]
    assert kinds["all-reduce"]["count"] > 0
    # What the devices gather is the parameters, in the forward pass and again in the backward one
    # (float32, as the debug preset computes); rings of permutes stand for some of them on TPU.
    gathered = sum(kinds.get(kind, {"bytes": 0})["bytes"]
                   for kind in ("all-gather", "collective-permute"))
    assert 0 < gathered < 4 * 4 * row["parameters"]
    roof = row["roofline"]
    assert roof["seconds_overlapped"] == max(
        roof[term] for term in ("compute", "memory", "interconnect", "network"))
    assert row["executed_flops"] >= 0.98 * row["model_flops"] > 0
    assert "FITS: " in done.stdout and "collectives per step:" in done.stdout
    assert ("libtpu is not installed" in done.stdout) != has_compiler()


@pytest.mark.parametrize("flags, message", [
    (("--topology=v5e-300",), "there is no TPU topology 'v5e-300'"),
    (("--topology=v5e-8", "--config.batch_size=12"), "batch_size=12 must be a multiple of 8"),
    (("--topology=v5e-8", "--config.mesh.fsdp=3"), "must multiply to 8"),
    ((), "give --config=PRESET and --topology=NAME")])
def test_bad_input_is_one_message(flags, message):
    done = plan_pod("--config=experiments/configs/debug.py", *flags)
    assert done.returncode == 1 and message in done.stderr and "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def tiny_plan():
    """The tiny LAM on one virtual device, with a chip that has half a MiB of memory."""
    topology = parse_topology("v5e-1")
    chip = dataclasses.replace(topology.chip, hbm_bytes=2**19)
    return plan(get_config(), dataclasses.replace(topology, chip=chip), jax.devices()[:1])


def test_a_plan_that_does_not_fit_says_by_how_much(tiny_plan):
    assert not tiny_plan.fits and tiny_plan.rate == 0.0
    large = dataclasses.replace(tiny_plan, needed=20 * 2**30, limit=15.75 * 2**30)
    assert "DOES NOT FIT: 20.00 GiB of 15.75 GiB per device, 4.25 GiB too much" in describe(large)
    assert table([("tiny", tiny_plan)]).splitlines()[-1].endswith("| no |")


def test_memory_is_state_and_batch(tiny_plan):
    config = get_config()
    frames = config.batch_size * 3 * 16 * 16 * 3
    # Value, two moments and average of each parameter; the codebook and counters are small.
    state = tiny_plan.memory.argument - frames
    assert 16 * tiny_plan.parameters < state < 16 * tiny_plan.parameters + 4096
    assert tiny_plan.memory.peak >= tiny_plan.memory.argument


@pytest.mark.parametrize("text, needed", [
    ("RESOURCE_EXHAUSTED: Used 306.85G of 15.75G hbm. Exceeded hbm capacity by 291.1G.", 306.85),
    ("RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO temporaries "
     "(23.17G) exceeds available HBM (15.75G).", 23.17)])
def test_the_compilers_words_for_too_large(text, needed):
    error = _out_of_memory(text)
    assert (error.needed, error.limit) == pytest.approx((needed * 2**30, 15.75 * 2**30))
    assert _out_of_memory("INTERNAL: " + text[20:]) is None


def made(config, needed=1.0, seconds=0.0):
    """A plan as the compiler would make it, without one."""
    mesh = {axis: config.mesh.get(axis, 1) for axis in ("slice", "data", "fsdp", "model")}
    return Plan(topology="v5e-8", chips=8, mesh=mesh, batch_size=config.batch_size,
                transitions=config.batch_size, accumulate=config.optimizer.accumulate,
                remat=config.model.remat, parameters=1, limit=10.0, needed=needed,
                compiler="tpu", seconds=seconds, memory=Memory(0, 0, 0, 0, 0))


def test_search_skips_what_cannot_fit_and_sorts():
    config, topology = get_config(), parse_topology("v5e-8")
    compiled = []

    def compile_one(variant):
        compiled.append(variant)
        return made(variant, needed=11.0 if variant.batch_size > 8 else 5.0)

    plans = search(config, topology, compile_one, limit=5)
    assert [p.fits for p in plans] == sorted((p.fits for p in plans), reverse=True)
    # 8 fits, 16 does not, so that 32 is not tried with the same mesh and remat; 4 does not divide.
    tried = [(v.model.remat, v.batch_size) for v in compiled]
    assert tried == [("dots", 8), ("dots", 16), ("full", 8), ("full", 16), ("none", 8)]
    assert config == get_config()
    assert all(v.batch_size % 8 == 0 or v.mesh.model > 1 for v in variants(config, topology))


def test_remedies_are_ordered_and_divide():
    config, topology = get_config(), parse_topology("v5e-4")
    config.batch_size = 16
    changes = dict(remedies(config, topology))
    assert list(changes)[0] == "--config.model.remat=full"
    assert [c.optimizer.accumulate for c in changes.values()] == [1, 1, 2, 4]
    assert all(c.batch_size == 16 for c in changes.values())
