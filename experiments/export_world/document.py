"""One HTML file of everything: scripts put together, data as text, a policy that lets nothing out."""

import base64
import gzip
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent / "page"
PLAY = Path(__file__).parents[1] / "play" / "page"  # Keys and legend are those of the live page.
MODULES = (
    *(PLAY / f"{name}.js" for name in ("keys", "legend", "screen", "numbers")),
    *(HERE / f"{name}.js" for name in ("embedded", "sampling", "world", "main")),
)
# A browser then refuses every request: what runs is in the file.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval' blob:; "
    "style-src 'unsafe-inline'; img-src data:"
)
_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./(\w+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async function|function|class|const) (\w+))", re.MULTILINE)


def document(facts: Mapping[str, Any], parts: Mapping[str, bytes]) -> str:
    """The file.

    Args:
      facts: JSON-able, what main.js reads.
      parts: id -> bytes, which are kept gzipped.
    """
    told = json.dumps(facts, allow_nan=False).replace("<", "\\u003c")
    data = [f'<script type="application/json" id="facts">{told}</script>']
    data += [
        f'<script type="text/plain" id="{name}">{text_of(gzip.compress(part, 9, mtime=0))}</script>'
        for name, part in parts.items()
    ]
    held = {
        "policy": POLICY,
        "style": (PLAY / "page.css").read_text(),
        "script": bundle(MODULES),
        "data": "\n".join(data),
        "license": (HERE / "onnxruntime_license.txt").read_text(),
    }
    return re.sub(r"@(\w+)@", lambda found: held[found[1]], (HERE / "index.html").read_text())


def text_of(data: bytes) -> str:
    """Bytes as base64."""
    return base64.b64encode(data).decode()


def bundle(files: Sequence[Path]) -> str:
    """Modules as one: each a function that gives what it exports. Later ones import earlier ones, by
    `import { name, name as other } from "./file.js";` on a line, and export what they declare."""
    written = []
    for file in files:
        text = file.read_text()
        names = ", ".join(_EXPORT.findall(text))
        text = _IMPORT.sub(lambda found: _taken(*found.groups()), text)
        text = _EXPORT.sub("", text)
        if file is files[-1]:  # May wait for others, and gives nothing.
            written.append(text)
        else:
            written.append(f"const _{file.stem} = (() => {{\n{text}return {{ {names} }};\n}})();\n")
    script = "\n".join(written)
    assert "</script" not in script
    return script


def _taken(names: str, module: str) -> str:
    return f"const {{ {names.strip().replace(' as ', ': ')} }} = _{module};\n"
