"""What a folder of skills says of itself; its sidecars say the same of their model."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flexlam_jax.errors import UserError
from flexlam_jax.files import write_atomically
from flexlam_jax.typed_json import read_json

_NAME, _FORMAT = "manifest.json", 1


def write_skill_manifest(out: Path, told: Mapping[str, Any]) -> None:
    """Writes it. Raises UserError for a folder that holds other skills."""
    mine = {"format": _FORMAT, "kind": "skills", **told}
    if (out / _NAME).is_file():
        found = read_json(out / _NAME, dict[str, Any], remedy="give another --out")
        differ = [key for key in mine | found if mine.get(key) != found.get(key)]
        if differ:
            raise UserError(
                f"{out} holds other skills ("
                + ", ".join(f"{key} {str(found.get(key))[:24]}" for key in differ)
                + "); give another --out"
            )
    write_atomically(out / _NAME, json.dumps(mine, indent=1) + "\n")
