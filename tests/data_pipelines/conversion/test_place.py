"""--out is new, empty or ours; nothing else is written to, emptied or deleted."""

import pytest

from data_pipelines.conversion.build import Engine, prepare
from data_pipelines.conversion.place import PLAN
from data_pipelines.errors import DataError
from data_pipelines.format.manifest import read_manifest
from data_pipelines.registry import recipe_options
from tests.data_pipelines.conversion.painted import make_options

PAINTED = "tests.data_pipelines.conversion.painted"
FINGERPRINT = "0" * 64


def tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def refused(out, match, recipe=PAINTED, options=None):
    with pytest.raises(DataError, match=match):
        prepare(recipe, out, options or make_options())


@pytest.mark.parametrize("recipe", [PAINTED, "synthetic"])
@pytest.mark.parametrize(
    "files",
    [
        {"thesis.txt": "precious"},
        {"manifest.json": "{}"},
        {"mnist/1.0.0/mnist-train.tfrecord": "theirs"},
        {PLAN: "our next release"},
        {PLAN: FINGERPRINT, "notes.md": "put here while it ran"},
        {PLAN: FINGERPRINT, "photos/2024/a.jpg": "theirs"},
    ],
)
def test_a_foreign_partial_folder_stays_as_it_is(tmp_path, recipe, files):
    for name, text in files.items():
        path = tmp_path / ".data.partial" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    before = tree(tmp_path)
    options = make_options() if recipe == PAINTED else recipe_options("synthetic", "--size=16")
    refused(tmp_path / "data", "holds files of somebody else .*left as they are", recipe, options)
    assert tree(tmp_path) == before


def test_what_a_killed_build_left_is_used_again(tmp_path):
    """Also that of earlier versions, whose simulators wrote no plan."""
    (tmp_path / ".a.partial" / ".units" / "000000" / "square").mkdir(parents=True)
    assert prepare("synthetic", tmp_path / "a", recipe_options("synthetic", "--size=16"))
    for name in (".units", ".shards", "painted/1.0.0"):
        (tmp_path / ".b.partial" / name).mkdir(parents=True)
    (tmp_path / ".b.partial" / PLAN).write_text(FINGERPRINT)
    assert prepare(PAINTED, tmp_path / "b", make_options())
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["manifest.json", "painted"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_links_and_files_in_the_place_of_folders_are_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / ".a.partial").symlink_to(tmp_path / "elsewhere")
    (tmp_path / ".b.partial").write_text("a file")
    for name in ("link", "dangling"):
        refused(tmp_path / name, "is a link to .*nothing is written through links")
    refused(tmp_path / "a", "is a link; give another --out")
    refused(tmp_path / "b", "is a file; give another --out")
    assert not list((tmp_path / "elsewhere").iterdir()) and not (tmp_path / "nowhere").exists()


def test_a_link_to_a_finished_folder_is_finished(tmp_path):
    prepare(PAINTED, tmp_path / "data", make_options())
    (tmp_path / "link").symlink_to(tmp_path / "data")
    assert prepare(PAINTED, tmp_path / "link", make_options()) is False


@pytest.mark.parametrize("out", ["", "  ", "gs://bucket/data"])
def test_what_names_no_folder(tmp_path, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    refused(out, "--out .*give")
    assert not list(tmp_path.iterdir())


def test_a_name_too_long_and_a_home_of_nobody(tmp_path):
    refused(tmp_path / ("x" * 300), "give another --out")
    refused("~nobody-of-this-name/data", "give another --out")


@pytest.mark.parametrize("inside", [".", "out", "deep/er/out"])
def test_an_output_in_its_own_source_is_refused(tmp_path, inside):
    (tmp_path / "source").mkdir()
    (tmp_path / "alias").symlink_to(tmp_path / "source")
    for name in ("source", "alias"):
        options = make_options() | {"source": str(tmp_path / "source")}
        refused(tmp_path / name / inside, "lies in --source|is a link to", options=options)
    assert not list((tmp_path / "source").iterdir())


def test_a_plan_that_fails_leaves_no_folders(tmp_path):
    refused(tmp_path / "a" / "b" / "data", "holds nothing to read", options=make_options(items=0))
    few = make_options(items=2)
    refused(tmp_path / "a" / "data", "has 2 episodes; three are.*--cut=", options=few)
    assert not list(tmp_path.iterdir())


def test_nobody_is_told_to_remove_a_folder(tmp_path):
    prepare(PAINTED, tmp_path / "data", make_options())
    with pytest.raises(DataError, match="other options") as error:
        prepare(PAINTED, tmp_path / "data", make_options(seed=5))
    assert "remove" not in str(error.value).replace(str(tmp_path), "")
    assert read_manifest(tmp_path / "data")["episodes"] == 12


@pytest.mark.parametrize(
    ("changes", "engine", "message"),
    [
        ({"seed": -1}, Engine(), "--seed is -1"),
        ({"max_failures": float("nan")}, Engine(), "--max-failures is nan"),
        ({"size": 10**7}, Engine(), "--size is 10000000; give a number from 0 to 4096"),
        ({"clip_stride": 0}, Engine(), "--clip-stride is 0"),
        ({"max_span": 10**9}, Engine(), "--max-span is 1000000000"),
        ({}, Engine(workers=0), "--workers is 0; use 1 to"),
        ({}, Engine(workers=10**6), "--workers is 1000000"),
        ({}, Engine(beam_arguments=("--itmes=4",)), "unknown arguments --itmes=4"),
        ({}, Engine("NoSuchRunner"), "does not accept --runner=NoSuchRunner"),
        ({}, Engine("DirectRunner", 1, ("--itmes=4",)), "unknown arguments --itmes=4"),
    ],
)
def test_wrong_options_are_found_before_the_source_is_looked_at(
    tmp_path, monkeypatch, changes, engine, message
):
    from tests.data_pipelines.conversion import painted

    monkeypatch.setattr(painted, "plan", lambda options: pytest.fail("planned"))
    with pytest.raises(DataError, match=message):
        prepare(PAINTED, tmp_path / "data", make_options() | changes, engine=engine)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("recipe", [".x", "a..b", "./videos", "/etc/passwd.py", "x"])
def test_what_names_no_recipe(tmp_path, recipe):
    refused(tmp_path / "data", "unknown dataset", recipe=recipe)
