"""Videos with skills: what lies where, what is alike, and the page and file that tell it."""

import json
import re

import numpy as np
import pytest

import flexlam_jax
from data_pipelines.format.manifest import open_dataset
from data_pipelines.format.sidecars import open_sidecar
from data_pipelines.loading.loader import ordered_batches
from experiments.segment_video.chunks import (
    Episode,
    chunks_of,
    cut_episodes,
    length_bins,
    nearest_chunks,
    spread,
)
from experiments.segment_video.frames import Frames
from flexlam_jax.models.hilam import Segmentation
from tests.experiments import tiny_skills
from tests.experiments.command_lines import run_lines

NAME = "square"
STAGES = [[0, "reach"], [3, "put <it> down"]]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Data, latents and skills; the episodes of the test split have phases."""
    place = tmp_path_factory.mktemp("place")
    tiny_skills.make(place)
    (listed,) = (place / "data" / NAME).glob("*/episodes-test.jsonl")
    facts = [json.loads(line) | {"stages": STAGES} for line in listed.open()]
    listed.write_text("".join(json.dumps(one) + "\n" for one in facts))
    return place


@pytest.fixture(scope="module")
def told(place):
    line = [f"--{name}={place / name}" for name in ("latents", "out")]
    line += [f"--checkpoint={place / 'skills'}", "--split=test", "--episodes=1"]
    lines = [line, [line[0], f"--out={place / 'other'}", line[2], "--split=dev"]]
    return run_lines("segment_video.command", lines)


def test_the_boundaries_are_those_of_the_model(place, told):
    assert told[0][0] == 0, told[0][2]
    found = json.loads((place / "out" / "segmentation.json").read_text())
    skills, info = flexlam_jax.load(place / "skills"), open_dataset(place / "data")
    assert found["kind"] == "segmentation" and found["model"] == skills.fingerprint()
    sidecar = open_sidecar(place / "latents", info, NAME, "test")
    assert len(found["episodes"]) == info.counts[NAME]["test"]["episodes"]
    for one in found["episodes"]:
        slots = sidecar.values("slots", one["episode"], np.arange(one["steps"]))
        cut = skills.segment(skills.latents(slots)[None])
        for stage, starts in enumerate(one["boundaries"]):
            assert starts == np.flatnonzero(cut.boundaries[stage][0]).tolist()
            assert len(one["kinds"][stage]) == len(starts)
        assert one["phases"] == {"stages": STAGES}
    chunks = sum(len(one["boundaries"][1]) for one in found["episodes"])
    assert found["stages"][1]["chunks"] == chunks and found["command"].startswith("python -m ")


def test_the_page_shows_an_episode_with_its_stages_and_phases(place, told):
    shown = (place / "out" / "gallery.html").read_text()
    assert shown.count('<figure class="film">') == 1 and "http" not in shown
    names = re.findall(r'<span class="name">(.*?)</span>', shown)
    assert names == ["stage 1", "stage 2", "stages"]
    assert 'title="put &lt;it&gt; down: 3–' in shown
    for heading in ("How long chunks are", "Like skills, stage 1", "Like skills, stage 2"):
        assert f"<h2>{heading}</h2>" in shown
    assert "of skill A" in told[0][1]


def test_a_split_that_is_not_there_is_refused(place, told):
    code, _, err, _ = told[1]
    assert code == 1 and "has no split 'dev'" in err and not (place / "other").exists()


def test_frames_of_several_records_are_the_data_s(place):
    info = open_dataset(place / "data")
    batches = ordered_batches(place / "data", (NAME,), "test", 512)
    rows = next(batches)
    episode = int(rows["episode"][0])
    frames, times = rows["frames"][rows["episode"] == episode, 0], np.array([0, 7, 8, 9, 30])
    found = Frames(info, "test").read(NAME, episode, times)
    np.testing.assert_array_equal(found, frames[times])


def episodes(count=6):
    """Episodes of 10 steps with chunks of 3, 1 and 6; two kinds of skills, the first twice."""
    rng = np.random.default_rng(0)
    middle = np.array([[4.0, 0, 0], [0, 4, 0], [4, 0, 0]])
    return [
        Episode("d", n, 10, (np.array([0, 3, 4]),), (middle + rng.normal(0, 0.1, (3, 3)),))
        for n in range(count)
    ]


def test_like_skills_are_one_kind_the_largest_first():
    chunks = chunks_of(episodes(), 0, 2)
    assert chunks.kind.reshape(6, 3).tolist() == [[0, 1, 0]] * 6
    assert chunks.length[:3].tolist() == [3, 1, 6] and chunks.kinds_of(2) == [0, 1, 0]
    one = chunks_of([Episode("d", 0, 4, (np.array([0, 2]),), (np.ones((2, 3)),))], 0, 3)
    assert one.kind.tolist() == [0, 0]  # Equal skills have no direction from their mean.


def test_neighbours_are_alike_and_each_of_another_episode():
    chunks = chunks_of(episodes(), 0, 2)
    for kind in (0, 1):
        near = nearest_chunks(chunks, kind, 4)
        assert len(near) == 4 and len(set(chunks.episode[near])) == 4
        assert (chunks.kind[near] == kind).all()
        cosine = chunks.direction[near] @ chunks.direction[near[0]]
        assert (np.diff(cosine) <= 1e-6).all()
    assert len(nearest_chunks(chunks, 0, 9)) == 6


def test_chunks_end_with_their_episode():
    valid = np.arange(6) < np.array([[6], [4]])
    cut = np.array([[1, 0, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0]], bool)
    skills = np.arange(12.0).reshape(2, 6, 1)
    first, second = cut_episodes("d", np.array([7, 9]), valid, Segmentation((cut,), (skills,)))
    assert (first.number, second.number, second.steps) == (7, 9, 4)
    assert first.lengths(0).tolist() == [2, 4] and second.lengths(0).tolist() == [1, 3]
    assert second.skills[0].tolist() == [[6.0], [7.0]]


def test_lengths_are_counted_by_powers_of_two():
    assert length_bins(np.array([1, 2, 3, 4, 9])) == [
        ("1", 20.0),
        ("2", 20.0),
        ("4", 40.0),
        ("8", 0.0),
        ("16", 20.0),
    ]


@pytest.mark.parametrize(
    "count, places", [(1, [2]), (2, [2, 6]), (3, [1, 3, 6]), (7, [*range(7)]), (9, [*range(7)])]
)
def test_shown_episodes_are_spread_over_datasets_and_over_each(count, places):
    listed = [Episode("ab"[n > 4], n, 10, (), ()) for n in range(7)]
    assert spread(listed, count) == places
