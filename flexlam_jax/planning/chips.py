"""The one table of chips: what a TPU chip can compute, hold and send. Everything is per chip.

Sources: the vendor's pages, https://docs.cloud.google.com/tpu/docs/<v4|v5e|v5p|v6e>, read in 2026.
  v4   275 TFLOP/s, 32 GiB, 1200 GB/s, 3-D torus of 6 links. Rates of its links and of its
       data-centre network are not on the page: 50 GB/s per link and direction from the table of
       arXiv 2304.01433; for the network that of v5p is assumed.
  v5e  197 TFLOP/s, 16 GB, 819 GB/s, ICI 400 GB/s in both directions over 4 ports, data-centre
       network 6.4 Tbit/s per pod of 256.
  v5p  459 TFLOP/s, 95 GiB, 2765 GB/s, ICI 1200 GB/s in both directions over 6 links, data-centre
       network 50 Gbit/s per chip.
  v6e  918 TFLOP/s, 32 GB, 1638 GB/s (versions of the page have 1600 to 1640), ICI 800 GB/s in both
       directions over 4 ports, data-centre network 25.6 Tbit/s per pod of 256.
`hbm_bytes` is what the TPU compiler of libtpu 0.0.42 lets a program use, which is less than the
data sheet: the number in its message about a program that does not fit, seen on all four. Of a
program that does not fit, a plan reports the compiler's own limit.
"""

import dataclasses

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
    """One TPU chip (for v4 and v5p two TensorCores that the compiler sees as one device).

    Attributes:
      name: the generation, "v5e".
      hbm_bytes: memory a program may use.
      flops: peak bf16 FLOP/s.
      hbm_bandwidth: bytes/s between HBM and the core.
      link_bandwidth: bytes/s of one ICI link in one direction.
      dcn_bandwidth: bytes/s to other slices, this chip's share of its host's network.
      dimensions: of the torus; a chip has two links per dimension.
      wrap: a dimension is closed to a ring where its size is a multiple of this.
    """

    name: str
    hbm_bytes: float
    flops: float
    hbm_bandwidth: float
    link_bandwidth: float
    dcn_bandwidth: float
    dimensions: int
    wrap: int


CHIPS = {
    chip.name: chip
    for chip in (
        Chip("v4", 30.75 * GIB, 275e12, 1200e9, 50e9, 6.25e9, 3, 4),
        Chip("v5e", 15.75 * GIB, 197e12, 819e9, 50e9, 3.125e9, 2, 16),
        Chip("v5p", 95.74 * GIB, 459e12, 2765e9, 100e9, 6.25e9, 3, 4),
        Chip("v6e", 31.25 * GIB, 918e12, 1638e9, 100e9, 12.5e9, 2, 16),
    )
}
