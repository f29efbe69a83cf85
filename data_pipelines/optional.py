"""Packages that only some readers need."""

from __future__ import annotations

import importlib
import types

from data_pipelines.errors import DataError

_PIP_NAMES = {"apache_beam": "apache-beam", "google_crc32c": "google-crc32c"}


def require(module: str) -> types.ModuleType:
    """Imports a module of the `datasets` extra; raises DataError with the command that adds it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = _PIP_NAMES.get(module.split(".")[0], module.split(".")[0])
        raise DataError(
            f"this needs {package}, which cannot be imported ({error}); run "
            f"`pip install 'flexlam_jax[datasets]'` (or `pip install {package}`)"
        ) from error
