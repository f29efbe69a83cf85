"""Writing what is exported: a file per function, and export.json, which says how to call them.

    OUT/export.json
    OUT/encode.jaxexport, OUT/decode.jaxexport, ...        StableHLO with the parameters in it

Whoever reads them needs jax and flatbuffers, and nothing of this package; docs/export.md.
"""

import hashlib
import importlib.util
import io
import json
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jaxlib
import numpy as np
from etils import epath
from jax import export

from flexlam_jax.errors import UserError
from flexlam_jax.files import write_atomically
from flexlam_jax.serving.functions import ROWS, Argument, Exported, ExportSettings, Function
from flexlam_jax.version import __version__

MANIFEST, SUFFIX = "export.json", ".jaxexport"
FORMAT = 1
LARGEST = 2**31 - 2**24  # bytes; offsets in the files are of 31 bits
_HOW = (
    "outputs = jax.export.deserialize(open(file, 'rb').read()).call(*arguments): arrays of these "
    "types and shapes in this order give a dict of arrays by name. A name in a shape is a size that "
    "the caller chooses, the same wherever it stands; b is the number of rows, of which each is "
    "computed for itself."
)


def check_packages() -> None:
    """Raises UserError where the package is missing that jax writes these files with."""
    if importlib.util.find_spec("flatbuffers") is None:
        raise UserError(
            "jax writes exported functions with flatbuffers, which is not installed; run `pip "
            "install 'flexlam_jax[export]'` (or `pip install flatbuffers`)"
        )


def write_export(
    folder: Any,
    found: Exported,
    source: Mapping[str, Any],
    settings: ExportSettings,
    report: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Writes all functions, and export.json last; an export that is there is replaced.

    Args:
      folder: exists.
      source: which model it is of, for export.json.
      report: called with a line per file.

    Returns:
      What export.json holds.

    Raises:
      UserError: a function that jax does not export this way, or a file that cannot be written.
    """
    folder = epath.Path(folder)
    (folder / MANIFEST).unlink(missing_ok=True)
    functions = {}
    for function in found.functions:
        exported = export_function(function, settings)
        data = _serialized(exported, function)
        file = f"{function.name}{SUFFIX}"
        write_atomically(folder / file, data)
        functions[function.name] = _entry(function, exported, file, data)
        report(f"{folder / file}: {len(data)} bytes")
    arrays = {}
    for name, array in found.arrays.items():
        write_atomically(folder / f"{name}.npy", _npy(array))
        arrays[name] = {"file": f"{name}.npy", **_is(array.shape, array.dtype)}
    manifest = {
        "kind": "export",
        "format": FORMAT,
        "how": _HOW,
        "model": dict(source),
        "versions": {
            "flexlam_jax": __version__,
            "jax": jax.__version__,
            "jaxlib": jaxlib.__version__,
        },
        "platforms": list(settings.platforms),
        "batch": ROWS if settings.batch is None else settings.batch,
        "functions": functions,
        "arrays": arrays,
        "facts": dict(found.facts),
    }
    write_atomically(folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    return manifest


def export_function(function: Function, settings: ExportSettings) -> export.Exported:
    """The function as `jax.export` has it, for all platforms at once.

    Raises:
      UserError: a part of it needs a kernel of one platform, or to know the number of rows.
    """
    scope = export.SymbolicScope(function.limits)
    arguments = [_symbolic(argument, settings, scope) for argument in function.arguments]
    try:
        return export.export(jax.jit(function.call), platforms=settings.platforms)(*arguments)
    except UserError:
        raise
    except Exception as error:  # Whatever a lowering rule raises that does not know a platform.
        rows = "any number of rows" if settings.batch is None else f"{settings.batch} rows"
        told = str(error).strip().split("\n")[0][:300]
        raise UserError(
            f"{function.name} cannot be exported for {', '.join(settings.platforms)} with {rows} "
            f"({type(error).__name__}: {told}); give one of the platforms alone, or a number of rows"
        ) from error


def _symbolic(
    argument: Argument, settings: ExportSettings, scope: export.SymbolicScope
) -> jax.ShapeDtypeStruct:
    fixed: dict[int | str, int | str] = {} if settings.batch is None else {ROWS: settings.batch}
    sizes = [fixed.get(size, size) for size in argument.shape]
    shape = export.symbolic_shape(", ".join(map(str, sizes)), scope=scope)
    return jax.ShapeDtypeStruct(shape, argument.dtype)


def _serialized(exported: export.Exported, function: Function) -> bytes:
    size = len(exported.mlir_module_serialized)
    if size > LARGEST:
        raise UserError(
            f"{function.name} with its parameters is {size / 2**30:.1f} GiB, and a file of jax.export "
            f"holds {LARGEST / 2**30:.1f} at most; serve this model by flexlam_jax.load"
        )
    try:
        return bytes(exported.serialize())
    except ValueError as error:  # Kernels that later versions may not know.
        told = str(error).strip().split("\n")[0][:300]
        raise UserError(
            f"{function.name} cannot be kept in a file ({told}); export a model whose attention is "
            "'auto' or 'xla'"
        ) from error


def _entry(function: Function, exported: export.Exported, file: str, data: bytes) -> dict[str, Any]:
    results = jax.tree.unflatten(exported.out_tree, exported.out_avals)
    return {
        "does": function.does,
        "file": file,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "calling_convention_version": exported.calling_convention_version,
        "arguments": [
            {"name": argument.name, **_is(aval.shape, aval.dtype), "meaning": argument.meaning}
            for argument, aval in zip(function.arguments, exported.in_avals, strict=True)
        ],
        "results": {
            name: {**_is(results[name].shape, results[name].dtype), "meaning": meaning}
            for name, meaning in function.results.items()
        },
        **({"limits": list(function.limits)} if function.limits else {}),
    }


def _is(shape: Any, dtype: Any) -> dict[str, Any]:
    sizes = [size if isinstance(size, int) else str(size) for size in shape]
    return {"shape": sizes, "dtype": str(np.dtype(dtype))}


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()
