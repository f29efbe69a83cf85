"""Names of TPU slices, and the devices of slices that are not there (from libtpu, no TPU needed).

A slice has the name under which it is rented. v5e-N and v6e-N have N chips; v4-N and v5p-N count
TensorCores, of which a chip has two: v5p-64 is 32 chips. JAX sees one device per chip in all four
(v4 is asked for in that mode, as pods run it). A layout can be given instead, "v5p:4x4x12", for the
many shapes that the table does not list.
"""

import dataclasses
import importlib.util
import math
import os
import re

import jax

from flexlam_jax.errors import UserError
from flexlam_jax.planning.chips import CHIPS, Chip

_FLAT = ((1, 1), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16))
_CUBES = (
    (2, 2, 1),
    (2, 2, 2),
    (2, 2, 4),
    (2, 4, 4),
    (4, 4, 4),
    (4, 4, 8),
    (4, 8, 8),
    (8, 8, 8),
    (8, 8, 16),
    (8, 16, 16),
    (16, 16, 16),
)
# Largest: a v4 pod has 4096 chips; the largest v5p job is 16x16x24; a v5e or v6e pod is 16x16.
LAYOUTS = {"v4": _CUBES, "v5e": _FLAT, "v5p": (*_CUBES, (16, 16, 24)), "v6e": _FLAT}
_CORES = {"v4": 2, "v5e": 1, "v5p": 2, "v6e": 1}
_ALIASES = {"v5litepod": "v5e"}

MOST_SLICES = 256

# libtpu asks a cloud server what machine it is on and locks the TPU; both are pointless here.
ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_ACCELERATOR_TYPE": "v5e-1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_MIN_LOG_LEVEL": "3",
    "TPU_STDERR_LOG_LEVEL": "3",
}


@dataclasses.dataclass(frozen=True)
class Topology:
    """`slices` slices of `layout` chips each, joined by the data-centre network."""

    chip: Chip
    layout: tuple[int, ...]
    slices: int = 1

    @property
    def chips(self) -> int:
        return math.prod(self.layout) * self.slices

    @property
    def name(self) -> str:
        cores = math.prod(self.layout) * _CORES[self.chip.name]
        listed = self.layout in LAYOUTS[self.chip.name]
        name = (
            f"{self.chip.name}-{cores}"
            if listed
            else f"{self.chip.name}:{'x'.join(map(str, self.layout))}"
        )
        return name if self.slices == 1 else f"{self.slices} x {name}"


def known_topologies() -> dict[str, list[str]]:
    """{generation: names of its slices, smallest first}."""
    return {
        chip: [Topology(CHIPS[chip], layout).name for layout in layouts]
        for chip, layouts in LAYOUTS.items()
    }


def parse_topology(name: str, slices: int = 1) -> Topology:
    """ "v5e-256", "v5e:16x16", or "2 x v5e-256" for two slices -> Topology.

    Raises:
      UserError: there is no such topology (the message lists those that exist), or no such number
        of slices.
    """
    several = re.fullmatch(r"(\d+) ?x ?(.*)", name.strip())
    if several and slices == 1:
        return parse_topology(several[2], int(several[1]))
    match = re.fullmatch(r"(\w+?)(?:-(\d+)|:(\d+(?:x\d+)*))", name.strip().lower())
    generation = match and _ALIASES.get(match[1], match[1])
    if not 1 <= slices <= MOST_SLICES:
        raise UserError(f"--slices={slices} must be from 1 to {MOST_SLICES}")
    if generation in CHIPS and match[3]:
        layout = tuple(map(int, match[3].split("x")))
        if _possible(CHIPS[generation], layout):
            return Topology(CHIPS[generation], layout, slices)
    elif generation in CHIPS:
        for layout in LAYOUTS[generation]:
            if math.prod(layout) * _CORES[generation] == int(match[2]):
                return Topology(CHIPS[generation], layout, slices)
    lines = [f"  {', '.join(names)}" for names in known_topologies().values()]
    raise UserError(
        "\n".join(
            [
                f"there is no TPU topology {name!r}; those that exist are",
                *lines,
                "  or a layout as v5p:4x4x12 (v4, v5p: three dimensions; v5e, v6e: two; even sizes).",
                "  v4-N and v5p-N count TensorCores, two per chip; v5e-N and v6e-N count chips.",
            ]
        )
    )


def _possible(chip: Chip, layout: tuple[int, ...]) -> bool:
    """Whether whole hosts (2x2 chips) fill the layout, and no pod is smaller than it."""
    largest = max(LAYOUTS[chip.name], key=math.prod)
    return layout in LAYOUTS[chip.name] or (
        len(layout) == chip.dimensions
        and math.prod(layout) <= math.prod(largest)
        and min(layout) > 0
        and layout[0] % 2 == layout[1] % 2 == 0
    )


def has_compiler() -> bool:
    """Whether libtpu, the compiler for TPUs, is installed (`pip install flexlam_jax[tpu]`)."""
    return importlib.util.find_spec("libtpu") is not None


def describe_devices(topology: Topology) -> list[jax.Device]:
    """Devices to compile for; nothing runs on them.

    Raises:
      UserError: libtpu is missing, or does not know this topology (with its own words).
    """
    if not has_compiler():
        raise UserError("libtpu is not installed; `pip install 'flexlam_jax[tpu]'`")
    from jax.experimental import topologies  # Imports what only this needs.

    for key, value in ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    layout = topology.layout
    options = {"chips_per_host_bounds": [min(2, n) for n in (*layout[:2], 1)]}
    if topology.chip.name == "v4":
        options["chip_config_name"] = "megacore"
    if topology.slices > 1:
        options["num_slices"] = topology.slices
    try:
        described = topologies.get_topology_desc(
            platform="tpu",
            topology_name=f"{topology.chip.name}:{'x'.join(map(str, layout))}",
            **options,
        )
    except jax.errors.JaxRuntimeError as error:
        raise UserError(f"the TPU compiler does not describe {topology.name}: {error}") from error
    return list(described.devices)
