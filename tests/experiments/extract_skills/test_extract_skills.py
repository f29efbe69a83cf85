"""Skills as sidecars: those of the model, at other cuts, resumed, read by policies, refused."""

import dataclasses
import json

import jax
import numpy as np
import pytest

import flexlam_jax
from data_pipelines.errors import DataError
from data_pipelines.format.manifest import open_dataset
from data_pipelines.format.sidecar_writing import SidecarWriter
from data_pipelines.format.sidecars import open_sidecar, split_episodes
from experiments import lam_inputs
from experiments.extract_skills import writing
from experiments.extract_skills.skills import Wanted, skills_of
from experiments.extract_skills.writing import extract, write_manifest
from experiments.policy_data import with_data
from experiments.skill_episodes import Episodes
from experiments.skill_inputs import SkillSource
from tests.experiments import tiny_hilam, tiny_policy, tiny_skills
from tests.experiments.command_lines import run_lines

NAME = "square"
CUTS = ("equal", "random", "jump")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("place")
    config = tiny_skills.make(place)
    tiny_hilam.with_latents(config, place / "others", model="e" * 64)
    return place


@pytest.fixture(scope="module")
def source(place):
    """The skills, loaded once, on the latent actions that they are of."""
    data = lam_inputs.Source(open_dataset(place / "data"), (NAME,), 1)
    return SkillSource(flexlam_jax.load(place / "skills"), data, place / "latents")


@pytest.fixture(scope="module")
def written(place, source):
    """place/<name>, skills of the test split: what is wanted of each."""
    wanted = {
        "inner": Wanted(2),
        "outer": Wanted(1),
        **{cuts: Wanted(1, cuts, seed=5) for cuts in CUTS},
    }
    for folder, one in wanted.items():
        write_skills(place / folder, source, one)
    return wanted


def write_skills(out, source, wanted):
    out.mkdir(exist_ok=True)
    made_by = write_manifest(out, source, wanted)
    return extract(out, source, source.episodes(NAME, "test"), NAME, "test", wanted, made_by)


@pytest.fixture(scope="module")
def told(place):
    """What the lines answer; the first writes command/."""

    def line(out, *more, latents="latents", checkpoint="skills"):
        places = (("checkpoint", checkpoint), ("latents", latents), ("out", out))
        return [*(f"--{name}={place / folder}" for name, folder in places), *more]

    lines = {
        "command": line("command", "--splits=test"),
        "other stage": line("command", "--stage=1"),
        "other latents": line("new", latents="others"),
        "no latents": line("new", latents="nowhere"),
        "no stage": line("new", "--stage=3"),
        "no split": line("new", "--splits=dev"),
        "no skills": line("new", checkpoint="data"),
    }
    return dict(zip(lines, run_lines("extract_skills.command", list(lines.values())), strict=True))


def opened(place, folder, split="test"):
    return open_sidecar(place / folder, open_dataset(place / "data"), NAME, split)


def episodes(place, split="test"):
    """(rows, slots) of every episode of a split."""
    info = open_dataset(place / "data")
    slots = open_sidecar(place / "latents", info, NAME, split).array("slots")
    ends = split_episodes(info, NAME, split).offsets("transition", 1)
    for first, end in zip(ends[:-1], ends[1:], strict=True):
        yield slice(first, end), slots[first:end]


def alone(skills, slots):
    """The latent actions of one episode; twice, as in a program that is compiled already."""
    return np.repeat(skills.latents(slots)[None], 2, axis=0)


@pytest.mark.parametrize("folder, stage", [("inner", 1), ("outer", 0)])
def test_they_are_what_the_model_says_of_whole_episodes(place, source, written, folder, stage):
    skills, sidecar = source.skills, opened(place, folder)
    for rows, slots in episodes(place):
        cut = skills.segment(alone(skills, slots))
        np.testing.assert_array_equal(sidecar.array("boundary")[rows], cut.boundaries[stage][0])
        np.testing.assert_allclose(sidecar.array("skill")[rows], cut.skills[stage][0], atol=1e-5)
        assert 1 < cut.boundaries[stage][0].sum() < len(slots)


def test_other_cuts_are_as_many_with_the_vectors_of_the_encoder(place, source, written):
    skills = source.skills
    learned = opened(place, "outer").array("boundary")
    for cuts in CUTS:
        sidecar = opened(place, cuts)
        boundary, skill = sidecar.array("boundary"), sidecar.array("skill")
        assert (boundary != learned).any()
        for rows, slots in episodes(place):
            cut = boundary[rows].astype(bool)
            assert cut[0] and cut.sum() == learned[rows].sum()
            vectors = skills.encode(alone(skills, slots))[0][0]
            begin = np.flatnonzero(cut)[np.cumsum(cut) - 1]
            np.testing.assert_allclose(skill[rows], vectors[begin], atol=1e-5)


def test_vectors_know_nothing_of_later_steps(source, written):
    group = source.episodes(NAME, "test").group(0)
    later = dataclasses.replace(group, latents=group.latents.copy())
    later.latents[:, 6:] += 1.0
    for before, after in zip(group.encode(source.skills), later.encode(source.skills), strict=True):
        np.testing.assert_array_equal(before[:, :6], after[:, :6])
        assert (before[:, 6:] != after[:, 6:]).any()


def test_the_manifests_say_what_made_them(place, source, written, told):
    assert told["command"][0] == 0, told["command"][2]
    lam = {"step": 3, "fingerprint": "f" * 64}
    about = {"model": source.skills.fingerprint(), "step": 2, "lam": lam}
    for folder, more in {
        "command": {"stage": 2, "cuts": "learned"},
        "random": {"stage": 1, "cuts": "random", "seed": 5},
    }.items():
        assert opened(place, folder).facts.made_by == about | more
        manifest = json.loads((place / folder / "manifest.json").read_text())
        assert manifest["kind"] == "skills" and manifest.items() >= (about | more).items()
    assert "note: episodes have up to" in told["command"][1]
    inner = opened(place, "inner")
    for name in ("skill", "boundary"):
        np.testing.assert_allclose(
            opened(place, "command").array(name), inner.array(name), atol=1e-5
        )


@pytest.mark.parametrize(
    "name, message",
    [
        ("other stage", "holds other skills (stage 2"),
        ("other latents", "was made by model eeeeeeeeeeee, not by ffffffffffff"),
        ("no latents", "holds no finished latent actions of the datasets in"),
        ("no stage", "--stage=3, but these skills have 2 stages"),
        ("no split", "has no split 'dev'"),
        ("no skills", "no checkpoint"),
    ],
)
def test_what_is_refused(place, told, name, message):
    code, _, err, _ = told[name]
    assert code == 1 and message in err and not (place / "new").exists(), err


class Killed(BaseException):
    pass


def test_killed_it_goes_on_and_writes_the_same_bytes(
    place, source, written, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(writing, "BLOCK_ROWS", 7)
    write, done = SidecarWriter.write, []

    def killed(self, block, values):
        if len(done) == 3:
            raise Killed
        done.append(block)
        write(self, block, values)

    monkeypatch.setattr(SidecarWriter, "write", killed)
    with pytest.raises(Killed):
        write_skills(tmp_path, source, written["random"])
    monkeypatch.setattr(SidecarWriter, "write", write)
    rows = write_skills(tmp_path, source, written["random"])
    for name in ("skill", "boundary"):
        file = f"{NAME}/test/{name}.npy"
        assert (tmp_path / file).read_bytes() == (place / "random" / file).read_bytes()
    assert write_skills(tmp_path, source, written["random"]) == rows
    assert "already there" in capsys.readouterr().out


def test_policies_read_them_and_tell_cuts_and_stages_apart(place, written):
    config = tiny_policy.get_config(str(place / "data"))
    config.data.split, config.reads.skill = "test", "skill"
    sources = {}
    for folder in written:
        config.data.sidecars = {"skill": str(place / folder), "slots": str(place / "latents")}
        sources[folder] = with_data(config).reads.skill_source
    assert len(set(sources.values())) == len(written)
    assert sources["inner"].startswith("skill (8) of model ")
    assert sources["random"].endswith(", stage 1, cuts random, seed 5")
    config.data.sidecars = {"skill": str(place / "inner"), "slots": str(place / "others")}
    with pytest.raises(DataError, match="skills of the latent actions of model f{12}, .* of e{12}"):
        with_data(config)


def test_groups_are_the_same_whatever_rows_are_asked_for(source):
    counts = np.array([3, 0, 1, 400, 2])
    slots = np.zeros((406, 3, 2), np.float32)
    begin = np.cumsum(counts) - counts
    few = Episodes(source.skills, slots, np.arange(5), counts, begin)
    assert len(few) == 1 and few.group(0).episodes.tolist() == [0, 2, 3, 4]
    assert few.group(0).valid.sum(axis=1).tolist() == [3, 1, 400, 2]
    counts, slots = np.tile(counts, 30), np.tile(slots, (30, 1, 1))
    many = Episodes(source.skills, slots, np.arange(150), counts, np.cumsum(counts) - counts)
    assert len(many) == 2 and many.group(1).rows == range(16 * 406, 30 * 406)
    assert many.groups_with(range(6495, 6497)) == range(0, 2)
    assert many.groups_with(range(6496, 6497)) == range(1, 2)


def test_an_episode_of_one_transition_is_one_chunk(source):
    slots = np.random.default_rng(0).normal(3.0, 0.5, (41, 3, 2)).astype(np.float32)
    counts, begin = np.array([1, 40]), np.array([0, 1])
    group = Episodes(source.skills, slots, np.arange(2), counts, begin).group(0)
    for cuts in ("learned", *CUTS):
        rows = skills_of(source.skills, group, Wanted(1, cuts), jax.random.key(0))
        assert rows["skill"].shape == (41, 8) and rows["boundary"][:2].tolist() == [1, 1]


def test_vectors_of_frames_are_read_without_the_last_of_an_episode(source):
    """As config.latents.column reads them: rows (F,), one for each frame."""
    rows = np.random.default_rng(0).normal(size=(9, 6)).astype(np.float32)
    counts, begin = np.array([4, 3]), np.array([0, 5])
    group = Episodes(source.skills, rows, np.arange(2), counts, begin).group(0)
    assert group.rows == range(7)
    np.testing.assert_array_equal(group.flat(group.latents), rows[[0, 1, 2, 3, 5, 6, 7], :4])
