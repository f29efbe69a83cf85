"""The three terms on paper: rates of the chip table, links of the torus, the network of slices."""

import types

import numpy as np
import pytest

from flexlam_jax.planning.hlo import Collective
from flexlam_jax.planning.roofline import positions, roofline
from flexlam_jax.planning.topology import parse_topology


def terms(topology, found=(), **work):
    work = dict(model_flops=0.0, executed_flops=0.0, traffic=0.0, least_traffic=0.0) | work
    where = positions(topology, [object()] * topology.chips)
    return roofline(topology, collectives=found, coordinates=where, **work)


def test_compute_and_memory():
    roof = terms(
        parse_topology("v5e-4"),
        model_flops=3 * 197e12,
        executed_flops=4 * 197e12,
        traffic=819e9 / 2,
    )
    assert (roof.compute, roof.memory, roof.interconnect, roof.network) == (1.0, 0.5, 0.0, 0.0)
    assert (roof.overlapped, roof.serial, roof.bound) == (1.0, 1.5, "compute")
    assert roof.mfu == pytest.approx((0.5, 0.75))


@pytest.mark.parametrize(
    "name, group, links",
    [
        ("v5e-256", range(256), 4),  # Both rings, both directions.
        ("v5e-256", range(16), 2),  # One row is a ring.
        ("v5e-16", range(16), 2),  # A 4x4 v5e does not close to rings: one link per line.
        ("v5p-64", range(32), 1 + 2 + 2),  # 2x4x4: dimensions of four close.
        ("v5e-256", range(0, 4), 1),
    ],
)
def test_links_of_a_group(name, group, links):
    topology = parse_topology(name)
    gather = Collective("all-gather", 3, 10**9, np.array([list(group)]))
    n = len(group)
    expected = 3 * 1e9 * (n - 1) / n / (links * topology.chip.link_bandwidth)
    assert terms(topology, [gather]).interconnect == pytest.approx(expected)


def test_a_permute_uses_one_link():
    permute = Collective("collective-permute", 1, 50 * 10**9, np.array([[0, 1], [1, 0]]))
    assert terms(parse_topology("v5e-256"), [permute]).interconnect == pytest.approx(1.0)


def test_slices_talk_over_the_network():
    topology = parse_topology("v5e-16", slices=2)
    reduce = Collective("all-reduce", 1, 3_125_000_000, np.array([[0, 16]]))
    roof = terms(topology, [reduce])
    assert (roof.network, roof.interconnect, roof.bound) == (1.0, 0.0, "network")
    assert roof.sent == {"interconnect": 0.0, "network": 3_125_000_000}


def test_positions_come_from_the_devices_if_they_know():
    devices = [
        types.SimpleNamespace(coords=(x, y, 0), slice_index=s)
        for s in range(2)
        for y in range(2)
        for x in range(2)
    ]
    where = positions(parse_topology("v5e-4", slices=2), devices)
    assert where.tolist()[:2] == [[0, 0, 0], [0, 1, 0]] and where.tolist()[-1] == [1, 1, 1]
