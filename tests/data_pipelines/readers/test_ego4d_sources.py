"""Ego4D downloads as users have them: links, pointers, what file managers leave, odd tables."""

import json
import os

import pytest

from data_pipelines.errors import DataError
from data_pipelines.readers.ego4d import recipe
from data_pipelines.registry import recipe_options

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"


def options(source, *more):
    return recipe_options("ego4d", f"--source={source}", "--max-failures=0.9", *more)


@pytest.fixture
def source(tmp_path):
    """Three videos, of which only the names matter here."""
    folder = tmp_path / "source" / "v2" / "video_540ss"
    folder.mkdir(parents=True)
    for uid in "abc":
        (folder / f"{uid}.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    (folder / "manifest.csv").write_text("video_uid\na\nb\nc\n")
    return tmp_path / "source"


def found(source, *more):
    plan = recipe.plan(options(source, *more))
    return [item.payload["uid"] for item in plan.items], {
        (entry.name, entry.reason) for entry in plan.skipped
    }


def test_links_are_followed_unless_told_otherwise(source, tmp_path):
    video = source / "v2/video_540ss/b.mp4"
    video.rename(tmp_path / "blob")
    video.symlink_to(tmp_path / "blob")
    assert found(source) == (["a", "b", "c"], set())
    assert found(source, "--no-follow-links") == (["a", "c"], {("video_540ss/b.mp4", "link")})
    (tmp_path / "blob").unlink()
    assert found(source) == (["a", "c"], {("video_540ss/b.mp4", "broken link")})
    plan = recipe.plan(options(source, "--missing=allow"))
    assert [entry.expected for entry in plan.skipped] == [True]


def test_suffixes_in_upper_case_pipes_and_what_else_lies_there(source):
    folder = source / "v2/video_540ss"
    (folder / "a.mp4").rename(folder / "a.MP4")
    (folder / "._b.mp4").write_bytes(b"\x00\x05\x16\x07")
    (folder / "b.json").write_text("{}")
    (folder / "c.mp4").unlink()
    os.mkfifo(folder / "c.mp4")
    assert found(source) == (["a", "b"], {("video_540ss/c.mp4", "not a file")})
    assert set(recipe.plan(options(source)).passed_over) == {".json", ".csv"}


@pytest.mark.parametrize("uid", ["../../x", "/etc/passwd", "a/b", "-rf", "a\0b", "x" * 300])
def test_a_uid_that_is_no_name_is_no_path(source, uid):
    with open(source / "v2/video_540ss/manifest.csv", "a") as file:
        file.write(f'"{uid}"\n')
    uids, reasons = found(source)
    assert uids == ["a", "b", "c"]
    assert [reason for _, reason in reasons] == ["unsafe path"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (POINTER, "Git LFS pointer"),
        (b"", "zero bytes"),
        (b"<html>login</html>", "a web page"),
        (b"video_uid\n" + b"a" * 200_000 + b"\n", "field larger than"),
        (b"caf\xe9\n1\n", "expected one of file_uid"),
    ],
)
def test_a_manifest_that_is_none(source, content, message):
    path = source / "v2/video_540ss/manifest.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        recipe.plan(options(source))
    assert "manifest.csv" in str(caught.value)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DataError, match="named pipe"):
        recipe.plan(options(source))


def test_other_encodings_in_columns_that_nobody_needs(source):
    text = "\ufeffvideo_uid,title\r\n".encode() + b"a,caf\xe9\r\nb,\r\n"
    (source / "v2/video_540ss/manifest.csv").write_bytes(text)
    assert found(source)[0] == ["a", "b"]


def action(**more):
    frames = {"pre_frame": 1, "post_frame": 5}
    return {"narration_text": "#C C cuts", "critical_frames": frames} | more


def fho(*actions):
    return {"videos": [{"video_uid": "a", "annotated_intervals": [{"narrated_actions": actions}]}]}


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("ego4d.json", [], "expected `object`"),
        ("ego4d.json", {"videos": {"a": 1}}, "field `videos`"),
        ("ego4d.json", {"videos": [{"video_uid": 7}]}, "video_uid`.*: 7"),
        ("ego4d.json", {"videos": [{"video_uid": "a", "scenarios": "Cooking"}]}, "scenarios"),
        ("v2/annotations/fho_main.json", {}, "videos"),
        ("v2/annotations/fho_main.json", {"videos": [3]}, "videos"),
        ("v2/annotations/fho_main.json", fho(7), "narrated_actions"),
        ("v2/annotations/fho_main.json", fho(action(narration_text=3)), "narration_text`.*: 3"),
        ("v2/annotations/fho_main.json", fho(action(critical_frames="1-5")), "critical_frames"),
        ("v2/annotations/narration.json", {"a": {"narration_pass_1": 3}}, "narration_pass_1"),
        ("v2/annotations/narration.json", {"videos": [1]}, "array"),
    ],
)
def test_json_of_another_form_names_file_and_field(source, file, content, message):
    (source / "v2/annotations").mkdir()
    (source / file).write_text(json.dumps(content))
    kind = {"fho_main.json": "fho", "narration.json": "narration"}.get(file.rsplit("/", 1)[-1])
    with pytest.raises(DataError, match=message) as caught:
        recipe.plan(options(source, f"--intervals={kind or 'none'}"))
    assert file.rsplit("/", 1)[-1] in str(caught.value)


def test_numbers_without_sense_cost_their_action_only(source):
    (source / "v2/annotations").mkdir()
    bad = [
        action(critical_frames={"pre_frame": first, "post_frame": last})
        for first, last in ((-1, 5), (5, 5), (1, 1 << 70), (0.5, 7), ("1", "5"))
    ]
    (source / "v2/annotations/fho_main.json").write_text(json.dumps(fho(*bad, action())))
    plan = recipe.plan(options(source, "--intervals=fho"))
    assert [item.episodes for item in plan.items] == [1]
    assert [entry.reason for entry in plan.skipped] == ["bad critical frames"] * 5
    said = [{"timestamp_sec": t, "narration_text": "#C C cuts"} for t in (-3, 1e30, 2)]
    told = {"a": {"narration_pass_1": {"narrations": said}}, "version": "v2"}
    text = json.dumps(told).replace("}]", '}, {"timestamp_sec": NaN}]')
    (source / "v2/annotations/narration.json").write_text(text)
    plan = recipe.plan(options(source, "--intervals=narration"))
    (interval,) = plan.items[0].payload["intervals"]
    assert (interval["start"], interval["metadata"]["language"]) == (2, "cuts")
