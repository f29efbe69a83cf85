"""Process settings: what the next program costs, not what it computes."""

import subprocess
import sys

import jax
import pytest

from flexlam_jax.errors import Interrupted
from flexlam_jax.training.compilation import compiled_programs_in
from flexlam_jax.training.loop import fit
from tests.training import toy

# Page faults of a step on a 64 MB temporary: the fewest of six, after three that may fault as they
# like. A step that has just broken up the freed block needs new memory once more.
_FAULTS = """
import resource, sys
import jax, jax.numpy as jnp
from flexlam_jax.training.compilation import reuse_host_memory
if sys.argv[1] == "reuse":
    assert reuse_host_memory()
step = jax.jit(lambda x: jnp.sort(x[:, None] * x[None]).sum(0))
x = jnp.ones(4096)
faults = []
for _ in range(9):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    step(x).block_until_ready()
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(min(faults[3:]))
"""


def page_faults(how):
    done = subprocess.run([sys.executable, "-c", _FAULTS, how], capture_output=True, text=True,
                          check=True)
    return int(done.stdout)


def test_memory_of_a_step_is_reused():
    """64 MiB are 16,384 pages of 4 KiB; what is left belongs to Python and threads.

    In about one process in twenty a small block lands in the middle of the freed one, and every
    step needs new memory: so the best of three.
    """
    assert page_faults("as-it-is") > 8_000
    assert min(page_faults("reuse") for _ in range(3)) < 2_000


@pytest.fixture
def hits():
    """Names of what JAX reported; compiled programs found among them."""
    heard = []
    jax.monitoring.register_event_listener(lambda name, **_: heard.append(name))
    yield lambda: heard.count("/jax/compilation_cache/cache_hits")
    jax.monitoring.clear_event_listeners()


def train(workdir, rows):
    return fit(toy.objective(), rows, toy.config(), workdir)


@pytest.fixture
def stopped(tmp_path):
    """A work directory with a run that was stopped at step 3 of 12."""
    with pytest.raises(Interrupted):
        train(tmp_path, toy.StopAt(2))
    return tmp_path


def test_a_continued_run_finds_its_programs(stopped, hits):
    assert not hits()
    train(stopped, toy.Rows())
    assert hits()
    assert jax.config.jax_compilation_cache_dir is None, "as it was before"


def test_half_a_program_is_compiled_again(stopped, recwarn):
    """A kill may hit the file of a program that is being written."""
    files = list((stopped / "compilation_cache").rglob("*-cache"))
    sizes = [file.stat().st_size for file in files]
    for file, size in zip(files, sizes):
        file.write_bytes(file.read_bytes()[:size // 2])
    assert files and int(train(stopped, toy.Rows()).step) == 12
    assert not [w for w in recwarn if "compilation cache" in str(w.message)]
    step = next(file for file in files if "train_step" in file.name)
    assert step.stat().st_size == pytest.approx(sizes[files.index(step)], rel=0.1), "whole again"


def test_programs_stay_where_the_user_wants_them(tmp_path):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "mine"))
    try:
        with compiled_programs_in(tmp_path / "run"):
            assert jax.config.jax_compilation_cache_dir == str(tmp_path / "mine")
    finally:
        jax.config.update("jax_compilation_cache_dir", None)
