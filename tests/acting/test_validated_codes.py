"""Codes act where the card vouches for them, or nobody wrote one."""

import dataclasses

import numpy as np
import pytest

from experiments.rollout import players
from experiments.rollout.players import LatentPath
from flexlam_jax.acting.validated_codes import check_codes
from flexlam_jax.errors import UserError
from flexlam_jax.evaluation.action_card import write_card
from flexlam_jax.loading.action_card import ActionCard, CodeCard, Source, Thresholds
from tests.acting.tiny_parts import D, K, make_lam, make_translator


@pytest.fixture(scope="module")
def parts():
    lam = make_lam()
    return lam, make_translator(lam)


def card_of(lam, translator, keep=1):
    """Three codes, each validated as what the translator reads."""
    rng, cards = np.random.default_rng(0), []
    for number in range(3):
        slots = rng.normal(size=(keep, D)).astype(np.float32)
        whole = np.tile(lam.null, (K, 1))
        whole[:keep] = slots
        action = translator.config.action_names[int(translator(whole))]
        values = tuple(map(tuple, slots.tolist()))
        rest = (1 / 3, action, None, 50, 0.3, None, None)
        cards.append(CodeCard(keep, (number,) * keep, values, *rest, validated=True, why=""))
    made_by = Source("run", 1, lam.fingerprint())
    names, null = translator.config.action_names, tuple(lam.null.tolist())
    return ActionCard(
        *(1, made_by, made_by, None, K, null, names, Thresholds(), {}, tuple(cards), {}, {})
    )


def changed(card, **changes):
    return dataclasses.replace(
        card, codes=(dataclasses.replace(card.codes[0], **changes), *card.codes[1:])
    )


def test_a_card_vouches_for_the_codes_of_its_budgets(parts, tmp_path):
    lam, translator = parts
    assert not check_codes(tmp_path, lam, translator, 1)  # No card, as before there were any.
    write_card(tmp_path, card_of(lam, translator))
    assert check_codes(tmp_path, lam, translator, 1)
    assert not check_codes(tmp_path, lam, translator, 2)  # It says nothing of two slots.


def test_codes_that_a_card_does_not_vouch_for_are_refused(parts, tmp_path):
    lam, translator = parts
    card = card_of(lam, translator)
    write_card(tmp_path, changed(card, validated=False, why="3 labels"))
    with pytest.raises(UserError, match=r"1 of the 3 codes of 1 slots .* \(0: 3 labels\)"):
        check_codes(tmp_path, lam, translator, 1)
    other = next(name for name in translator.config.action_names if name != card.codes[0].action)
    write_card(tmp_path, changed(card, action=other))
    with pytest.raises(UserError, match=f"0: {other} on the card, {card.codes[0].action} by the"):
        check_codes(tmp_path, lam, translator, 1)
    write_card(tmp_path, dataclasses.replace(card, codes=card.codes[:2]))
    with pytest.raises(UserError, match=r"2 codes of 1 slots, which 0.667 of .* more --codes"):
        check_codes(tmp_path, lam, translator, 1)
    stranger = dataclasses.replace(card, lam=Source("run", 8, "other"))
    write_card(tmp_path, stranger)
    with pytest.raises(UserError, match="another latent action model .step 8."):
        check_codes(tmp_path, lam, translator, 1)


def test_rollouts_refuse_them_unless_allowed(parts, tmp_path):
    lam, translator = parts
    card = card_of(lam, translator)
    about = lambda **path: players._validation(tmp_path, lam, translator, 1, LatentPath(**path))
    assert about() == {}
    write_card(tmp_path, card)
    assert about() == {"codes": "validated"}
    write_card(tmp_path, changed(card, validated=False, why="3 labels"))
    with pytest.raises(UserError, match="Give --allow_unvalidated_codes to act"):
        about()
    assert about(allow_unvalidated=True) == {"codes": "not validated, allowed"}
    assert LatentPath(allow_unvalidated=True).given() == ["--allow_unvalidated_codes"]
