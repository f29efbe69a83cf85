"""Leakage of codes that are the action, a distractor, or both, slot by slot."""

import itertools
import json

import numpy as np
import pytest

from flexlam_jax.errors import UserError
from flexlam_jax.evaluation.evaluator import evaluate as run_evaluators
from flexlam_jax.evaluation.lam import leakage
from flexlam_jax.evaluation.lam.evaluation import evaluate
from flexlam_jax.evaluation.lam.evaluators import EVALUATORS
from flexlam_jax.evaluation.lam.fields import FIELDS
from flexlam_jax.evaluation.lam.report_tables import all_tables
from flexlam_jax.evaluation.lam.settings import Settings
from flexlam_jax.reports.results import plain

SIDE, HALF = 16, 8
WIDTH = 3  # of a slot, as many as there are actions: probes of features of one width compile once.
STATE = ("x", "still", "noise")
SETTINGS = Settings(
    label_counts=(None,),
    draws=2,
    pictures=1,
    state_names=STATE,
    exogenous_state=("noise",),
    masks=("exogenous_mask",),
    encoders=("eye",),
)


class Lam:
    """The agent is the brightness of the left half, the distractor that of the right one.

    Slot j tells the change of `slots_of[j]`.
    """

    step, chooses, bits_per_slot, codebook_size, slot_width = 0, False, None, None, WIDTH
    null = np.zeros(WIDTH, np.float32)
    config = {
        "model": {
            "quantizer": {"kind": "none"},
            "encoder": {"kind": "motion"},
            "decoder": {"kind": "motion"},
        }
    }

    def __init__(self, *halves):
        self.halves, self.slots = halves, len(halves)
        self.budgets = tuple(range(1, self.slots + 1))

    def encode_with_ids(self, o_t, o_next):
        change = o_next.astype(np.float32) - o_t
        read = {"agent": change[:, 0, 0, 0], "noise": change[:, 0, HALF, 0]}
        slots = np.stack([read[half] for half in self.halves], 1)
        return np.repeat(slots[..., None], WIDTH, -1), None

    def null_fill(self, codes, keep):
        return np.where((np.arange(self.slots) < keep)[None, :, None], codes, self.null)

    def decode(self, o_t, codes):
        shown = o_t.astype(np.float32)
        for slot, half in enumerate(self.halves):
            columns = slice(0, HALF) if half == "agent" else slice(HALF, SIDE)
            shown[:, :, columns] += np.asarray(codes)[:, slot, 0][:, None, None, None]
        return shown / 255


def batches(seed, *, follows=False, episodes=20, length=24, actions=True):
    """The action moves the agent; the distractor moves by itself, or as the action, if it follows."""
    rng = np.random.default_rng(seed)
    for episode in range(episodes):
        action = rng.integers(0, 3, length)
        steps = np.stack([action, action if follows else rng.integers(0, 3, length)]) - 1
        state = np.concatenate([[[0, 0]], np.cumsum(steps.T, 0)]).astype(np.float32)
        frames = np.full((length + 1, SIDE, SIDE, 1), 128, np.uint8)
        frames[:, :, :HALF] += (3 * state[:, 0]).astype(np.int8).view(np.uint8)[:, None, None, None]
        frames[:, :, HALF:] += (3 * state[:, 1]).astype(np.int8).view(np.uint8)[:, None, None, None]
        mask = np.zeros((length, 2, SIDE, SIDE, 1), np.uint8)
        mask[:, :, :, HALF:] = 255
        held = np.insert(state, 1, 7, 1)  # A column that never changes.
        zeros = np.zeros(length, np.int32)
        batch = {
            "frames": np.stack([frames[:-1], frames[1:]], 1),
            "frames_exogenous_mask": mask,
            "state": np.stack([held[:-1], held[1:]], 1),
            "features_eye": np.stack([held[:-1], held[1:]], 1),
            "action": action[:, None].astype(np.int32),
            "episode": zeros + episode,
            "t": np.arange(length),
            "dataset": zeros,
            "gap": zeros + 1,
        }
        yield batch if actions else {k: v for k, v in batch.items() if k != "action"}


@pytest.fixture(scope="module")
def report():
    lams = {"m": Lam("agent", "noise"), "noise": Lam("noise", "agent")}
    return evaluate(lams, batches(0), batches(1), SETTINGS).report


def rows_of(evaluator, lam, **world):
    """The rows of one evaluator, by name."""
    worlds = batches(1, **world), batches(0, **world)
    found = run_evaluators([EVALUATORS[evaluator]], {"m": lam}, FIELDS, *worlds, SETTINGS)
    return by_features(found[evaluator]["m"].rows)


def by_features(rows):
    return {row["features"]: row for row in rows}


def test_a_slot_that_is_the_action_has_no_leakage_and_the_distractors_has_nothing_else(report):
    rows = by_features(report["leakage"]["models"]["m"])
    assert list(rows) == ["k = 1", "k = 2", "slot 1 alone", "slot 2 alone"]
    for name in ("k = 1", "slot 1 alone"):
        row = rows[name]
        assert row["accuracy"].mean > 0.99 and row["action_nmse"].high < 0.05
        assert row["endogenous"].mean > 0.95
        assert row["exogenous"].high < 0.05 and row["exogenous_share"].high < 0.05
    alone = rows["slot 2 alone"]
    assert alone["accuracy"].mean < 0.45 and alone["endogenous"].high < 0.05
    assert alone["exogenous"].mean > 0.95 and alone["exogenous_share"].low > 0.95
    assert rows["k = 2"]["exogenous_share"].mean == pytest.approx(0.5, abs=0.03)
    for row in rows.values():
        assert row["action_nmse"].mean == pytest.approx(1 - row["action"].mean)


def test_baselines_tell_what_a_code_must_be_better_than(report):
    rows = by_features(report["leakage"]["baselines"])
    assert list(rows) == [
        "true action",
        "shuffled codes",
        "observation",
        "pixel pair",
        "features eye",
    ]
    assert (
        rows["true action"]["exogenous"].high < 0.05 and rows["true action"]["action"].mean > 0.95
    )
    for name in ("shuffled codes", "observation"):
        assert rows[name]["action"].high < 0.1 and rows[name]["exogenous"].high < 0.1
        assert "exogenous_share" not in rows[name]  # Of nothing there is no share.
    assert rows["observation"]["exogenous_level"].mean > 0.8  # It is seen, but not what comes next.
    assert rows["features eye"]["accuracy"].mean > 0.9


def test_errors_are_told_inside_the_mask_and_outside(report):
    one, two = report["leakage"]["regions"]["m"]
    assert one["rest"].mean == pytest.approx(1) and one["exogenous"].mean == pytest.approx(
        0, abs=1e-5
    )
    assert two["rest"].mean == two["exogenous"].mean == pytest.approx(1)
    assert "agent" not in one  # No such mask.


def test_the_verdict_says_it_plainly(report):
    lines = [line for line in report["verdict"]["lines"] if line.startswith("m: ")]
    text = " ".join(lines)
    assert "From one slot the action is read with accuracy 1.00 (a constant guess 0." in text
    assert "no leakage to speak of" in text and text.count("it leaks.") == 1
    assert "Of single slots, slot 2 is the most exogenous: 100%" in text
    noise = [line for line in report["verdict"]["lines"] if line.startswith("noise: ")]
    assert any("this code is a disturbance more than the agent's action" in line for line in noise)
    assert any("eye's features of the two frames tell more of the action" in line for line in noise)
    assert [one["rows"] for one in report["verdict"]["missing"]] == ["perceptual distance"]


def test_what_the_true_action_tells_of_a_distractor_that_follows_it_is_known(monkeypatch):
    every = leakage._baselines
    monkeypatch.setattr(leakage, "_baselines", lambda *given: itertools.islice(every(*given), 1))
    (row,) = rows_of("leakage_baselines", Lam("agent"), follows=True).values()
    assert row["features"] == "true action" and row["exogenous"].low > 0.9


def test_leakage_needs_no_actions():
    (row,) = rows_of("leakage", Lam("noise"), actions=False).values()
    assert "accuracy" not in row and "action" not in row
    assert row["exogenous_share"].low > 0.95


def test_without_ground_truth_nothing_is_probed_and_the_verdict_says_why():
    settings = Settings(label_counts=(None,), draws=2, pictures=1)
    train = list(batches(0, episodes=2, actions=False))
    report = evaluate(
        {"m": Lam("agent")}, train, batches(1), settings, no_leakage="nobody wrote it down"
    ).report
    assert "leakage" not in report and report["metric"] is None
    assert report["notes"] == ["No probes: the data hold no actions."]
    missing = {one["rows"]: one["why"] for one in report["verdict"]["missing"]}
    assert missing["leakage probes"] == "nobody wrote it down" and "errors by region" in missing
    line = report["verdict"]["lines"][0]
    assert line.startswith("Without labels, ") and " of 7 checks pass" in line


def test_the_report_is_json_with_tables(report):
    json.dumps(plain(report), allow_nan=False)
    titles = [table.title for table in all_tables(report)]
    assert "What the code carries" in titles and "What is reconstructed where" in titles


@pytest.mark.parametrize(
    "value, message",
    [(np.nan, "columns noise hold NaN or infinity"), (3.0, "nor a column of x, still, noise ever")],
)
def test_states_that_tell_nothing_are_one_message(value, message):
    def broken(seed):
        for batch in batches(seed, episodes=2, actions=False):
            batch["state"][..., 2] = value
            batch["state"][..., 0] = 1
            yield batch

    with pytest.raises(UserError, match=message):
        run_evaluators(
            [EVALUATORS["leakage"]], {"m": Lam("agent")}, FIELDS, broken(1), broken(0), SETTINGS
        )
