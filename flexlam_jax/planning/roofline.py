"""How long a step takes at least: what must be computed, moved to and from memory, and sent.

Each term is work over the data sheet's rate, and a step takes at least the largest of them.
`memory` is what the compiled program moves, operation by operation: an estimate, as what the
hardware keeps on the chip between two operations is only known in part. `memory_least` is what no
program of this model can avoid. Where the first is many times the second, the program was compiled
badly.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from flexlam_jax.planning.hlo import Collective
from flexlam_jax.planning.topology import Topology


@dataclasses.dataclass(frozen=True)
class Roofline:
    """Seconds per step of each term; `ideal` are the seconds of the model FLOPs alone at peak.

    `sent` are bytes that one device sends per step: {"interconnect": ..., "network": ...}.
    """

    compute: float
    memory: float
    memory_least: float
    interconnect: float
    network: float
    ideal: float
    sent: dict[str, float]

    @property
    def overlapped(self) -> float:
        """Seconds per step if everything overlaps."""
        return max(self.compute, self.memory, self.interconnect, self.network)

    @property
    def serial(self) -> float:
        """Seconds per step if nothing overlaps."""
        return self.compute + self.memory + self.interconnect + self.network

    @property
    def bound(self) -> str:
        """The name of the largest term."""
        return max(
            ("compute", "memory", "interconnect", "network"), key=lambda name: getattr(self, name)
        )

    @property
    def mfu(self) -> tuple[float, float]:
        """Model FLOPs utilisation, (nothing overlaps, everything does)."""
        return self.ideal / self.serial, self.ideal / self.overlapped


def roofline(
    topology: Topology,
    *,
    model_flops: float,
    executed_flops: float,
    traffic: float,
    least_traffic: float,
    collectives: Sequence[Collective],
    coordinates: np.ndarray,
) -> Roofline:
    """Args:
    model_flops, executed_flops: per step over all chips, without and with recomputation.
    traffic, least_traffic: bytes per device and step between main memory and core, as compiled,
      and at least (least.py).
    collectives: of the compiled step.
    coordinates: (devices, 1 + dimensions) int, slice and torus position in the order of the mesh.
    """
    chip = topology.chip
    seconds, sent = ({"interconnect": 0.0, "network": 0.0} for _ in range(2))
    for collective in collectives:
        kind, rate = _rate(topology, collective, coordinates)
        sent[kind] += collective.count * collective.wire_bytes
        seconds[kind] += collective.count * collective.wire_bytes / rate
    return Roofline(
        compute=executed_flops / topology.chips / chip.flops,
        memory=traffic / chip.hbm_bandwidth,
        memory_least=least_traffic / chip.hbm_bandwidth,
        ideal=model_flops / topology.chips / chip.flops,
        sent=sent,
        **seconds,
    )


def positions(topology: Topology, devices: Sequence) -> np.ndarray:
    """(devices, 1 + dimensions): slice and torus position; virtual devices in rows."""
    if hasattr(devices[0], "coords"):
        rank = len(topology.layout)
        return np.array([[getattr(d, "slice_index", None) or 0, *d.coords[:rank]] for d in devices])
    return np.stack(
        np.unravel_index(np.arange(len(devices)), (topology.slices, *topology.layout)), axis=-1
    )


def _rate(topology: Topology, collective: Collective, coordinates: np.ndarray) -> tuple[str, float]:
    """(which network, bytes/s that a chip can send on it for this collective).

    A group that extends along some dimensions of the torus uses their links, both directions where
    a dimension closes to a ring within the group. A permute uses one link.
    """
    chip = topology.chip
    group = coordinates[collective.groups[0]]
    if len(set(group[:, 0])) > 1:
        return "network", chip.dcn_bandwidth
    if collective.kind == "collective-permute":
        return "interconnect", chip.link_bandwidth
    links = 0
    for dim, size in enumerate(topology.layout, start=1):
        extent = len(set(group[:, dim]))
        if extent > 1:
            links += 2 if extent == size and size % chip.wrap == 0 else 1
    return "interconnect", max(links, 1) * chip.link_bandwidth
