"""A batch that does not fit is cut into micro-batches, and nothing else is changed."""

import jax
import jax.numpy as jnp
import pytest

from experiments import benchmark_run
from flexlam_jax.errors import UserError
from tests.experiments import tiny

pytestmark = pytest.mark.usefixtures("shared_compilations")


def out_of_memory(fits):
    """`steps` on a device that holds micro-batches of `fits` clips."""
    real = benchmark_run.steps

    def steps(run, repeats):
        if run.config.batch_size // run.config.optimizer.accumulate > fits:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes")
        return real(run, repeats)

    return steps


def test_micro_batches_are_halved_until_they_fit(monkeypatch):
    config = tiny.get_config()
    whole = benchmark_run.build_that_fits(config)
    monkeypatch.setattr(benchmark_run, "steps", out_of_memory(fits=2))
    run = benchmark_run.build_that_fits(config)
    assert config.optimizer.accumulate == 1, "the caller's config is not touched"
    assert config.batch_size == run.config.batch_size == 2 * run.config.optimizer.accumulate
    same = jax.tree.map(
        lambda a, b: bool(jnp.allclose(a, b, atol=1e-4)), whole.state.params, run.state.params
    )
    assert all(jax.tree.leaves(same)), "one update, of the same batch"
    micro = benchmark_run.build_micro_batch(config)
    assert (micro.config.batch_size, micro.config.optimizer.accumulate) == (2, 1)


def test_nothing_fits(monkeypatch):
    monkeypatch.setattr(benchmark_run, "steps", out_of_memory(fits=0))
    with pytest.raises(UserError, match="micro-batch of 1 rows .* cannot be halved"):
        benchmark_run.build_that_fits(tiny.get_config())


def test_other_errors_are_not_taken_for_a_lack_of_memory(monkeypatch):
    def broken(run, repeats):
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")

    monkeypatch.setattr(benchmark_run, "steps", broken)
    with pytest.raises(jax.errors.JaxRuntimeError, match="something else"):
        benchmark_run.build_that_fits(tiny.get_config())
