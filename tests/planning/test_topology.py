"""Names of TPU slices, and what is refused."""

import math

import pytest

from flexlam_jax.errors import UserError
from flexlam_jax.planning.topology import LAYOUTS, known_topologies, parse_topology


@pytest.mark.parametrize(
    "name, chips, layout",
    [
        ("v5e-256", 256, (16, 16)),
        ("v5litepod-8", 8, (2, 4)),
        ("v6e-1", 1, (1, 1)),
        # v4 and v5p count TensorCores, two per chip.
        ("v5p-64", 32, (2, 4, 4)),
        ("v4-8", 4, (2, 2, 1)),
        ("v5p-12288", 6144, (16, 16, 24)),
        ("v5p:4x4x12", 192, (4, 4, 12)),
        ("v6e:8x8", 64, (8, 8)),
        ("V5E-8 ", 8, (2, 4)),
    ],
)
def test_names(name, chips, layout):
    topology = parse_topology(name)
    assert (topology.chips, topology.layout) == (chips, layout)
    assert parse_topology(topology.name) == topology


def test_every_listed_name_is_its_own():
    for chip, names in known_topologies().items():
        assert len(names) == len(set(names)) == len(LAYOUTS[chip])
        for name, layout in zip(names, LAYOUTS[chip], strict=True):
            assert parse_topology(name).layout == layout
    assert known_topologies()["v5e"][-1] == "v5e-256" and known_topologies()["v4"][-1] == "v4-8192"


def test_slices_multiply():
    topology = parse_topology("v5e-16", slices=4)
    assert topology.chips == 64 and topology.name == "4 x v5e-16"
    assert parse_topology("4 x v5e-16") == parse_topology("4xv5litepod-16") == topology
    with pytest.raises(UserError, match="--slices=0"):
        parse_topology("v5e-16", slices=0)


@pytest.mark.parametrize(
    "name",
    [
        "v5e-257",
        "v5e-512",
        "v9-8",
        "v5p-6",
        "v5e",
        "",
        "v5e:3x5",
        "v5e:32x32",
        "v5p:4x4",
        "v6e:4x4x4",
        "v5e-0",
        "v5e--8",
    ],
)
def test_a_topology_that_does_not_exist_lists_those_that_do(name):
    with pytest.raises(UserError) as error:
        parse_topology(name)
    text = str(error.value)
    assert repr(name) in text
    for names in known_topologies().values():
        assert math.prod(entry in text for entry in names)
