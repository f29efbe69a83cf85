"""The frozen tokenizer of a run that needs one inside its loss."""

from typing import Any

from experiments.frozen_parts import freeze_part
from flexlam_jax.errors import ConfigError
from flexlam_jax.loading.load import load_as
from flexlam_jax.loading.tokenizer import LoadedTokenizer
from flexlam_jax.objectives.frozen_tokenizer import MODEL, FrozenTokenizer


def open_tokenizer(config: Any) -> LoadedTokenizer:
    """The model of `tokenizer.checkpoint`, at `tokenizer.step` where that is given.

    Raises:
      CheckpointError: no checkpoint, no such step, or another kind of model.
      ConfigError: another model than `tokenizer.fingerprint` lies there.
    """
    given = config.tokenizer
    tokenizer = load_as("tokenizer", given.checkpoint, given.step or None)
    found = tokenizer.fingerprint()
    if given.fingerprint and given.fingerprint != found:
        raise ConfigError(
            f"config.tokenizer.checkpoint={given.checkpoint!r} is model {found[:12]} (step "
            f"{tokenizer.step}), and the run is of model {given.fingerprint[:12]} (step {given.step});"
            " restore that checkpoint, or leave out config.tokenizer.fingerprint"
        )
    return tokenizer


def freeze_tokenizer(config: Any, tokenizer: LoadedTokenizer) -> None:
    """Writes into the config which tokenizer it is, what its tokens are, and that the run takes its
    parameters and does not train them. Raises ConfigError as `freeze_part`."""
    path = config.tokenizer.checkpoint
    config.tokenizer = {
        "checkpoint": path,
        "step": tokenizer.step,
        "fingerprint": tokenizer.fingerprint(),
    }
    config.tokens = {"count": tokenizer.tokens, "codebook_size": tokenizer.codebook_size}
    freeze_part(config, MODEL, {"path": path, "take": "", "to": MODEL, "step": tokenizer.step})


def frozen_tokenizer(tokenizer: LoadedTokenizer) -> FrozenTokenizer:
    """The model as an objective reads it."""
    return FrozenTokenizer(tokenizer.model, tokenizer.frame_shape)
