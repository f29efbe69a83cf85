"""Conversions: the same bytes on every engine, resume by bundle and shard, skips counted, limits."""

import json
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from array_record.python import array_record_module as array_record

from data_pipelines.conversion.build import Engine, prepare
from data_pipelines.conversion.bundles import cut_bundles
from data_pipelines.errors import DataError
from data_pipelines.format.manifest import open_dataset
from data_pipelines.readers.recordings import Item
from data_pipelines.tools.validation import validate
from tests.data_pipelines.conversion.painted import make_options

REPOSITORY = pathlib.Path(__file__).parents[3]
PAINTED = "tests.data_pipelines.conversion.painted"
BEAM = Engine("DirectRunner", workers=2)


def files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def episodes(folder, name="painted"):
    """episode -> (split, facts), from the lists that lie beside the shards."""
    return {
        facts["episode"]: (path.stem.removeprefix("episodes-"), facts)
        for path in (folder / name / "1.0.0").glob("episodes-*.jsonl")
        for facts in map(json.loads, path.read_text().splitlines())
    }


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    out = tmp_path_factory.mktemp("reference") / "data"
    assert prepare(PAINTED, out, make_options(faults={"5": "raises"}))
    return out


@pytest.mark.parametrize(
    "engine",
    [
        Engine("local", workers=2),
        Engine("DirectRunner", workers=1),
        BEAM,
        # The portable protocol, which clusters (Flink, Spark) speak, with its in-process server.
        Engine("PortableRunner", 1, ("--job_endpoint=embed", "--environment_type=LOOPBACK")),
    ],
    ids=["processes", "beam-1", "beam-2-processes", "beam-portable"],
)
def test_every_engine_and_number_of_workers_writes_the_same_bytes(reference, tmp_path, engine):
    prepare(PAINTED, tmp_path / "data", make_options(faults={"5": "raises"}), engine=engine)
    assert files(tmp_path / "data") == files(reference)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_manifest_and_episode_lists(reference):
    manifest = open_dataset(reference).manifest
    assert manifest["episodes"] == 11 and manifest["skipped"] == {"unreadable": 1}
    assert manifest["skipped_items"] == [["item 5", "unreadable", "cannot open item 5"]]
    assert manifest["sources"] == {"reader": "painted"}
    assert manifest["transitions"] == sum(9 + i % 4 for i in range(12) if i != 5)
    listed = episodes(reference)
    names = [listed[number][1]["source"] for number in sorted(listed)]
    assert names == [f"item {i}" for i in range(12) if i != 5]
    assert listed[0][1]["language"] == "paint number 0" and listed[0][1]["length"] == 10
    assert validate(reference)["episodes"] == 11


def test_killed_conversion_goes_on_where_it_stopped(tmp_path):
    out, log = tmp_path / "data", tmp_path / "log"
    options = make_options(items=30, log=str(log), pause=0.1)
    code = (
        "from data_pipelines.conversion.build import prepare\n"
        f"prepare({PAINTED!r}, {str(out)!r}, {options})"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY)
    while len(list((tmp_path / ".data.partial").glob(".units/[0-9]*"))) < 5:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists()
    done = len(list((tmp_path / ".data.partial").glob(".units/[0-9]*")))
    log.unlink()
    assert prepare(PAINTED, out, options)
    read_again = [int(line) for line in log.read_text().split()]
    assert read_again == list(range(done, 30))
    assert not (tmp_path / ".data.partial").exists()
    plain = tmp_path / "plain"
    prepare(PAINTED, plain, options | {"log": "", "pause": 0.0})
    assert (
        open_dataset(out).manifest["content_hash"] == (open_dataset(plain).manifest["content_hash"])
    )


def test_finished_shards_are_kept_and_the_others_written(tmp_path, monkeypatch):
    from data_pipelines.conversion import engines

    out, written, original = tmp_path / "data", [], engines.write_shard

    def breaks(job):
        if len(written) == 2:
            raise OSError(28, "No space left on device")
        written.append(job.file_name)
        original(job)

    monkeypatch.setattr(engines, "write_shard", breaks)
    with pytest.raises(DataError, match="cannot write .*No space left"):
        prepare(PAINTED, out, make_options(), shard_bytes=1)
    assert not out.exists()
    (first,) = (tmp_path / ".data.partial").rglob(written[0])
    before = first.stat().st_ino
    monkeypatch.setattr(engines, "write_shard", original)
    prepare(PAINTED, out, make_options(), shard_bytes=1)
    (first,) = out.rglob(written[0])
    assert first.stat().st_ino == before
    assert validate(out)["episodes"] == 12


def test_another_plan_does_not_reuse_what_was_done(tmp_path):
    log = tmp_path / "log"
    with pytest.raises(DataError, match="two recordings are called 'same'"):
        prepare(PAINTED, tmp_path / "data", make_options(same_name=True))
    assert list((tmp_path / ".data.partial" / ".units").iterdir())
    prepare(PAINTED, tmp_path / "data", make_options(log=str(log)))
    assert len(log.read_text().split()) == 12


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("skips", "missing clip"),
        ("corrupt", "corrupt video"),
        ("blank", "blank"),
        ("out of range", "action out of range"),
        ("raises", "unreadable"),
    ],
)
def test_unusable_items_are_skipped_counted_and_listed(tmp_path, fault, reason):
    prepare(PAINTED, tmp_path / "data", make_options(faults={"3": fault}))
    manifest = open_dataset(tmp_path / "data").manifest
    assert manifest["skipped"] == {reason: 1} and manifest["episodes"] == 11
    assert manifest["skipped_items"][0][0] == "item 3"
    assert "item 3" not in [facts["source"] for _, facts in episodes(tmp_path / "data").values()]


@pytest.mark.parametrize("engine", [Engine(), BEAM], ids=["local", "beam"])
def test_too_many_failures_stop_the_job_early(tmp_path, engine):
    log = tmp_path / "log"
    faults = {str(i): "corrupt" for i in range(6)}
    options = make_options(items=40, faults=faults, log=str(log), pause=0.02)
    message = "at least . of 40 episodes .* cannot be used, more than --max-failures=0.1 allows"
    with pytest.raises(DataError, match=message if engine is BEAM else message + "; first: item 4"):
        prepare(PAINTED, tmp_path / "data", options, engine=engine)
    assert not (tmp_path / "data").exists()
    if engine is not BEAM:  # a runner may have handed out everything already
        assert len(log.read_text().split()) == 5
        # With more tolerance the same job goes on: what was read is not read again.
        assert prepare(PAINTED, tmp_path / "data", options | {"max_failures": 0.2})
        assert [int(line) for line in log.read_text().split()[5:]] == list(range(4, 40))


def test_what_the_publisher_rules_out_is_no_failure(tmp_path):
    faults = {str(i): "ruled out" for i in range(6)}
    prepare(PAINTED, tmp_path / "data", make_options(faults=faults))
    assert open_dataset(tmp_path / "data").manifest["skipped"] == {"rejected annotation": 6}


def test_a_recording_keeps_all_of_its_cameras_or_none(tmp_path):
    options = make_options(
        cameras=["front", "wrist"],
        faults={"2": "corrupt", "4": "second camera short"},
        labels=False,
    )
    prepare(PAINTED, tmp_path / "data", options | {"max_failures": 0.5})
    info = open_dataset(tmp_path / "data")
    front, wrist = (episodes(tmp_path / "data", f"painted_{name}") for name in ("front", "wrist"))
    assert front == wrist and len(front) == 10
    assert info.manifest["skipped"] == {"corrupt video": 1, "frame count": 1}
    assert validate(tmp_path / "data")["episodes"] == 20


def test_groups_stay_together_and_published_splits_are_kept(tmp_path):
    prepare(PAINTED, tmp_path / "groups", make_options(items=20, groups=4))
    splits = {}
    for number, (split, _) in episodes(tmp_path / "groups").items():
        splits.setdefault(number // 4, set()).add(split)
    assert all(len(found) == 1 for found in splits.values()) and len(splits) == 5
    published = [["train", "test"][i in (3, 7)] for i in range(12)]
    prepare(PAINTED, tmp_path / "published", make_options(published=published))
    found = {number: split for number, (split, _) in episodes(tmp_path / "published").items()}
    assert [number for number, split in found.items() if split == "test"] == [3, 7]
    assert list(found.values()).count("validation") == 1
    with pytest.raises(DataError, match="group 'group 0' is published in two splits"):
        prepare(PAINTED, tmp_path / "both", make_options(groups=4, published=published))
    with pytest.raises(DataError, match="unknown splits .'dev'."):
        prepare(PAINTED, tmp_path / "unknown", make_options(published=["train", "dev"] * 6))


def test_leaks_between_splits_stop_the_job_or_are_listed(tmp_path):
    published = [["train", "test"][i == 4] for i in range(12)]
    options = make_options(published=published, faults={"4": "copy of item 0"})
    message = "10 consecutive frames occur in painted episode 0 .train.*--leaks=report"
    with pytest.raises(DataError, match=message):
        prepare(PAINTED, tmp_path / "data", options)
    prepare(PAINTED, tmp_path / "data", options | {"leaks": "report"})
    (leak,) = open_dataset(tmp_path / "data").manifest["leakage_check"]["leaks"]
    assert "painted episode 4 (test, from frame 0)" in leak
    assert validate(tmp_path / "data")["leaks"] == 1


def test_leaks_name_the_files_and_how_many_pairs(tmp_path):
    published = [["train", "test"][i in (4, 8)] for i in range(12)]
    faults = {"4": "copy of item 0", "8": "copy of item 0"}
    options = make_options(published=published, faults=faults)
    message = "split leakage: item 0 and item 4: 10 consec.*; 2 pairs of episodes share frames so"
    with pytest.raises(DataError, match=message):
        prepare(PAINTED, tmp_path / "data", options)


@pytest.mark.parametrize(
    "engine", [Engine(), Engine("DirectRunner", workers=1)], ids=["local", "beam"]
)
def test_names_that_are_no_utf8_survive(tmp_path, engine):
    name = "caf\udce9 \U0001f916\u2028"
    options = make_options(prefix=name, faults={"3": "raises"})
    prepare(PAINTED, tmp_path / "data", options, engine=engine)
    info = open_dataset(tmp_path / "data")
    assert info.manifest["skipped_items"][0][0] == f"{name} 3"
    listed = [
        facts["source"]
        for split in info.shards["painted"]
        for facts in info.episodes("painted", split)
    ]
    assert sorted(listed) == sorted(f"{name} {i}" for i in range(12) if i != 3)
    (file,) = info.shard_paths("painted", "test")
    record = array_record.ArrayRecordReader(str(file)).read([0])[0]
    assert name.encode("utf-8", "surrogateescape") in record
    assert validate(tmp_path / "data")["episodes"] == 11
    copied = {"faults": {"5": "copy of item 1"}, "published": ["train"] * 5 + ["test"] * 7}
    with pytest.raises(DataError, match=f"split leakage: {name} 1 and {name} 5: 11 consecutive"):
        prepare(PAINTED, tmp_path / "leak", options | copied, engine=engine)


def test_a_killed_worker_is_one_message_and_finished_bundles_are_kept(tmp_path):
    options = make_options(items=6, faults={"4": "killed"})
    with pytest.raises(DataError, match="worker process was killed, most likely.*fewer --workers"):
        prepare(PAINTED, tmp_path / "data", options, engine=Engine(workers=2))
    assert list((tmp_path / ".data.partial" / ".units").iterdir())


def test_beam_is_quiet_and_tells_what_it_did_not_expect(tmp_path, capfd, monkeypatch):
    from data_pipelines.prepare import main

    command = [PAINTED, f"--out={tmp_path / 'data'}", "--runner=DirectRunner"]
    assert main(command) == 0
    assert "WARNING" not in capfd.readouterr().err
    monkeypatch.setattr("data_pipelines.conversion.build.assemble", lambda *a, **k: 1 / 0)
    command = [PAINTED, f"--out={tmp_path / 'new'}", "--runner=DirectRunner", "--workers=1"]
    assert main(command) == 1
    error = capfd.readouterr().err
    assert "DirectRunner failed: " in error and "Traceback" not in error


def test_metadata_of_a_source_never_replaces_what_is_counted(tmp_path):
    prepare(PAINTED, tmp_path / "data", make_options(facts={"length": 3, "episode": 0}))
    assert validate(tmp_path / "data")["episodes"] == 12


def test_validate_compares_the_list_of_episodes(tmp_path):
    prepare(PAINTED, tmp_path / "data", make_options())
    (file,) = (tmp_path / "data").rglob("episodes-train.jsonl")
    file.write_text("".join(file.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(DataError, match="list of episodes does not fit the index"):
        validate(tmp_path / "data")


def test_bundles_hold_consecutive_items_and_keep_workers_busy():
    items = [Item(f"{i}", size=1 << 20) for i in range(1000)]
    bundles = cut_bundles(items)
    assert [item for bundle in bundles for item in bundle] == items
    assert max(map(len, bundles)) == 16
    large = cut_bundles([Item(f"{i}", size=200 << 20) for i in range(500)])
    assert max(map(len, large)) == 1


def test_command_line_takes_a_reader_by_its_path_and_beam_flags(tmp_path, capfd):
    from data_pipelines.prepare import main

    out = f"--out={tmp_path / 'data'}"
    beam = "--runner=DirectRunner"
    assert main([PAINTED, out, beam, "--direct_running_mode=in_memory", "--workers=1"]) == 0
    assert "prepared: 12 episodes" in capfd.readouterr().out
    assert main([PAINTED, out + "2", "--runner=local", "--direct_num_workers=2"]) == 1
    assert "unknown arguments --direct_num_workers=2" in capfd.readouterr().err
    assert main([PAINTED, out + "2", beam, "--itmes=4", "--direct_num_workers=2"]) == 1
    assert "unknown arguments --itmes=4: neither the dataset nor" in capfd.readouterr().err
    assert main([PAINTED, out + "3", "--runner=NoSuchRunner"]) == 1
    assert "Apache Beam does not accept --runner=NoSuchRunner" in capfd.readouterr().err
    assert main(["no.such.reader", out + "4"]) == 1
    assert "dataset 'no.such.reader'" in capfd.readouterr().err
