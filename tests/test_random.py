import jax
import numpy as np

from flexlam_jax.random import fold_name, stream


def bits(key):
    return tuple(np.asarray(jax.random.key_data(key)))


def test_a_stream_is_a_function_of_seed_step_and_name():
    keys = {
        bits(stream(seed, step, name))
        for seed in (0, 1)
        for step in (0, 1)
        for name in ("loss", "keep")
    }
    assert len(keys) == 8
    assert bits(stream(1, 5, "loss")) == bits(jax.jit(lambda s: stream(1, s, "loss"))(5))


def test_names_fold_to_fixed_numbers():
    """A changed name hash would change every resumed run."""
    key = jax.random.key(0)
    assert bits(fold_name(key, "keep")) == bits(jax.random.fold_in(key, 3421521931))
