"""The legend, learned from data whose actions are known: a stand-in model reads them off the frames."""

import numpy as np
import pytest

from data_pipelines.format.spec import ActionSpec
from experiments.play.legend import Reading, Transitions, controls_of, transitions_of
from flexlam_jax.errors import UserError
from flexlam_jax.loading.action_card import CodeCard
from tests.experiments.play.stand_in import MOVES

NAMES = tuple(MOVES)  # stay, left, right


class Lam:
    """Its first slot's id is the action, its second one noise."""

    def null_fill(self, codes, keep):
        return np.where((np.arange(codes.shape[1]) < keep)[:, None], codes, 0)

    def encode_with_ids(self, o_t, o_next):
        ids = np.stack([o_next[:, 0, 0, 0] % 3, o_t[:, 0, 0, 0] % 2], -1).astype(int)
        return ids[..., None].astype(np.float32), ids

    def fingerprint(self):
        return "abc"

    step = 1


class Translator:
    """Reads the first slot; says that it reads the codes of `of`."""

    def __init__(self, of="abc"):
        self.config = type("Config", (), {"lam": {"fingerprint": of}})
        self.config.action_names, self.config.discrete = NAMES, True

    def __call__(self, slots):
        return slots[:, 0, 0].astype(int)


def transitions(rows, wrong=0):
    """Actions in turn, most often `right`; the first `wrong` rows are labelled otherwise."""
    action = np.array([0, 1, 2, 2])[np.arange(rows) % 4]
    shift = np.array(list(MOVES.values()))[action] * 2.0
    tokens = np.stack([action, np.arange(rows) % 2], -1)
    labels = action.copy()
    labels[:wrong] = (labels[:wrong] + 1) % 3
    return Transitions(tokens[..., None].astype(np.float32), tokens, shift, np.arange(rows), labels)


def board(keep=1, reading=None, card=None, **changes):
    reading = reading or Reading.of(Lam(), Translator(), ActionSpec("discrete", NAMES))
    train = Transitions(**(vars(transitions(80)) | changes))
    held_out = Transitions(**(vars(transitions(40, wrong=8)) | changes.get("both", {})))
    return controls_of(Lam(), [keep], train, held_out, reading, card)[keep]


def test_codes_are_told_by_frequency_motion_action_and_what_it_is_worth():
    found = board()
    assert [code.name for code in found.codes] == ["2", "0", "1"] and found.digits == 3
    assert [code.action_name for code in found.codes] == ["right", "stay", "left"]
    assert [code.motion for code in found.codes] == [(2, 0), (0, 0), (-2, 0)]
    assert found.typed == {"stay": 1, "left": 2, "right": 0}
    assert found.still == found.typed["stay"]
    worth = found.codes[0].reliability  # 4 of 20 held-out ones were labelled otherwise
    assert worth.mean == 0.8 and worth.low < 0.8 < worth.high
    assert not any(code.validated for code in found.codes)
    assert (found.codes[0].slots == [[2], [0]]).all()


def test_a_longer_prefix_has_more_codes_and_as_many_actions():
    found = board(keep=2)
    assert len(found.codes) == 4 and len(found.typed) == 3  # "2" comes with either noise
    assert found.codes[found.typed["right"]].name in ("2·0", "2·1")


def test_without_a_translator_the_commonest_action_stands_in():
    reading = Reading.of(Lam(), None, ActionSpec("discrete", NAMES))
    assert board(reading=reading).typed == board().typed


def test_without_actions_there_are_codes_alone_and_the_stillest_is_played_without_a_key():
    found = board(reading=Reading.of(Lam(), None, None))
    assert found.typed == {} and found.codes[found.still].motion == (0, 0)
    facts = found.facts()
    assert facts["codes"][0]["action"] == "" and facts["codes"][0]["reliability"] is None


def test_labels_by_other_actions_say_nothing_of_a_translator():
    other = ActionSpec("discrete", ("stay", "right", "left"))
    found = board(reading=Reading.of(Lam(), Translator(), other))
    assert found.typed == {"stay": 1, "left": 2, "right": 0}
    assert found.codes[0].reliability is None


class Card:
    """Of (ids, action, validated) of every code."""

    def __init__(self, *codes):
        rest = {"labels": 9, "base": 0.3, "obedience": None, "probe": None, "why": ""}
        self.codes = [
            CodeCard(len(ids), ids, ((0.0,),) * len(ids), 0.5, action, None, validated=ok, **rest)
            for ids, action, ok in codes
        ]

    def at(self, keep):
        return [code for code in self.codes if code.budget == keep]


def test_a_card_validates_codes_that_read_as_it_says():
    card = Card(((2,), "right", True), ((0,), "left", True), ((1,), "left", False))
    assert [code.validated for code in board(card=card).codes] == [True, False, False]


def test_of_codes_that_read_as_an_action_a_validated_one_plays_it():
    plain = board(keep=2)
    played = plain.codes[plain.typed["right"]].name
    other = {"2·0": (2, 1), "2·1": (2, 0)}[played]
    found = board(keep=2, card=Card((other, "right", True)))
    assert found.codes[found.typed["right"]].name == "·".join(map(str, other))


def test_a_translator_of_another_model_is_refused():
    with pytest.raises(UserError, match="of another|fitted on the codes of"):
        Reading.of(Lam(), Translator(of="other"), None)


def test_transitions_are_read_in_batches_and_none_is_refused():
    frames = np.zeros((4, 2, 16, 16, 3), np.uint8)
    frames[:, 1] = np.arange(4)[:, None, None, None]
    batch = {
        "frames": frames,
        "episode": np.arange(4),
        "dataset": np.zeros(4),
        "action": [1, 0, 2, 1],
    }
    found = transitions_of(Lam(), [batch, batch], motion=True)
    assert found.tokens.shape == (8, 2) and found.action.tolist() == [1, 0, 2, 1] * 2
    assert found.shift.shape == (8, 2)
    assert transitions_of(Lam(), [batch], motion=False).shift is None
    with pytest.raises(UserError, match="no transition"):
        transitions_of(Lam(), [], motion=True)
