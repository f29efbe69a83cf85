"""Memory that loading a large checkpoint takes beside the parameters; a command, not a test.

    python -m tests.loading.load_memory FOLDER [--width=1024 --layers=4 --type=F32]

Writes FOLDER/random.safetensors, an MMDiT of Stable Diffusion 3 with random parameters in the layout
of single files (by default 0.5 GB), loads it in a process of its own as float32 and prints the highest
resident memory of that process, mapped pages of the file included, less what it had before the load
and less the parameters; as a multiple of the largest tensor that is loaded.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from flexlam_jax.checkpoints.safetensors_header import DTYPES, read_header
from tests.models.make_sd3_goldens import original_transformer


def shapes(width, layers):
    """{name: shape} of diffusers' transformer with joint blocks only."""
    names = {
        "pos_embed.pos_embed": (1, 192**2, width),
        "pos_embed.proj.weight": (width, 16, 2, 2),
        "context_embedder.weight": (width, 4096),
        "time_text_embed.timestep_embedder.linear_1.weight": (width, 256),
        "time_text_embed.timestep_embedder.linear_2.weight": (width, width),
        "time_text_embed.text_embedder.linear_1.weight": (width, 2048),
        "time_text_embed.text_embedder.linear_2.weight": (width, width),
        "norm_out.linear.weight": (2 * width, width),
        "proj_out.weight": (64, width),
    }
    for layer in range(layers):
        last = layer == layers - 1
        block = {"norm1.linear": (6, 1), "norm1_context.linear": (2 if last else 6, 1)}
        block |= dict.fromkeys(("attn.to_q", "attn.add_q_proj", "attn.to_out.0"), (1, 1))
        block |= {"ff.net.0.proj": (4, 1), "ff.net.2": (1, 4)}
        if not last:
            block |= {"attn.to_add_out": (1, 1)}
            block |= {"ff_context.net.0.proj": (4, 1), "ff_context.net.2": (1, 4)}
        for name, (out, into) in block.items():
            names[f"transformer_blocks.{layer}.{name}.weight"] = (out * width, into * width)
    biases = {
        name.replace("weight", "bias"): shape[:1]
        for name, shape in names.items()
        if "weight" in name
    }
    return original_transformer(names | biases)


def write_random(path, names, kind):
    """Written tensor by tensor: the file may be larger than the memory."""
    header, start, dtype = {}, 0, np.dtype(DTYPES[kind])
    for name, shape in names.items():
        end = start + int(np.prod(shape)) * dtype.itemsize
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [start, end]}
        start = end
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        draw = np.random.default_rng(0)
        for shape in names.values():
            file.write((0.02 * draw.standard_normal(shape, np.float32)).astype(dtype).tobytes())


def resident(field):
    """Bytes of this process: VmRSS now, VmHWM at most so far."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {field} in /proc/self/status: Linux only")


def measure(path):
    """Loads the file and prints what it took."""
    import jax

    from flexlam_jax.checkpoints import streaming
    from flexlam_jax.loading.pretrained import load_mmdit

    loaded = {name: tensor for name, tensor in read_header(path).items() if "pos_embed" not in name}
    largest = max(tensor.size for tensor in loaded.values())
    # What any load takes once, as the memory of the compiler.
    load_mmdit(path.with_name("small.safetensors"))
    warm = jax.numpy.zeros((3, 64, 64))
    streaming._write(warm, jax.numpy.ones((1, 64, 64)), (np.int32(0),) * 3).block_until_ready()
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # The highest value starts anew.
    _, variables = load_mmdit(path)
    held = sum(leaf.nbytes for leaf in jax.tree.leaves(variables))
    beside = resident("VmHWM") - before - held
    print(
        f"parameters {held / 1e6:.0f} MB, largest tensor {largest / 1e6:.1f} MB, beside the parameters "
        f"{beside / 1e6:.1f} MB = {beside / largest:.2f} x the largest tensor"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--type", default="F32", choices=("F32", "F16", "BF16"))
    parser.add_argument("--load", action="store_true", help="a file that is there")
    given = parser.parse_args()
    random = given.folder / "random.safetensors"
    if given.load:
        measure(random)
    else:
        given.folder.mkdir(parents=True, exist_ok=True)
        write_random(random, shapes(given.width, given.layers), given.type)
        write_random(given.folder / "small.safetensors", shapes(64, given.layers), given.type)
        again = [sys.executable, "-m", "tests.loading.load_memory", str(given.folder), "--load"]
        subprocess.run(again, check=True)
