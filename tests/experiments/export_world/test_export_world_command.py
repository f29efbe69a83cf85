"""What the command refuses, in one message each, and where the runtime comes from."""

import base64
import hashlib
import io
import json
import os
import shutil
import tarfile

import pytest

from experiments.export_world import runtime
from flexlam_jax.errors import UserError
from tests.experiments.command_lines import run_lines
from tests.experiments.tiny_dynamics import save_tokenizer
from tests.untrained import save_run

PARTS = {
    "package/package.json": json.dumps({"name": runtime.NAME, "version": runtime.VERSION}).encode(),
    "package/dist/ort.wasm.bundle.min.mjs": b"export {};",
    "package/dist/ort-wasm-simd-threaded.wasm": b"\0asm",
}
WHOLE = runtime.Runtime(b"export {};", b"\0asm")


def test_what_the_command_refuses(tmp_path):
    save_run(tmp_path / "lam")
    save_tokenizer(tmp_path / "tokenizer")
    out = f"--out={tmp_path}/world.html"
    lines = {
        (f"--checkpoint={tmp_path}/lam", out): "a file is made of dynamics",
        (f"--checkpoint={tmp_path}/tokenizer", out): "of kind 'tokenizer', which is no world",
        (f"--checkpoint={tmp_path}/none", out): "no checkpoint",
        (f"--checkpoint={tmp_path}/lam", f"--out={tmp_path}/world"): "name it something.html",
        (f"--checkpoint={tmp_path}/lam", out, "--steps=26"): "26 is not an integer in the range",
    }
    results = run_lines("export_world.command", [list(line) for line in lines])
    for (code, _, told, _), wanted in zip(results, lines.values(), strict=True):
        assert code == 1 and wanted in told and told.strip().count("\n") == 0, told
    assert not (tmp_path / "world.html").exists()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A tarball, whose hash is the one that is wanted, and a cache folder that is empty."""
    file = tmp_path / "given.tgz"
    with tarfile.open(file, "w:gz") as archive:
        for name, data in PARTS.items():
            told = tarfile.TarInfo(name)
            told.size = len(data)
            archive.addfile(told, io.BytesIO(data))
    digest = hashlib.sha512(file.read_bytes()).digest()
    monkeypatch.setattr(runtime, "INTEGRITY", "sha512-" + base64.b64encode(digest).decode())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return file


def test_a_runtime_that_is_given_is_read_and_checked(package, tmp_path):
    assert runtime.open_runtime(str(package)) == WHOLE
    for name, data in PARTS.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    folder = tmp_path / "package"
    assert runtime.open_runtime(str(folder)) == WHOLE
    (folder / "package.json").write_text('{"name": "onnxruntime-web", "version": "1.0.0"}')
    with pytest.raises(UserError, match="holds onnxruntime-web 1.0.0; pages are tested with"):
        runtime.open_runtime(str(folder))
    with pytest.raises(UserError, match="is no unpacked package"):
        runtime.open_runtime(str(tmp_path))
    package.write_bytes(package.read_bytes() + b"more")
    with pytest.raises(UserError, match="is not onnxruntime-web .* as the registry has it"):
        runtime.open_runtime(str(package))
    with pytest.raises(UserError, match="cannot be read"):
        runtime.open_runtime(str(tmp_path / "none.tgz"))


@pytest.mark.parametrize("works", [True, False])
def test_npm_fetches_it_once_and_says_so(package, tmp_path, monkeypatch, works):
    (tmp_path / "bin").mkdir()
    npm, told = tmp_path / "bin" / "npm", []
    last = '"${@: -1}"'
    copy = f"cp {package} {last}/{runtime.NAME}-{runtime.VERSION}.tgz"
    npm.write_text(
        f"#!{shutil.which('bash')}\n{copy if works else 'echo no network >&2; exit 1'}\n"
    )
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{npm.parent}:{os.environ['PATH']}")
    if not works:
        with pytest.raises(UserError, match=r"npm could not fetch .*no network.*--runtime=FILE"):
            runtime.open_runtime(report=told.append)
        assert told and not runtime.cached().exists()
        return
    assert runtime.open_runtime(report=told.append) == WHOLE and len(told) == 1
    assert runtime.open_runtime(report=told.append) == WHOLE and len(told) == 1
    assert [child.name for child in runtime.cached().parent.iterdir()] == [runtime.cached().name]


def test_without_npm_it_says_what_to_give(package, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(
        UserError, match=r"is fetched by npm; or get https://registry.* --runtime=FILE"
    ):
        runtime.open_runtime()
