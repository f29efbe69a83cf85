"""A batch that does not fit is cut into micro-batches, and nothing else is changed."""

import jax
import jax.numpy as jnp
import pytest

from experiments import benchmark_subject
from flexlam_jax.errors import UserError
from tests.experiments import tiny


def out_of_memory(fits):
    """`steps` on a device that holds micro-batches of `fits` clips."""
    real = benchmark_subject.steps

    def steps(subject, repeats):
        if subject.config.batch_size // subject.config.optimizer.accumulate > fits:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes")
        return real(subject, repeats)

    return steps


def test_micro_batches_are_halved_until_they_fit(monkeypatch):
    config = tiny.get_config()
    whole = benchmark_subject.build_that_fits(config)
    monkeypatch.setattr(benchmark_subject, "steps", out_of_memory(fits=2))
    subject = benchmark_subject.build_that_fits(config)
    assert config.optimizer.accumulate == 1, "the caller's config is not touched"
    assert config.batch_size == subject.config.batch_size == 2 * subject.config.optimizer.accumulate
    same = jax.tree.map(
        lambda a, b: bool(jnp.allclose(a, b, atol=1e-4)), whole.state.params, subject.state.params
    )
    assert all(jax.tree.leaves(same)), "one update, of the same batch"
    micro = benchmark_subject.build_micro_batch(config)
    assert (micro.config.batch_size, micro.config.optimizer.accumulate) == (2, 1)


def test_nothing_fits(monkeypatch):
    monkeypatch.setattr(benchmark_subject, "steps", out_of_memory(fits=0))
    with pytest.raises(UserError, match="micro-batch of 1 clips .* cannot be halved"):
        benchmark_subject.build_that_fits(tiny.get_config())


def test_other_errors_are_not_taken_for_a_lack_of_memory(monkeypatch):
    def broken(subject, repeats):
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")

    monkeypatch.setattr(benchmark_subject, "steps", broken)
    with pytest.raises(jax.errors.JaxRuntimeError, match="something else"):
        benchmark_subject.build_that_fits(tiny.get_config())
