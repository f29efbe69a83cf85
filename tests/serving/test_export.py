"""Exported models say what ours do, in a process that does not import this package."""

import json
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

import docs.examples
import flexlam_jax
from flexlam_jax.errors import UserError
from flexlam_jax.loading.behaviour_cloning import LoadedBehaviourCloning
from flexlam_jax.loading.chunk_policy import LoadedChunkPolicy
from flexlam_jax.models.baku import build_chunk_policy
from flexlam_jax.models.behaviour_cloning import build_behaviour_cloning
from flexlam_jax.serving import artefacts, kinds, lam, policies, tokenizer, translator, world
from flexlam_jax.serving.functions import Argument, ExportSettings, Function
from tests.acting.tiny_parts import K, make_lam, make_policy, make_translator
from tests.experiments.command_lines import run_lines
from tests.loading.test_chunk_policy import CONFIG as CHUNKS
from tests.loading.test_chunk_policy import TEXT
from tests.loading.test_loaded_vectors import MODEL as VECTOR_MODEL
from tests.loading.test_loaded_vectors import VECTORS, raw
from tests.models.test_baku import OBSERVATION
from tests.models.test_behaviour_cloning import TINY as CLONING
from tests.models.tiny_lam import random_frames, randomised
from tests.untrained import SIZE, save_run
from tests.world.tiny_world import tiny_world

ROWS, DRAWS = 3, 4
SETTINGS = ExportSettings(draws=DRAWS, sentences=tuple(TEXT))
READER = pathlib.Path(docs.examples.__path__[0]) / "call_export.py"
# What the reader may not have imported.
OURS = {"flexlam_jax", "experiments", "data_pipelines", "tests", "flax", "orbax"}
CHILD = f"""
import runpy, sys
runpy.run_path(sys.argv[1], run_name="reader")["main"](*sys.argv[2:])
found = {OURS} & {{name.partition(".")[0] for name in sys.modules}}
assert not found and "jax" in sys.modules, found
"""


def cloned():
    section = {**CLONING, "discrete": True}
    model = build_behaviour_cloning(section)
    frames = np.zeros((1, 1, SIZE, SIZE, 3), np.uint8)
    variables = randomised(jax.jit(model.init)(jax.random.key(0), frames))
    return LoadedBehaviourCloning(model, variables, {"model": section}, 0)


def chunks():
    policy = LoadedChunkPolicy(build_chunk_policy(*CHUNKS.values()), {}, CHUNKS, 0)
    policy.variables = randomised(jax.jit(policy.initialise)(jax.random.key(0)))
    return policy


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """{name: (loaded, the module that exports it)}."""
    vectors = tmp_path_factory.mktemp("vectors")
    save_run(vectors, VECTOR_MODEL, kind="vector_lam", vectors=VECTORS)
    frames, played = make_lam(), tiny_world()
    return {
        "lam": (frames, lam),
        "vectors": (flexlam_jax.load(vectors), lam),
        "translator": (make_translator(frames), translator),
        "tokens": (make_policy(frames), policies),
        "cloning": (cloned(), policies),
        "chunks": (chunks(), policies),
        "tokenizer": (played.tokenizer, tokenizer),
        "world": (played, world),
    }


@pytest.fixture(scope="module")
def exports(models, tmp_path_factory):
    """(folder of all exports, {name: what export.json holds})."""
    folder = tmp_path_factory.mktemp("exports")
    told = {}
    for name, (model, module) in models.items():
        (folder / name).mkdir()
        found = module.exported(model, SETTINGS)
        told[name] = artefacts.write_export(folder / name, found, {"kind": name}, SETTINGS)
    return folder, told


def expected_of(models):
    """{export/function: (arguments, results)} by the loaded models themselves."""
    frames, vectors, tokens = (models[name][0] for name in ("lam", "vectors", "tokens"))
    o_t, o_next = random_frames((2, ROWS, SIZE, SIZE, 3))
    keep = np.array([0, 2, 1], np.int32)
    slots, ids = frames.encode_with_ids(o_t, o_next)
    codes = frames.null_fill(slots, keep)
    found = {
        "lam/encode": ([o_t, o_next], [slots, ids]),
        "lam/null_fill": ([slots, keep], [codes]),
        "lam/decode": ([o_t, codes], [frames.decode(o_t, codes)]),
        "lam/slots_of": ([frames.tokens(o_t, o_next, keep)], [codes]),
    }
    v_t, v_next = raw(ROWS, 3, seed=1), raw(ROWS, 3, seed=2)
    codes = vectors.encode(v_t, v_next)
    found["vectors/encode"] = [v_t, v_next], [codes]
    found["vectors/decode"] = [v_t, codes], [vectors.decode(v_t, codes)]
    translate = models["translator"][0]
    found["translator/translate"] = [slots], [translate.outputs(slots), translate(slots)]
    seen = random_frames((ROWS, 3, SIZE, SIZE, 3), seed=1)
    past, seeds = ids[:, None], np.array([3, 1, 4], np.uint32)
    draws = tokens.draws(seen, past, seeds, draws=DRAWS, keep=K)
    found["tokens/draw"] = [seen, past, seeds], [draws]
    both = np.concatenate([past, draws[:, :1]], axis=1)
    found["tokens/log_prob"] = [seen, both], [tokens.log_prob(seen, both)]
    policy = models["cloning"][0]
    seen = seen[:, -policy.history :]
    found["cloning/act"] = [seen], [policy.outputs(seen), policy(seen)]
    found["chunks/act"] = chunks_of(models["chunks"][0], steps=2)
    return found | played_of(models["world"][0], 3 * slots[:2])


def chunks_of(policy, steps):
    now = {name: x[:, :steps] for name, x in OBSERVATION.items() if name != "text"}
    frames = {"top": now["frames"][:, :, 0], "side": now["frames"][:, :, 1]}
    chunk = policy.decide(frames, now["proprio"], TEXT, now["skill"])
    text = policy.text.features(TEXT)
    given = [*frames.values(), now["proprio"], now["skill"], text, np.zeros(2, np.uint32)]
    return given, [chunk]


def played_of(played, codes):
    """Of a world and its tokenizer, from one frame on."""
    start, keep = random_frames((2, 1, SIZE, SIZE, 3), seed=2), np.array([1, 3], np.int32)
    ids = played.tokenizer.encode(start)
    state = played.start(start)
    frames, after = played.step(state, codes, keep, seed=5, temperature=0.0)
    before, after = (list(map(np.asarray, jax.tree.leaves(x))) for x in (state, after))
    chosen = codes, keep, np.uint32(5), np.float32(0)
    return {
        "tokenizer/encode": ([start], [ids]),
        "tokenizer/decode": ([ids], [played.tokenizer.decode(ids)]),
        "world/start": ([start], before),
        "world/step": ([*before, *chosen], [frames, *after]),
    }


def test_another_program_computes_the_same_without_this_package(models, exports, tmp_path):
    folder, told = exports
    expected, given = expected_of(models), {}
    for place, (arguments, _) in expected.items():
        name, _, function = place.partition("/")
        entry = told[name]["functions"][function]
        for argument, array in zip(entry["arguments"], arguments, strict=True):
            assert argument["dtype"] == str(array.dtype) and argument["meaning"]
            assert len(argument["shape"]) == array.ndim and (
                not array.ndim or "b" in argument["shape"]
            )
            given[f"{place}/{argument['name']}"] = array
    np.savez(tmp_path / "inputs.npz", **given)
    files = [str(tmp_path / "inputs.npz"), str(tmp_path / "outputs.npz")]
    done = subprocess.run(
        [sys.executable, "-I", "-c", CHILD, READER, *files, *(folder / name for name in models)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    outputs = np.load(tmp_path / "outputs.npz")
    for place, (_, results) in expected.items():
        name, _, function = place.partition("/")
        entry = told[name]["functions"][function]
        for (key, is_), result in zip(entry["results"].items(), results, strict=True):
            found = outputs[f"{place}/{key}"]
            assert is_["dtype"] == str(found.dtype) and len(is_["shape"]) == found.ndim
            # Parameters are constants of these programs, and arguments of ours: XLA folds them.
            # Pixels are rounded.
            within = 1 if found.dtype == np.uint8 else 1e-5
            difference = found.astype(np.float64) - result
            assert np.abs(difference).max() <= within + 1e-4 * np.abs(result).max(), (place, key)
            assert found.size == 1 or np.ptp(found) or key.endswith("count"), (place, key)


def test_the_manifest_says_how_to_call_and_of_what(models, exports):
    folder, told = exports
    manifest = json.loads((folder / "lam" / "export.json").read_text())
    assert manifest == told["lam"] and manifest["platforms"] == ["cpu", "cuda", "tpu"]
    assert manifest["versions"]["jax"] == jax.__version__ and manifest["batch"] == "b"
    assert manifest["facts"]["null_id"] == 9 and manifest["facts"]["budgets"] == [1, 2, 3]
    decode = manifest["functions"]["decode"]
    assert [argument["name"] for argument in decode["arguments"]] == ["o_t", "codes"]
    assert decode["results"]["o_next"]["shape"] == ["b", SIZE, SIZE, 3]
    found = lam.exported(models["lam"][0], SETTINGS)
    assert found.fingerprint == models["lam"][0].fingerprint()
    act = told["chunks"]["functions"]["act"]
    assert act["limits"] == ["t <= 3"] and act["arguments"][0]["shape"][:2] == ["b", "t"]
    assert told["chunks"]["facts"]["sentences"] == TEXT
    features = models["chunks"][0].text.features(TEXT)
    np.testing.assert_array_equal(np.load(folder / "chunks" / "sentences.npy"), features)


def double(call, **change):
    argument = Argument("x", ("b", 2), np.float32, "numbers")
    return Function("double", "", (argument,), {"y": ""}, call, **change)


def test_a_number_of_rows_may_be_fixed():
    settings = ExportSettings(platforms=("cpu",), batch=4)
    exported = artefacts.export_function(double(lambda x: {"y": 2 * x}), settings)
    assert exported.in_avals[0].shape == (4, 2)
    exported.call(np.ones((4, 2), np.float32))
    with pytest.raises(ValueError, match=r"Shape mismatch.*expected \(4, 2\)"):
        exported.call(np.ones((3, 2), np.float32))


def test_what_cannot_be_exported_says_what_can(tmp_path):
    needs_rows = double(lambda x: {"y": x.reshape(len(x) * 2)})
    with pytest.raises(UserError, match="double cannot be exported for cpu.* any number of rows"):
        artefacts.export_function(needs_rows, ExportSettings(platforms=("cpu",)))
    with pytest.raises(UserError, match="platforms are metal; give each once, of cpu, cuda"):
        ExportSettings(platforms=("metal",))
    with pytest.raises(UserError, match="name the sentences that it will be told"):
        policies.exported(chunks(), ExportSettings())
    assert set(kinds.EXPORTERS).isdisjoint(kinds.REFUSED)


def test_the_command_exports_a_checkpoint_and_refuses_what_it_cannot(tmp_path):
    save_run(tmp_path / "run")
    save_run(tmp_path / "skills", kind="hilam")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    run, out = f"--checkpoint={tmp_path / 'run'}", f"--out={tmp_path / 'out'}"
    lines = [
        [run, out, "--batch=2", "--platforms=cpu"],
        [run, out, "--platforms=abacus"],
        [run, f"--out={tmp_path / 'full'}"],
        [f"--checkpoint={tmp_path / 'skills'}", out],
        [run, out, f"--sentences={tmp_path / 'none.txt'}"],
        [run, out, f"--sentences={tmp_path / 'full' / 'notes.txt'}"],
    ]
    done, *refused = run_lines("export_model", lines)
    assert done[0] == 0 and done[1].count(".jaxexport: ") == 4, done
    manifest = json.loads((tmp_path / "out" / "export.json").read_text())
    assert manifest["model"]["kind"] == "lam" and manifest["model"]["step"] == 2
    assert manifest["model"]["fingerprint"] == flexlam_jax.load(tmp_path / "run").fingerprint()
    assert manifest["functions"]["null_fill"]["arguments"][1]["shape"] == [2]
    told = (
        "platforms are abacus; give each once",
        "holds notes.txt, not an exported model",
        "of kind 'hilam', which is not exported: its chunks are of any length",
        "none.txt cannot be read",
        "models of kind lam are told no sentences",
    )
    for (code, _, error, _), text in zip(refused, told, strict=True):
        assert code == 1 and text in error, error
