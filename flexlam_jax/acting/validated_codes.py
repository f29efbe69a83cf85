"""Whether codes may act: what the card of a latent action model says of those that a policy draws.

A policy of latent actions may draw any code; a translator makes an action of it. Where evaluation
wrote a card beside the latent action model, codes that it marks as not validated act on request only.

Dimension keys: K slots, D slot width.
"""

from typing import Any

import numpy as np

from flexlam_jax.errors import UserError
from flexlam_jax.loading.action_card import FILE, ActionCard, CodeCard, read_card
from flexlam_jax.loading.lam import LoadedLam
from flexlam_jax.loading.translator import LoadedTranslator

_TOLD = 3  # codes whose reasons stand in a message


def check_codes(checkpoint: Any, lam: LoadedLam, translator: LoadedTranslator, keep: int) -> bool:
    """Whether a card vouches for the codes of `keep` slots; False where there is nothing that could.

    Nothing: no card beside the checkpoint, or one that lists no code of this budget. It vouches for
    codes that train transitions have: a policy may still draw one that none has.

    Args:
      checkpoint: where `lam` lies.

    Raises:
      UserError: the card marks some of these codes as not validated, or as other actions than the
        translator reads from them, or lists the most frequent ones alone; or it was written of
        another model.
      DamagedFile: as `read_card`.
    """
    card = read_card(checkpoint)
    if card is None:
        return False
    if card.lam.fingerprint != lam.fingerprint():
        raise UserError(
            f"the {FILE} of {checkpoint} was written of another latent action model (step "
            f"{card.lam.step}); write it again with experiments.evaluate_world"
        )
    listed = card.at(keep)
    refused = _refused(card, listed, translator) if listed else []
    if refused:
        told = "; ".join(refused[:_TOLD]) + ("; ..." if len(refused) > _TOLD else "")
        raise UserError(
            f"{len(refused)} of the {len(listed)} codes of {keep} slots that the {FILE} of {checkpoint} "
            f"lists are not validated as what the translator makes of them ({told})"
        )
    share = sum(code.share for code in listed)
    if listed and share < 1 - 1e-6:
        raise UserError(
            f"the {FILE} of {checkpoint} lists {len(listed)} codes of {keep} slots, which "
            f"{share:.3f} of the train transitions have, and nothing was shown of the others; "
            "experiments.evaluate_world with more --codes lists them too"
        )
    return bool(listed)


def _refused(
    card: ActionCard, listed: tuple[CodeCard, ...], translator: LoadedTranslator
) -> list[str]:
    """Why each code that is not validated is not."""
    slots = np.tile(np.asarray(card.null, np.float32), (len(listed), card.slots, 1))
    for row, code in zip(slots, listed, strict=True):
        row[: code.budget] = code.slots
    config = translator.config
    reads = np.asarray(translator(slots))
    found = []
    for code, read in zip(listed, reads, strict=True):
        name = ", ".join(map(str, code.ids))
        reading = config.action_names[int(read)] if config.discrete else "a vector"
        if not code.validated:
            found.append(f"{name}: {code.why}")
        elif reading != code.action:
            found.append(f"{name}: {code.action} on the card, {reading} by the translator")
    return found
