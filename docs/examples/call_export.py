"""Calls what `experiments.export_model` wrote. Needs jax, numpy and flatbuffers; no flexlam_jax.

    python call_export.py INPUTS.npz OUTPUTS.npz EXPORT [EXPORT ...]

INPUTS holds arrays named <folder>/<function>/<argument>; OUTPUTS gets <folder>/<function>/<result>
of every function whose arguments are all there.
"""

import json
import pathlib
import sys

import jax.export
import numpy as np


def load_export(folder):
    """{name of a function: (function of arrays, names of its arguments)} of an export."""
    folder = pathlib.Path(folder)
    told = json.loads((folder / "export.json").read_text())
    functions = {}
    for name, entry in told["functions"].items():
        program = jax.export.deserialize(bytearray((folder / entry["file"]).read_bytes()))
        arguments = [argument["name"] for argument in entry["arguments"]]
        functions[name] = jax.jit(program.call), arguments
    return functions


def main(inputs, outputs, *folders):
    given, found = np.load(inputs), {}
    for folder in map(pathlib.Path, folders):
        for name, (function, arguments) in load_export(folder).items():
            keys = [f"{folder.name}/{name}/{argument}" for argument in arguments]
            if all(key in given for key in keys):
                results = function(*(given[key] for key in keys))
                found |= {f"{folder.name}/{name}/{key}": x for key, x in results.items()}
    np.savez(outputs, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
