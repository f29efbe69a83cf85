"""The one table of chips: what a TPU chip can compute, hold and send. Everything is per chip.

Sources, read in 2026:
  v4   cloud.google.com/tpu/docs/v4: 275 TFLOP/s, 32 GiB, 1200 GB/s, 2400 Gbit/s of ICI over 6 links
       out of the chip. Its data-centre network is not stated per chip: that of v5p is assumed.
  v5e  cloud.google.com/tpu/docs/v5e: 197 TFLOP/s, 16 GB, 819 GB/s, ICI 400 GB/s in both directions
       over 4 ports, data-centre network 6.4 Tbit/s per pod of 256.
  v5p  cloud.google.com/tpu/docs/v5p: 459 TFLOP/s, 95 GiB, 2765 GB/s, ICI 1200 GB/s in both
       directions over 6 links, data-centre network 50 Gbit/s per chip.
  v6e  cloud.google.com/tpu/docs/v6e: 918 TFLOP/s, 32 GB, 1638 GB/s, ICI 800 GB/s in both directions
       over 4 ports, data-centre network 25.6 Tbit/s per pod of 256.
`hbm_bytes` is what the TPU compiler of libtpu 0.0.42 lets a program use, which is less than the
data sheet: the number it prints when a program does not fit. For v6e it was not made to print one;
31.25 GiB keeps back as much, in proportion, as on v5e. A plan reports the compiler's own limit.
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


CHIPS = {chip.name: chip for chip in (
    Chip("v4", 30.75 * GIB, 275e12, 1200e9, 50e9, 6.25e9, 3, 4),
    Chip("v5e", 15.75 * GIB, 197e12, 819e9, 50e9, 3.125e9, 2, 16),
    Chip("v5p", 95.74 * GIB, 459e12, 2765e9, 100e9, 6.25e9, 3, 4),
    Chip("v6e", 31.25 * GIB, 918e12, 1638e9, 100e9, 12.5e9, 2, 16),
)}
