"""Two and four real processes: sharded state, elastic resume, agreement, damage; on the toy."""

import json
import re
import shutil
import socket

import numpy as np
import pytest

from tests.distributed.processes import Group, compilation_cache
from tests.distributed.worker import STEPS

# float32 sums in another order round differently, by about 1e-7 relative, a little more with each
# of the twenty steps. The same number as for meshes of one process, in training/test_meshes.py.
RTOL = 2e-6
TWO = (
    "fsdp",
    "torus",
    "damaged",
    "unreadable_for_one",
    "uncommitted",
    "newer_format",
    "other_seed",
    "other_folder",
    "other_config",
    "other_model",
)
FOUR = ("fsdp", "slices", "tensor")


def start(out, *scenarios, count, devices=1):
    out.mkdir(exist_ok=True)
    return Group(
        count,
        ["-m", "tests.distributed.worker", f"--out={out}", f"--scenarios={','.join(scenarios)}"],
        devices=devices,
        **compilation_cache(out.parent),
    )


def said(group):
    """[{scenario: what the process said}] by process."""
    return [
        dict(json.loads(line) for line in re.findall(r"^SAID (.*)$", output, re.MULTILINE))
        for output in group.output
    ]


def metrics(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").open()]


def assert_equal_to_rounding(workdir, expected):
    rows, others = metrics(workdir), metrics(expected)
    assert [(r["step"], r.get("batch")) for r in rows] == [
        (r["step"], r.get("batch")) for r in others
    ]
    for name in ("loss", "mae", "grad_norm", "validation/norm"):
        np.testing.assert_allclose(
            [r[name] for r in rows if name in r],
            [r[name] for r in others if name in r],
            rtol=RTOL,
            err_msg=name,
        )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("processes")


@pytest.fixture(scope="module")
def one(folder):
    start(folder / "one", "whole", count=1).run()
    return folder / "one" / "whole"


@pytest.fixture(scope="module")
def two(folder):
    return folder / "two", start(folder / "two", *TWO, count=2, devices=2).run()


@pytest.fixture(scope="module")
def four(folder, one):
    """Each mesh from scratch, and once continuing, at step 10, what one process began."""
    out = folder / "four"
    shutil.copytree(one, out / "whole")
    for step in (15, STEPS):
        shutil.rmtree(out / "whole" / "checkpoints" / str(step))
    return out, start(out, *FOUR, "whole", count=4).run()


def test_two_processes_are_one_run(one, two):
    out, group = two
    assert_equal_to_rounding(out / "fsdp", one)
    assert [words["fsdp"] for words in said(group)] == ["trained"] * 2
    assert len(list((out / "fsdp").glob("events.out.*"))) == 1  # Only process 0 writes.
    assert not list((out / "fsdp").glob(".shared"))
    first = json.loads((out / "fsdp" / "run.json").read_text())["starts"][0]
    assert first["processes"] == 2 and first["devices"].startswith("4 x ")


def test_a_process_may_hold_several_blocks_of_rows(one, two):
    assert_equal_to_rounding(two[0] / "torus", one)


@pytest.mark.parametrize("mesh", FOUR)
def test_four_processes_on_every_mesh(one, four, mesh):
    assert_equal_to_rounding(four[0] / mesh, one)


def test_a_run_of_one_process_goes_on_in_four(one, four):
    out, group = four
    assert all("continuing from step 10" in output for output in group.output)
    assert_equal_to_rounding(out / "whole", one)
    before = [row for row in metrics(one) if row["step"] <= 10]
    assert metrics(out / "whole")[: len(before)] == before


@pytest.mark.parametrize(
    "how, step", [("damaged", STEPS), ("unreadable_for_one", STEPS), ("uncommitted", 99)]
)
def test_all_fall_back_to_the_step_before_together(two, how, step):
    out, group = two
    good = 15 if step == STEPS else STEPS
    for output in group.output:
        assert f"DAMAGED: step {step} in {out / how / 'checkpoints'}" in output
        assert f"FALLING BACK TO STEP {good}" in output
    assert (out / how / "checkpoints.damaged" / f"{step}.0").is_dir()
    assert (out / how / "metrics.jsonl").read_bytes() == (out / "fsdp/metrics.jsonl").read_bytes()


@pytest.mark.parametrize(
    "scenario, message",
    [
        ("newer_format", "has checkpoint format 1, this program reads up to 0; update flexlam_jax"),
        ("other_config", r"holds a run with another config:\n  optimizer.b1: 0.9 there, 0.8 now"),
        ("other_model", r"params/mlp/up/kernel is float32\(8, 32\), expected float32\(8, 64\)"),
        (
            "other_seed",
            r"the processes of this run do not agree:\n  process 1 \(\S+\): config.seed is "
            r"1, on process 0 \(\S+\) 0\nStart every process with the same",
        ),
        (
            "other_folder",
            rf"other_folder\d, as process 0 sees it, is not visible to process 1 on "
            f"{re.escape(socket.gethostname())}; every process must see the same",
        ),
    ],
)
def test_what_one_finds_wrong_all_say_and_go_on_living(two, scenario, message):
    out, group = two
    for words in said(group):
        assert re.search(message, words[scenario]), words[scenario]
    if scenario == "other_seed":
        assert not (out / scenario).exists()  # Before anything is written.
