"""Rows of a global batch on the hosts of a TPU slice, which are squares of its torus."""

import dataclasses

import numpy as np
import pytest

from flexlam_jax.parallel.mesh import make_mesh
from flexlam_jax.parallel.sharding import process_rows
from flexlam_jax.planning.topology import (
    ENVIRONMENT,
    describe_devices,
    has_compiler,
    parse_topology,
)


@dataclasses.dataclass(frozen=True)
class Device:
    id: int
    process_index: int
    platform: str = "cpu"
    device_kind: str = "cpu"


@pytest.fixture
def devices(monkeypatch):
    """16 chips of 4 hosts: as the TPU compiler describes them where it is installed."""
    for key, value in ENVIRONMENT.items():
        monkeypatch.setenv(key, value)  # So that they do not outlive the test.
    if has_compiler():
        return describe_devices(parse_topology("v5e-16"))
    return [Device(4 * y + x, 2 * (y // 2) + x // 2) for y in range(4) for x in range(4)]


@pytest.mark.parametrize(
    "sizes", [dict(data=16), dict(data=1, fsdp=16), dict(data=4, fsdp=4), dict(data=2, fsdp=8)]
)
def test_every_row_has_one_host(devices, sizes):
    mesh, batch = make_mesh(sizes, devices), 64
    rows = [process_rows(mesh, batch, process) for process in range(4)]
    assert [len(held) for held in rows] == [16] * 4
    np.testing.assert_array_equal(np.sort(np.concatenate(rows)), np.arange(batch))


def test_hosts_that_share_a_model_axis_share_rows(devices):
    mesh, batch = make_mesh(dict(data=4, fsdp=1, model=4), devices), 64
    rows = [process_rows(mesh, batch, process) for process in range(4)]
    assert set(np.concatenate(rows)) == set(range(batch))
    assert len(np.concatenate(rows)) > batch
