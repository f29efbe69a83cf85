"""Long videos cut into pieces: all frames once, no neighbours in two splits, damage told."""

import av
import numpy as np
import pytest
from PIL import Image

from data_pipelines.conversion.build import prepare
from data_pipelines.errors import DataError
from data_pipelines.format.manifest import open_dataset
from data_pipelines.readers.recordings import ItemError, Skipped
from data_pipelines.readers.video import recipe as videos
from data_pipelines.registry import recipe_options
from tests.data_pipelines.readers.video_files import RATE, grey_frames, number, write_video

KINDS = {"a.mp4": "libx264", "b.avi": "mpeg4", "c.mkv": "libvpx"}


def ramp(count):
    """uint8 (count, 48, 64, 3): grey frames with a texture of their own."""
    rng = np.random.default_rng(count)
    noise = rng.integers(-3, 4, (count, 6, 8, 1)).repeat(8, 1).repeat(8, 2)
    return np.clip(grey_frames(count) + noise, 0, 255).astype(np.uint8)


def write(folder, names, count=26):
    folder.mkdir(exist_ok=True)
    for name in names:
        options = {"codec_options": {"g": "5", "bf": "2", "qmax": "2"}} if name[0] != "c" else {}
        write_video(folder / name, ramp(count), KINDS.get(name, "libx264"), **options)
    return folder


def chosen(source, *more):
    return recipe_options("videos", f"--source={source}", "--size=16", *more)


def pieces(options):
    """{name: (numbers of the frames, recording)} and what was skipped."""
    plan = videos.plan(options)
    shown, skipped = {}, list(plan.skipped)
    for item in plan.items:
        for result in videos.read(item, options):
            if isinstance(result, Skipped):
                skipped.append(result)
                continue
            frames = [number(frame) for frame in result.frames["videos"]]
            shown[result.name] = (frames, result)
    return shown, skipped, plan


def test_every_frame_is_in_one_piece(tmp_path):
    """26 frames in pieces of 6: three of 6, and one of 8 since the rest is short."""
    shown, skipped, plan = pieces(chosen(write(tmp_path, KINDS), "--cut=0.6"))
    assert not skipped and len(shown) == 12
    for name in KINDS:
        parts = [frames for key, (frames, _) in shown.items() if key.startswith(name)]
        assert [len(part) for part in parts] == [6, 6, 6, 8]
        assert sum(parts, []) == list(range(26)), name
    # Where seeking is exact a piece is an item; elsewhere a file is.
    assert [item.episodes for item in plan.items] == [1, 1, 1, 1, 4, 1, 1, 1, 1]
    recording = shown["b.avi:0002"][1]
    assert recording.group == "b.avi" and recording.split is None
    assert recording.metadata["start_sec"] == 1.2
    assert recording.metadata["times"].startswith("frame numbers")


def test_pieces_with_a_rate(tmp_path):
    shown, _, _ = pieces(chosen(write(tmp_path, KINDS), "--cut=0.8", "--fps=5"))
    for name in KINDS:
        parts = [frames for key, (frames, _) in shown.items() if key.startswith(name)]
        assert sum(parts, []) == list(range(0, 26, 2)), name


@pytest.mark.parametrize("name", KINDS)
def test_one_file_gives_blocks_of_time_with_a_gap_between(tmp_path, name):
    shown, skipped, _ = pieces(chosen(write(tmp_path, [name]), "--cut=0.2"))
    order = [recording.split for _, (_, recording) in sorted(shown.items())]
    assert order == 9 * ["train"] + ["validation"] + ["test"]
    places = {key: int(key[-4:]) for key in shown}
    for one in shown:
        for other in shown:
            if abs(places[one] - places[other]) == 1:
                assert shown[one][1].split == shown[other][1].split
    assert [(entry.name, entry.reason, entry.expected) for entry in skipped] == [
        (f"{name}:0009", "between splits", True),
        (f"{name}:0011", "between splits", True),
    ]


def test_a_dataset_of_one_long_video(tmp_path):
    options = chosen(write(tmp_path / "source", ["a.mp4"]), "--cut=0.4")
    prepare("videos", tmp_path / "out", options)
    info = open_dataset(tmp_path / "out")
    assert info.manifest["episodes"] == 5 and info.datasets["videos"].fps == RATE
    assert info.episodes("videos", "test")[0]["file"] == "a.mp4"


def test_too_few_pieces_and_no_pieces(tmp_path):
    source = write(tmp_path, ["a.mp4"])
    with pytest.raises(DataError, match="--cut=1 gives 3 pieces; one or two files need at least"):
        videos.plan(chosen(source, "--cut=1"))
    with pytest.raises(DataError, match="at least three episodes.*--cut=SECONDS"):
        videos.plan(chosen(source))
    for cut in ("-1", "nan", "inf"):
        with pytest.raises(DataError, match="--cut"):
            chosen(source, f"--cut={cut}")
    with pytest.raises(DataError, match="two frames"):
        chosen(source, "--cut=0.1", "--fps=5")


def test_folders_of_pictures_stay_whole(tmp_path):
    source = write(tmp_path, ["a.mp4", "c.mkv"])
    (source / "d").mkdir()
    for k, frame in enumerate(grey_frames(5)):
        Image.fromarray(frame).save(source / "d" / f"{k}.png")
    shown, _, plan = pieces(chosen(source, "--cut=1.3"))
    assert [item.name for item in plan.items][-1] == "d" and len(shown) == 5
    assert {recording.split for _, recording in shown.values()} == {None}


def test_pieces_before_damage_are_kept_and_the_rest_is_counted(tmp_path):
    """A file that is read in one go: three of its pieces lie before the cut."""
    source = write(tmp_path, KINDS, count=60)
    with av.open(str(source / "b.avi")) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    data = (source / "b.avi").read_bytes()
    (source / "b.avi").write_bytes(data[: places[35] + 20])
    options = chosen(source, "--cut=1")
    plan = videos.plan(options)
    [item] = [item for item in plan.items if item.name == "b.avi"]
    kept, failed, skipped = 0, [], []
    for result in videos.read(item, options):
        if isinstance(result, Skipped):
            skipped.append(result)
            continue
        try:
            kept += len(list(result.frames["videos"])) == RATE
        except ItemError as error:
            failed.append((result.name, error.reason))
    assert item.episodes == 6
    assert kept == 3 and len(failed) == 1
    assert kept + len(failed) + sum(entry.episodes for entry in skipped) == item.episodes


def test_a_file_that_cannot_be_opened_is_a_failure(tmp_path):
    source = write(tmp_path, KINDS)
    (source / "d.mp4").write_bytes(b"")
    plan = videos.plan(chosen(source, "--cut=1"))
    assert [(entry.name, entry.reason) for entry in plan.skipped] == [("d.mp4", "empty file")]
