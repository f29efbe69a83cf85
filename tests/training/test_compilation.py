"""A continued run finds the programs that it compiled before."""

import jax
import pytest

from flexlam_jax.errors import Interrupted
from flexlam_jax.training.compilation import compiled_programs_in
from flexlam_jax.training.loop import fit
from tests.training import toy


@pytest.fixture
def hits():
    """Calls how many compiled programs JAX has found so far."""
    heard = []
    jax.monitoring.register_event_listener(lambda name, **_: heard.append(name))
    yield lambda: heard.count("/jax/compilation_cache/cache_hits")
    jax.monitoring.clear_event_listeners()


def train(workdir, rows):
    return fit(toy.objective(), rows, toy.config(), workdir)


def stop_early(workdir):
    with pytest.raises(Interrupted):
        train(workdir, toy.StopAt(2))


def test_a_continued_run_finds_its_programs(hits, tmp_path):
    stop_early(tmp_path)
    assert not hits()
    train(tmp_path, toy.Rows())
    assert hits()
    assert jax.config.jax_compilation_cache_dir is None, "as it was before"


def test_half_a_program_is_compiled_again(tmp_path, recwarn):
    """A kill may hit the file of a program that is being written."""
    stop_early(tmp_path)
    files = list((tmp_path / "compilation_cache").rglob("*-cache"))
    sizes = [file.stat().st_size for file in files]
    for file, size in zip(files, sizes, strict=True):
        file.write_bytes(file.read_bytes()[: size // 2])
    assert files and int(train(tmp_path, toy.Rows()).step) == 12
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
