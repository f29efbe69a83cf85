"""Ego4D as its command line tool leaves it: layout, manifests, FHO intervals, splits."""

import csv
import json

import numpy as np
import pytest

from data_pipelines.conversion.build import prepare
from data_pipelines.errors import DataError
from data_pipelines.format.manifest import open_dataset
from data_pipelines.readers.ego4d import recipe
from data_pipelines.readers.ego4d.intervals import parse_narration
from data_pipelines.readers.recordings import ItemError, failures
from data_pipelines.registry import recipe_options
from data_pipelines.tools.validation import validate
from tests.data_pipelines.readers.video_files import level, number, write_video

MODULE = "ego4d"
RATE, COUNT = 30, 60


def shades(uid, count, first=0):
    """Frame t of a video has mean grey level(t // 3), in a pattern of the video's own."""
    signs = np.random.default_rng(list(uid.encode())).permutation(np.repeat([-1, 1], 32))
    pattern = np.kron(20 * signs.reshape(8, 8), np.ones((4, 4), int))
    frames = np.zeros((count, 32, 48, 3), np.uint8)
    frames[:, :, 8:40] = (
        pattern[None, :, :, None] + level((first + np.arange(count)) // 3)[:, None, None, None]
    )
    return frames


def write_csv(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def action(text, clip, video, **more):
    def frames(pair):
        return pair and {"pre_frame": pair[0], "pnr_frame": pair[0] + 1, "post_frame": pair[1]}

    return {
        "narration_text": text,
        "is_rejected": False,
        "is_invalid_annotation": False,
        "structured_verb": None,
        "clip_critical_frames": frames(clip),
        "critical_frames": frames(video),
    } | more


def interval(clip_uid, *actions):
    return {"clip_uid": clip_uid, "clip_id": 7, "narrated_actions": list(actions)}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Four videos of 2 s; clip a1 starts at frame 15 of video-a, clip a2 at frame 30."""
    root = tmp_path_factory.mktemp("ego4d")
    for kind in ("clips", "video_540ss", "annotations"):
        (root / "v2" / kind).mkdir(parents=True)
    videos = [f"video-{letter}" for letter in "abcd"]
    for uid in videos:
        write_video(root / "v2/video_540ss" / f"{uid}.mp4", shades(uid, COUNT), rate=RATE)
    write_csv(
        root / "v2/video_540ss/manifest.csv",
        [
            {"video_uid": uid, "canonical_s3_location": f"s3://b/{uid}.mp4", "benchmarks": "[FHO]"}
            for uid in [*videos, "video-gone"]
        ],
    )
    clips = {"clip-a1": ("video-a", 15), "clip-a2": ("video-a", 30), "clip-b": ("video-b", 0)}
    for uid, (video, first) in clips.items():
        write_video(root / "v2/clips" / f"{uid}.mp4", shades(video, 30, first), rate=RATE)
    rows = [{"exported_clip_uid": uid, "parent_video_uid": clips[uid][0]} for uid in clips]
    rows += [
        {"exported_clip_uid": "clip-lost", "parent_video_uid": "video-c"},
        {"exported_clip_uid": "../../secret", "parent_video_uid": "video-c"},
    ]
    write_csv(root / "v2/clips/manifest.csv", rows)
    metadata = {
        "videos": [
            {"video_uid": "video-a", "split_fho": "train", "scenarios": ["Cooking"]},
            {"video_uid": "video-b", "split_fho": "val", "is_stereo": True},
            {"video_uid": "video-c", "split_fho": "test", "redactions": [{"start": 0}]},
            {"video_uid": "video-d", "split_fho": None},
        ],
        "clips": [{"clip_uid": uid, "video_uid": clips[uid][0]} for uid in clips],
    }
    (root / "ego4d.json").write_text(json.dumps(metadata))
    fho = {
        "videos": [
            {
                "video_uid": "video-a",
                "annotated_intervals": [
                    interval(
                        "clip-a1",
                        action("#C C picks up a cup", (3, 20), (18, 35), structured_verb="take"),
                        action("#C C looks around", None, None),
                        action("#C C waits", (1, 9), (16, 24), is_rejected=True),
                    ),
                    interval("clip-a2", action("#O a man X sits", (0, 12), (30, 42))),
                ],
            },
            {
                "video_uid": "video-b",
                "annotated_intervals": [
                    interval("clip-b", action("#C C carries a box", (2, 29), (2, 29))),
                    interval("clip-gone", action("#C C sings", (2, 9), (40, 55))),
                ],
            },
        ]
    }
    (root / "v2/annotations/fho_main.json").write_text(json.dumps(fho))
    said = [(1.5, "#C C turns"), (0.5, "#C C walks"), (0.5, "#C C hums"), (None, "#C C ?")]
    narrations = [{"timestamp_sec": t, "narration_text": text} for t, text in said]
    (root / "v2/annotations/narration.json").write_text(
        json.dumps({"video-a": {"narration_pass_1": {"narrations": narrations}}})
    )
    return root


def options(source, *more):
    most = "--max-failures=0.9"
    return recipe_options(MODULE, f"--source={source}", "--size=16", "--fps=10", most, *more)


def recordings(chosen):
    """name -> (Recording, numbers of its frames), and the plan."""
    plan = recipe.plan(chosen)
    found = {}
    for item in plan.items:
        for recording in recipe.read(item, chosen):
            assert recording.name not in found
            shown = [number(frame) for frame in recording.frames["ego4d"]]
            found[recording.name] = (recording, shown)
    return found, plan


def reasons(plan):
    return sorted((entry.name, entry.reason) for entry in plan.skipped)


def test_whole_videos_are_cut_into_equal_pieces(source):
    found, plan = recordings(options(source, "--max-episode-seconds=0.75"))
    assert plan.sources["format"] == "video_540ss" and plan.sources["version"] == "v2"
    # Two seconds in three pieces; at 10 of 30 frames a second every third frame is kept.
    assert [shown for _, shown in list(found.values())[:3]] == [
        [0, 1, 2, 3, 4, 5, 6],
        [7, 8, 9, 10, 11, 12, 13],
        [14, 15, 16, 17, 18, 19],
    ]
    assert len(found) == 12
    assert {r.group for r, _ in found.values()} == {f"video-{letter}" for letter in "abcd"}
    assert reasons(plan) == [("video_540ss/video-gone.mp4", "missing clip")]
    first = found["v2/video_540ss/video-b.mp4:0"][0]
    assert first.metadata["is_stereo"] and first.metadata["start_sec"] == 0.0
    assert found["v2/video_540ss/video-c.mp4:0"][0].metadata["redacted"]
    assert found["v2/video_540ss/video-a.mp4:0"][0].metadata["scenarios"] == ["Cooking"]


def test_fho_counts_frames_of_clips_in_clips(source):
    found, plan = recordings(options(source, "--videos=clips", "--intervals=fho"))
    # Frame 3 of clip-a1 is frame 18 of its video: shade 6. Every third frame up to frame 20.
    recording, shown = found["clip-a1:action_0"]
    assert shown == [6, 7, 8, 9, 10, 11]
    assert recording.group == "video-a" and recording.metadata["language"] == "picks up a cup"
    assert recording.metadata["verb"] == "take" and recording.metadata["who"] == "C"
    recording, shown = found["clip-a2:action_0"]
    assert shown == [10, 11, 12, 13, 14] and recording.group == "video-a"
    assert recording.metadata["language"] == "a man X sits" and recording.metadata["who"] == "O"
    assert found["clip-b:action_0"][0].metadata["language"] == "carries a box"
    assert set(found) == {"clip-a1:action_0", "clip-a2:action_0", "clip-b:action_0"}
    assert reasons(plan) == [
        ("clip-a1:action_1", "no critical frames"),
        ("clip-a1:action_2", "rejected annotation"),
        ("clips/../../secret.mp4", "unsafe path"),
        ("clips/clip-gone.mp4", "missing clip"),
        ("clips/clip-lost.mp4", "missing clip"),
    ]
    assert not plan.one_recording_per_item


def test_fho_counts_frames_of_videos_in_videos(source):
    found, plan = recordings(options(source, "--videos=video_540ss", "--intervals=fho"))
    assert found["video-a:action_0"][1] == [6, 7, 8, 9, 10, 11]
    assert found["video-a:action_3"][1] == [10, 11, 12, 13, 14]
    assert found["video-b:action_1"][1] == [13, 14, 15, 16, 17, 18]  # frames 40, 43, ...
    assert len(found) == 4


def test_narrations_last_until_the_next_one(source):
    found, plan = recordings(options(source, "--intervals=narration", "--max-episode-seconds=0.8"))
    spans = {
        r.metadata["language"]: (r.metadata["start_sec"], r.metadata["stop_sec"], shown)
        for r, shown in found.values()
    }
    assert spans == {
        "walks": (0.5, 1.3, list(range(5, 13))),
        "hums": (0.5, 1.3, list(range(5, 13))),
        "turns": (1.5, 2.3, list(range(15, 20))),
    }
    with pytest.raises(DataError, match="counts time in whole videos"):
        recipe.plan(options(source, "--intervals=narration", "--videos=clips"))


@pytest.mark.parametrize(
    "text, expected",
    [
        ("#C C picks up a cup", ("picks up a cup", "C")),
        ("#c c picks up a cup", ("picks up a cup", "C")),
        ("#C  C carries C. ", ("carries C.", "C")),
        ("#C carries a box", ("carries a box", "C")),
        ("#C C's hand moves", ("C's hand moves", "C")),
        ("#O A man X stands", ("A man X stands", "O")),
        ("# C C opens", ("opens", "C")),
        ("opens a door", ("opens a door", "")),
        ("#unsure", ("", "UNSURE")),
        ("", ("", "")),
    ],
)
def test_narration_markers(text, expected):
    assert parse_narration(text) == expected


def test_published_splits(source):
    found, plan = recordings(options(source, "--split=fho"))
    assert {r.group: r.split for r, _ in found.values()} == {
        "video-a": "train",
        "video-b": "validation",
        "video-c": "test",
    }
    assert ("v2/video_540ss/video-d.mp4", "no published split") in reasons(plan)


def test_partial_downloads_may_be_allowed(source):
    plan = recipe.plan(options(source, "--missing=allow"))
    assert reasons(plan) == [("video_540ss/video-gone.mp4", "missing clip")]
    assert not failures(plan.skipped)
    clips = ("--videos=clips", "--intervals=fho", "--max-failures=0.2")
    with pytest.raises(DataError, match="3 of 6 entries .* give --missing=allow"):
        recipe.plan(options(source, *clips))
    plan = recipe.plan(options(source, *clips, "--missing=allow"))
    assert [entry.reason for entry in failures(plan.skipped)] == ["unsafe path"]
    assert sorted(entry.reason for entry in plan.skipped if entry.expected) == [
        "missing clip",
        "missing clip",
        "no critical frames",
        "rejected annotation",
    ]


def test_a_prepared_folder_is_valid_and_videos_do_not_cross_splits(source, tmp_path):
    out = tmp_path / "data"
    chosen = options(source, "--max-episode-seconds=0.75", "--split=fho")
    prepare(MODULE, out, chosen)
    manifest = open_dataset(out).manifest
    assert manifest["skipped"] == {"missing clip": 1, "no published split": 1}
    assert manifest["episodes"] == 9
    details = manifest["datasets"]["ego4d"]["spec"]["details"]
    assert details["videos"] == "video_540ss" and details["fps"] == 10
    validate(out)


def test_layouts_that_are_not_there(tmp_path, source):
    with pytest.raises(DataError, match=r"expected v2/\{video_540ss,clips,full_scale\}/ .* stray"):
        (tmp_path / "stray").mkdir()
        recipe.plan(options(tmp_path))
    (tmp_path / "v2/clips").mkdir(parents=True)
    with pytest.raises(DataError, match=r"v2/clips has no manifest.csv"):
        recipe.plan(options(tmp_path))
    write_csv(tmp_path / "v2/clips/manifest.csv", [{"name": "x"}])
    with pytest.raises(DataError, match="expected one of exported_clip_uid"):
        recipe.plan(options(tmp_path))
    write_csv(tmp_path / "v2/clips/manifest.csv", [{"file_uid": "x"}])
    with pytest.raises(DataError, match="fho_main.json is missing"):
        recipe.plan(options(tmp_path, "--intervals=fho"))
    (tmp_path / "ego4d.json").write_text("{")
    with pytest.raises(DataError, match="ego4d.json: is not JSON"):
        recipe.plan(options(tmp_path))


def test_the_version_folder_itself_may_be_the_source(source):
    plan = recipe.plan(options(source / "v2"))
    assert [item.name for item in plan.items][0] == "video_540ss/video-a.mp4"


def test_clips_of_unknown_videos_are_not_used(tmp_path):
    """Without its video, a clip might share it with a clip of another split."""
    (tmp_path / "clips").mkdir()
    write_video(tmp_path / "clips/x.mp4", shades("x", 6), rate=RATE)
    write_csv(tmp_path / "clips/manifest.csv", [{"file_uid": "x", "s3_path": "s3://b/x.mp4"}])
    assert reasons(recipe.plan(options(tmp_path))) == [("clips/x.mp4", "unknown video")]


def test_options_without_sense(source):
    with pytest.raises(DataError, match="room for at least 4"):
        options(source, "--max-episode-seconds=0.1")
    with pytest.raises(DataError, match="--fps >= 0"):
        options(source, "--fps=-1")


def test_a_damaged_video_loses_the_pieces_behind_the_damage(tmp_path):
    """They are counted, so that --max-failures weighs them; what lies before is kept."""
    (tmp_path / "video_540ss").mkdir()
    path = tmp_path / "video_540ss/x.mp4"
    small = {"codec_options": {"g": "5"}, "container_options": {"movflags": "faststart"}}
    write_video(path, shades("x", COUNT), rate=RATE, **small)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 8 // 10])
    write_csv(path.parent / "manifest.csv", [{"video_uid": "x"}])
    chosen = options(tmp_path, "--max-episode-seconds=0.5")
    (item,) = recipe.plan(chosen).items
    kept, lost = 0, 0
    try:
        for recording in recipe.read(item, chosen):
            try:
                kept += len(list(recording.frames["ego4d"])) > 0
            except ItemError:
                lost += 1
    except ItemError as error:
        lost += error.episodes
    assert item.episodes is None and kept >= 1 and lost >= 1 and kept + lost == 4
