"""Any changed bit and any swap changes the fingerprint."""

import jax.numpy as jnp
import numpy as np

from flexlam_jax.checkpoints import fingerprint as fingerprint_lib
from flexlam_jax.checkpoints.fingerprint import fingerprint

TREE = {
    "a": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "b": np.zeros((), np.int32),
    "c": np.ones(5, jnp.bfloat16),
    "d": np.array([True, False]),
}


def value(tree):
    return fingerprint({k: jnp.asarray(v) for k, v in tree.items()})


def test_every_single_bit_counts():
    seen = {value(TREE)}
    for bit in range(32):
        a = TREE["a"].copy()
        a.view(np.uint32)[1, 2, 3] ^= np.uint32(1 << bit)
        seen.add(value(dict(TREE, a=a)))
    assert len(seen) == 33


def test_swaps_count():
    flipped = value(dict(TREE, a=TREE["a"][:, ::-1]))
    transposed = value(dict(TREE, a=TREE["a"].reshape(2, 4, 3)))
    exchanged = value(dict(TREE, d=TREE["d"][::-1].copy()))
    assert len({value(TREE), flipped, exchanged}) == 3
    assert transposed == value(TREE)  # Same bytes in the same order.


def test_small_types_and_zero():
    assert value(dict(TREE, b=np.array(1, np.int32))) != value(TREE)
    assert value(dict(TREE, c=np.full(5, 2, jnp.bfloat16))) != value(TREE)
    assert value({"a": np.zeros(3, np.float32)}) != value({"a": -np.zeros(3, np.float32)})


def test_host_and_device_agree(monkeypatch):
    on_host = value(TREE)
    monkeypatch.setattr(fingerprint_lib, "_SMALL", 0)
    for bits in (0, 1):
        changed = dict(TREE, b=np.array(bits, np.int32))
        on_device = value(changed)
        assert (on_device == on_host) == (bits == 0)
