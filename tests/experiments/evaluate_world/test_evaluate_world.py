"""The command that measures worlds, as a user runs it, on an untrained model."""

import csv
import dataclasses
import json
import types

import numpy as np
import pytest

import flexlam_jax
from data_pipelines.conversion.build import prepare
from data_pipelines.format.manifest import open_dataset
from data_pipelines.registry import recipe_options
from experiments.evaluate_world import card
from experiments.evaluate_world.card import leakage_of
from experiments.evaluate_world.codes import typed_obedience
from experiments.evaluate_world.measure import _delta
from experiments.evaluate_world.players import LATENT, NONE, TRUE, Player, takes
from experiments.evaluate_world.summary import _obedience
from experiments.evaluate_world.tables import CELLS
from experiments.evaluate_world.transitions import _spans, transitions
from experiments.exogenous_truth import Truth
from experiments.lam_inputs import Source
from flexlam_jax.evaluation.collect import Split
from flexlam_jax.evaluation.lam.leakage import LEAKAGE
from flexlam_jax.evaluation.world.generation import Sampling
from flexlam_jax.evaluation.world.obedience import Commanded
from flexlam_jax.loading.action_card import FILE, CodeCard, read_card
from flexlam_jax.loading.actions import NotValidated
from flexlam_jax.reports.results import Number, Table
from tests.evaluation.world.rolling import NAMES, RollingLam, RollingWorld, make_clips
from tests.experiments.command_lines import run_lines
from tests.untrained import save_run


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("place")
    prepare("synthetic", place / "data", recipe_options("synthetic", "--size=16", "--episodes=60"))
    data = {"path": str(place / "data"), "datasets": [], "gap": 1}
    for name, step in (("run", 2), ("other", 3)):
        save_run(place / name, steps=(step,), data=data)
    return place


@pytest.fixture(scope="module")
def results(place):
    """name -> (exit code, stdout, stderr)."""
    common = [f"--checkpoint={place}/run", "--horizon=3", "--clips=8", "--budgets=1,3"]
    common += ["--codes=3", "--probe_pairs=64", "--generated_pairs=16", "--probe_steps=20"]
    lines = {
        "measured": [*common, f"--out={place}/report"],
        "horizon": [*common[:1], "--horizon=200", f"--out={place}/x"],
        "other model": [*common, f"--compare=b={place}/other", f"--out={place}/x"],
        "lam": [*common, f"--lam={place}/other", f"--out={place}/x"],
        "budget": [*common[:1], "--budgets=9", f"--out={place}/x"],
        "compare": [*common, "--compare=b", f"--out={place}/x"],
        "translator": [*common, f"--translator={place}/run", f"--out={place}/x"],
        "data": [*common, f"--out={place}/data"],
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "false")  # Probes are fitted for real.
        done = run_lines("evaluate_world.command", list(lines.values()))
    return dict(zip(lines, done, strict=True))


def test_the_report_has_the_world_its_floor_and_every_measure(place, results):
    code, shown, errors, _ = results["measured"]
    assert code == 0, errors
    report = json.loads((place / "report" / "report.json").read_text())
    (found,) = report["models"].values()  # The world is its own floor.
    assert [row["k"] for row in found["budgets"]] == [1, 3]
    first = found["budgets"][0]
    assert len(first["horizon"]) == 3 and list(first["delta_psnr"]) == ["1"]
    obedience = first["obedience"]
    assert set(CELLS) <= set(obedience)
    # After these few steps the probe may read nothing right, and 0 of 0 is no share.
    assert ("relative" in obedience) == (obedience["real_real"]["low"] > 0)
    assert found["frechet"]["floor"]["mean"] > 0 and found["latency"]["p95"]["n"] == 100
    assert report["data"]["clips"] == 8 and "--clips=8" in report["run"]["command"]
    assert "Rollouts" in (page := (place / "report" / "report.html").read_text())
    assert "What codes do" in page and "Fréchet distance" in shown
    rows = list(csv.DictReader((place / "report" / "measures.csv").open()))
    assert {"delta_psnr", "ssim", "obedience_real_generated", "latency_p50", "floor"} <= {
        row["measure"] for row in rows
    }


def test_the_card_stands_beside_the_checkpoint_and_says_why_nothing_is_validated(place, results):
    assert results["measured"][0] == 0, results["measured"][2]
    card = read_card(place / "run")
    assert card.budgets == (1, 3) and len(card.at(1)) <= 3 and card.action_names[0] == "stay"
    assert card.lam.fingerprint == flexlam_jax.load(place / "run").fingerprint()
    assert sum(code.share for code in card.at(1)) <= 1 and card.run["command"]
    typed = flexlam_jax.load(place / "run").actions
    shown = typed.validated
    for name in set(card.action_names) - set(shown):
        with pytest.raises(NotValidated, match=name):
            typed[name]
    with pytest.raises(NotValidated, match=f"has no {FILE}"):
        flexlam_jax.load(place / "other").actions["stay"]


@pytest.mark.parametrize(
    "name, message",
    [
        ("horizon", "lower --horizon"),
        ("other model", "b obeys the codes of another latent action model"),
        ("lam", "give the model that it was trained with"),
        ("budget", "[9] are outside 1..3"),
        ("compare", "--compare item 'b' is not NAME=PATH"),
        ("translator", "where one of kind 'translator' is needed"),
        ("data", "holds a dataset"),
    ],
)
def test_what_does_not_fit_is_one_message(place, results, name, message):
    code, _, errors, _ = results[name]
    assert code == 1 and message in errors
    assert errors.startswith("error: ")  # Before anything is encoded.
    assert not (place / "x" / "report.json").exists()


def test_a_key_of_an_action_plays_its_most_reliable_code_and_none_is_disobedience():
    def card(action, low):
        right = Number(low + 0.1, low, low + 0.2, 9, "share", "episodes")
        return CodeCard(1, (0,), ((0.0,),), 0.25, action, right, 99, 0.3, None, None, False, "")

    episode = np.arange(4)
    real = Commanded(action=np.repeat([0, 1, 2], 4), episode=np.tile(episode, 3))
    probe = types.SimpleNamespace(
        names=("a", "b", "c"), classes=3, real=real, read=real.action.copy()
    )
    cards = [card("a", 0.2), card("a", 0.7), card("b", 0.1)]
    read = np.array([[2] * 4, [0, 0, 0, 2], [1] * 4])  # The first code is not played.
    found = typed_obedience(cards, read, episode, probe)
    assert (found["actions"], found["of"]) == (2, 3)
    assert found["obedience"].mean == pytest.approx((0.75 + 1 + 0) / 3)
    assert found["relative"].mean == pytest.approx((0.75 + 1 + 0) / 3)


def test_leakage_is_probed_on_the_transitions_that_were_read(place, monkeypatch):
    class Lam(RollingLam):
        def encode_with_ids(self, o_t, o_next):
            return np.zeros((len(o_t), 2, 1), np.float32), np.zeros((len(o_t), 2), np.int32)

    lam, number = Lam(), Number(0.4, 0.3, 0.5, 6, "R^2", "episodes")
    info = open_dataset(place / "data")
    source = Source(info, tuple(info.datasets), 1)
    given = {"actions": True, "state": True}
    train, test = (transitions(lam, source, split, **given) for split in ("train", "test"))

    def run(model, data):
        assert model is lam and len(data.train) > len(data.test) > 0
        for split in (data.train, data.test):
            assert all(len(split[name]) == len(split) for name in ("action", "state"))
            assert len(split["codes"]["slots"]) == len(split)
        assert (data.settings.budgets, data.settings.exogenous_state) == ((1, 2), ("x",))
        return Table("", [{"k": 1, "exogenous": number}, {"slot": 1, "exogenous": number}], [])

    monkeypatch.setattr(card, "LEAKAGE", dataclasses.replace(LEAKAGE, run=run))
    truth = Truth(state_names=("x", "y"), exogenous_state=("x",))
    assert leakage_of(lam, train, test, truth, (1, 2), 5) == {"1": number}


def test_clips_are_longer_than_records_and_stay_in_their_episode():
    length = [9, 4, 12]  # transitions of three episodes
    episode = np.repeat(np.arange(3), length)
    time = np.concatenate([np.arange(n) for n in length])
    read = Split({}, {}, episode, time.astype(np.int32), np.zeros(25, int), np.arange(0))
    spans = _spans(read, gap=2, steps=4, count=100)
    assert [span.start for span in spans] == [0, 1, 2, *range(13, 19)]
    assert list(spans[0]) == [0, 2, 4, 6] and len(_spans(read, 2, 4, 3)) == 3
    assert not _spans(read, gap=2, steps=7, count=4)


def test_worlds_are_commanded_by_what_they_take():
    clips = make_clips(episodes=2, each=2)
    world = RollingWorld()
    assert takes(world) == LATENT
    latent = Player("a", world, LATENT, (1,))
    np.testing.assert_array_equal(latent.commands(clips, NAMES), clips.slots)
    world.action_names = NAMES
    true = Player("b", world, takes(world), (None,))
    assert true.takes == TRUE
    commands = true.commands(clips, NAMES)
    assert commands.shape == (4, 4, 1, 4)
    np.testing.assert_array_equal(commands[:, :, 0].argmax(-1), clips.action)
    world.action_names, world.lam = (), {}
    assert takes(world) == NONE
    none = Player("c", world, NONE, (None,))
    commands = none.commands(clips, NAMES)
    assert not commands.any()
    of_latent = _delta(latent, clips, clips.slots, clips.target, 1, Sampling(), lambda count: None)
    assert list(of_latent) == [1, 4]
    assert _delta(none, clips, commands, clips.target, None, Sampling(), lambda count: None) == {}


def test_a_probe_that_reads_nothing_right_is_said_to_measure_nothing():
    right = Number(0.4, 0.3, 0.5, 6, "balanced accuracy", "episodes")
    row = {"k": 1, "obedience": {"real_real": right, "real_generated": right, "relative": right}}
    assert _obedience(row, 4).startswith("With 1 slot, the commanded action is read from 0.400")
    assert _obedience(row, 4).endswith("chance is 0.25.")
    row["obedience"] = {"real_real": Number(0, 0, 0, 6, "", "episodes"), "real_generated": right}
    assert _obedience(row, 4) == (
        "Whether the world obeys cannot be told: of real steps the probe reads 0.000 right, whose "
        "interval holds zero."
    )
