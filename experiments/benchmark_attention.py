"""What attention costs on a TPU by its compiler's count, XLA against splash; no TPU needed.

    python -m experiments.benchmark_attention --topology=v5e:2x2

Compiles forward and backward of one attention for each token count of the presets, rows split over
`fsdp` and heads over `model`, and prints one JSON row per kernel: bytes that a device's program
moves and the temporary memory it needs. Needs libtpu (`pip install flexlam_jax[tpu]`); bytes
are the compiler's estimate, not a measured time.
"""

if __name__ == "__main__":  # Before the imports, which take seconds.
    from experiments import process

    process.start()

import json

import jax
import jax.numpy as jnp
from absl import flags
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from experiments import cli
from flexlam_jax.models.attention import attend, resolve_implementation
from flexlam_jax.parallel.axes import BATCH_AXES, TENSOR_AXIS
from flexlam_jax.parallel.mesh import make_mesh
from flexlam_jax.planning.topology import describe_devices, parse_topology

_TOPOLOGY = flags.DEFINE_string("topology", "v5e:2x2", "TPU slice of at least two chips.")
_ROWS = flags.DEFINE_integer("rows", 64, "Transitions, over all devices.")

# Tokens, heads, head width: decoder and encoder pairs of base (64 px), large (224 px) and xl.
_SIZES = ((80, 8, 64), (144, 8, 64), (272, 16, 64), (528, 16, 64), (528, 12, 128))


def main(argv):
    del argv
    devices = describe_devices(parse_topology(_TOPOLOGY.value))
    mesh = make_mesh({"data": 1, "fsdp": -1, "model": 2}, devices)
    for tokens, heads, width in _SIZES:
        for kernel in ("xla", "splash"):
            print(
                json.dumps(
                    {
                        "topology": _TOPOLOGY.value,
                        "tokens": tokens,
                        "heads": heads,
                        "width": width,
                        **_compiled(kernel, mesh, tokens, heads, width),
                    }
                )
            )


def _compiled(kernel, mesh, tokens, heads, width):
    place = NamedSharding(mesh, P(BATCH_AXES, None, TENSOR_AXIS, None))
    x = jax.ShapeDtypeStruct((_ROWS.value, tokens, heads, width), jnp.bfloat16, sharding=place)

    def loss(q, k, v):
        return jnp.sum(attend(q, k, v, implementation=kernel).astype(jnp.float32) ** 2)

    with jax.set_mesh(mesh):
        automatic = resolve_implementation("auto", x.dtype, keys=tokens)
        program = jax.jit(jax.grad(loss, (0, 1, 2))).lower(x, x, x).compile()
    return {
        "kernel": kernel,
        "auto": automatic,
        "custom_calls": program.as_text().count("tpu_custom_call"),
        "gb_moved": program.cost_analysis()["bytes accessed"] / 1e9,
        "temporary_mb": program.memory_analysis().temp_size_in_bytes / 1e6,
    }


if __name__ == "__main__":
    cli.run(main)
