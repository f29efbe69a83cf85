"""What every quantiser returns. The interface, in one place:

A quantiser is a Linen module with
  __call__(z (..., input_width), train) -> Quantized
  width: D, the width of a quantised slot        input_width: what the encoder must deliver per slot
  codebook_size: int or None                     bits_per_slot: float or None (None = not discrete)
  ids_to_values(ids (...)) -> (..., D)              loss_names: of the losses in Quantized
It treats every slot alike and knows nothing of prefixes: quantisation happens before masking, so
that the first tokens never depend on `keep`.
"""

import flax.struct
import jax


@flax.struct.dataclass
class Quantized:
    """values (..., D); ids (...) int32 or None; losses: name -> (...) float32 per slot, weighted;
    stats: name -> scalar float32, for the metrics only."""

    values: jax.Array
    ids: jax.Array | None
    losses: dict[str, jax.Array]
    stats: dict[str, jax.Array]
