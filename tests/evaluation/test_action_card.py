"""What a card says of codes of worlds whose answers are known, and what is read of it again."""

import dataclasses
import json

import numpy as np
import pytest

from flexlam_jax.errors import DamagedFile
from flexlam_jax.evaluation.action_card import (
    Labelled,
    Obeyed,
    code_cards,
    read_by_dictionary,
    read_by_translator,
    write_card,
)
from flexlam_jax.evaluation.world.effects import codes_in_use
from flexlam_jax.evaluation.world.obedience import share
from flexlam_jax.loading import actions
from flexlam_jax.loading.action_card import FILE, ActionCard, Source, Thresholds, read_card
from flexlam_jax.loading.actions import Actions, NotValidated

NAMES = ("left", "right", "jump")
EPISODES = 30


def transitions(count, seed):
    """Codes 0 and 1 are left and right, nine times of ten; code 2 is anything; code 3 is rare."""
    rng = np.random.default_rng(seed)
    code = np.concatenate([rng.integers(0, 3, count - 6), np.full(6, 3)])
    action = np.where(code < 2, code, rng.integers(0, 3, count))
    action = np.where(rng.random(count) < 0.1, rng.integers(0, 3, count), action)
    ids = np.stack([code, rng.integers(0, 2, count)], 1).astype(np.int32)
    return ids, action, np.arange(count) % EPISODES


@pytest.fixture(scope="module")
def in_use():
    ids, _, _ = transitions(1200, 0)
    return codes_in_use(10.0 * ids[..., None].astype(np.float32), ids, 1, most=8)


@pytest.fixture(scope="module")
def labelled():
    return Labelled(*transitions(1200, 1))


def obeyed(in_use, reads, right=0.95):
    """A world that does what each code reads as, in that share of the steps."""
    done = np.arange(200) < 200 * right
    read = np.where(done, reads[:, None], (reads[:, None] + 1) % 3)
    probe = {action: share(np.ones(60, bool), np.arange(60) % 6) for action in range(3)}
    return Obeyed(read, np.arange(200) % 20, probe)


def by_code(cards):
    return {card.ids[0]: card for card in cards}


def test_codes_are_validated_where_labels_and_the_world_say_so(in_use, labelled):
    reads = read_by_dictionary(in_use, transitions(1200, 0)[1])
    cards = by_code(code_cards(in_use, NAMES, reads, labelled, obeyed(in_use, reads)))
    assert [cards[0].action, cards[1].action] == ["left", "right"]
    assert cards[0].validated and cards[1].validated and not cards[0].why
    assert cards[0].reliability.mean == pytest.approx(0.93, abs=0.04) and cards[0].labels > 300
    assert cards[0].obedience.mean == pytest.approx(0.95) and cards[0].slots == ((0.0,),)
    assert not cards[2].validated and "is needed" in cards[2].why
    assert not cards[3].validated and cards[3].why.startswith("6 held-out labelled transitions")


def test_a_world_that_does_not_listen_validates_nothing(in_use, labelled):
    reads = read_by_dictionary(in_use, transitions(1200, 0)[1])
    cards = by_code(code_cards(in_use, NAMES, reads, labelled, obeyed(in_use, reads, 0.7)))
    assert not any(card.validated for card in cards.values())
    assert cards[0].why == (
        "left is read from 0.70 of the steps under it, and 0.80 is needed, 0.80 of what is read from "
        "real ones"
    )
    cards = by_code(code_cards(in_use, NAMES, reads, labelled, None))
    assert "not measured whether the world does left" in cards[0].why


def test_a_world_that_does_one_thing_whatever_it_is_told_validates_nothing(in_use, labelled):
    reads = read_by_dictionary(in_use, transitions(1200, 0)[1])
    told = obeyed(in_use, reads)
    always = dataclasses.replace(told, read=np.zeros_like(told.read))
    cards = by_code(code_cards(in_use, NAMES, reads, labelled, always))
    assert cards[0].obedience.mean == cards[0].elsewhere == 1 and not cards[0].validated
    assert "is not above 1.00, the share of steps under codes of other actions" in cards[0].why
    alone = by_code(code_cards(in_use, NAMES, np.zeros_like(reads), labelled, always))
    assert "no code of another action shows" in alone[0].why


def test_a_probe_that_reads_nothing_validates_nothing(in_use, labelled):
    reads = read_by_dictionary(in_use, transitions(1200, 0)[1])
    told = obeyed(in_use, reads)
    blind = {action: share(np.zeros(60, bool), np.arange(60) % 6) for action in range(3)}
    for read in (told.read, np.full_like(told.read, 2)):
        made = dataclasses.replace(told, read=read, probe=blind)
        cards = by_code(code_cards(in_use, NAMES, reads, labelled, made))
        assert cards[0].why.startswith("the probe reads too little of real left")


def test_few_episodes_and_no_labels_validate_nothing(in_use, labelled):
    reads = read_by_dictionary(in_use, transitions(1200, 0)[1])
    one = dataclasses.replace(labelled, episode=np.zeros(1200, int))
    cards = by_code(code_cards(in_use, NAMES, reads, one, obeyed(in_use, reads)))
    assert "is not above" in cards[0].why  # One episode says little, however long it is.
    cards = code_cards(in_use, (), None, None, None)
    assert all(card.action == "" and "no labels" in card.why for card in cards)


def test_a_translator_reads_the_null_filled_prefix(in_use):
    seen = []
    read_by_translator(lambda codes: seen.append(codes) or np.zeros(len(codes)), in_use, [[7.0]])
    assert seen[0].shape == (4, 2, 1) and (seen[0][:, 1] == 7).all()
    assert sorted(seen[0][:, 0, 0]) == [0, 10, 20, 30]


@pytest.fixture(scope="module")
def card(in_use, labelled):
    reads = read_by_dictionary(in_use, transitions(1200, 0)[1])
    made = code_cards(in_use, NAMES, reads, labelled, obeyed(in_use, reads))
    world = Source("run", 5, "123")
    rest = {"data": {"split": "test"}, "leakage": {}, "run": {}}
    return ActionCard(
        1, world, world, None, 2, (-1.0,), NAMES, Thresholds(), codes=tuple(made), **rest
    )


@pytest.fixture
def place(tmp_path, card, monkeypatch):
    (tmp_path / "checkpoints" / "5").mkdir(parents=True)
    monkeypatch.setattr(actions, "saved_fingerprint", lambda path, step: 123 if step == 5 else 4)
    write_card(tmp_path / "checkpoints", card)  # Beside the folder, not in it.
    return tmp_path


def test_typed_access_gives_the_code_or_says_why_not(place, card):
    assert read_card(place) == card
    typed = Actions(place)
    left = typed["left"]
    assert (left.ids, left.keep, left.slots.tolist()) == ((0,), 1, [[0.0], [-1.0]])
    assert typed.validated == ("left", "right") and "left" in typed and "jump" not in typed
    with pytest.raises(NotValidated, match="no action 'up'; the data of .* have left, right, jump"):
        typed["up"]
    with pytest.raises(NotValidated, match="'jump'"):
        typed["jump"]
    with pytest.raises(NotValidated, match="nothing of codes of 2 slots, only of 1"):
        typed.code("left", keep=2)
    reading = {code.action: code for code in card.codes if not code.validated}
    for action in reading:
        found = typed.code(action, allow_unvalidated=True)
        assert found.action == action and found.card.validated == (action in typed)


def test_no_card_an_edited_one_and_one_of_other_parameters(place, tmp_path_factory):
    with pytest.raises(NotValidated, match="evaluate_world --checkpoint="):
        _ = Actions(tmp_path_factory.mktemp("none"))["left"]
    with pytest.raises(NotValidated, match="written of step 5, and step 6 has other parameters"):
        _ = Actions(place, 6)["left"]
    values = json.loads((place / FILE).read_text())
    values["codes"][0]["validated"] = not values["codes"][0]["validated"]
    (place / FILE).write_text(json.dumps(values))
    with pytest.raises(DamagedFile, match="it was edited or damaged"):
        _ = Actions(place)["left"]
    values["format"] = 2
    (place / FILE).write_text(json.dumps(values))
    with pytest.raises(DamagedFile, match="update flexlam_jax"):
        read_card(place)
