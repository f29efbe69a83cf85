"""The keys of the `loss` section that switch remedies on, and which of them go together."""

import dataclasses

from flexlam_jax.config.ranges import COUNT_OR_NONE, TEXT, one_of, real, whole
from flexlam_jax.config.settings import setting
from flexlam_jax.errors import ConfigError

AGENT_MASK, EXOGENOUS_MASK = "agent_mask", "exogenous_mask"
ALL, LONGER, STOPPED = "all", "longer", "stopped"
EMA, INVERSE = "ema", "inverse"


@dataclasses.dataclass(frozen=True)
class RemedySettings:
    """Off by default, all of them: then the loss is the reconstruction of FlexLAM."""

    mask: str = setting(
        "",
        range=one_of(("", AGENT_MASK, EXOGENOUS_MASK)),
        help="view of data.views that says which pixels are the agent's, or are not",
    )
    mask_weight: float = setting(
        0.0, range=real(0), help="what a pixel that is not the agent's counts in the reconstruction"
    )
    shift: int = setting(
        0, range=whole(0, 64), help="pixels: encoder and decoder see frames moved apart by so many"
    )
    cross: float = setting(
        0.0,
        range=real(0),
        help="weight of the partner's next frame, decoded with this code; needs data.pair_with",
    )
    cross_slots: int = setting(
        0, range=COUNT_OR_NONE, help="first slots that the cross term trains, 0 for all"
    )
    own: str = setting(
        ALL,
        range=one_of((ALL, LONGER, STOPPED)),
        help="own frames train the first slots too, or as part of longer prefixes, or not at all",
    )
    own_slots: int = setting(
        0,
        range=COUNT_OR_NONE,
        help="how many these are, 0 for those of cross_slots or translator.slots",
    )
    pixels: float = setting(
        1.0, range=real(0, 1), help="share of the gradient of own pixels that passes the code"
    )
    feature: float = setting(
        0.0, range=real(0), help="weight of predicting features of the next frame from the code"
    )
    feature_space: str = setting(
        EMA,
        range=TEXT,
        help="ema: of a slowly moving average; inverse: what tells actions apart "
        "(translator.steps); else the column of data.sidecars that holds them",
    )
    feature_width: int = setting(64, range=whole(1, 4096), help="learned features of a frame")
    feature_decay: float = setting(
        0.99, range=real(0, 1), help="of the average that gives ema targets"
    )
    feature_variance: float = setting(
        1.0, range=real(0), help="weight of keeping ema features from collapsing"
    )

    @property
    def learned_space(self) -> bool:
        """Whether the feature space is a network of ours."""
        return self.feature_space in (EMA, INVERSE)

    @property
    def column(self) -> str:
        """The sidecar's column that features come from, "" for none."""
        return self.feature_space if self.feature and not self.learned_space else ""


def check_remedies(
    settings: RemedySettings, slots: int, first: int = 0, *, inverse: bool = False
) -> int:
    """How many first slots own frames treat apart, 0 for none.

    Args:
      slots: K.
      first: those that something else than the cross term trains, as actions do.
      inverse: something trains the feature space "inverse".

    Raises:
      ConfigError: keys that contradict each other, or more first slots than there are.
    """
    if settings.cross_slots and not settings.cross:
        raise ConfigError(
            f"config.loss.cross_slots={settings.cross_slots} says which slots the cross term trains,"
            " and config.loss.cross=0 leaves it out; raise it, or leave out config.loss.cross_slots"
        )
    if settings.cross_slots > slots:
        raise ConfigError(
            f"config.loss.cross_slots={settings.cross_slots} of config.model.slots={slots}"
        )
    if settings.cross and settings.mask == EXOGENOUS_MASK:
        raise ConfigError(
            "config.loss.mask='exogenous_mask' tells nothing of the partner's exogenous pixels, whose "
            "frame config.loss.cross reconstructs; give config.loss.mask='agent_mask'"
        )
    if settings.cross and settings.column:
        raise ConfigError(
            f"config.loss.feature_space={settings.column!r} holds features of the frames alone, and "
            "config.loss.cross reads those of partners too; leave one of them out"
        )
    wanted = bool(settings.feature) and settings.feature_space == INVERSE
    if wanted != inverse:
        raise ConfigError(
            f"config.loss.feature_space={settings.feature_space!r} with config.loss.feature="
            f"{settings.feature}: the space 'inverse' is learned from labelled actions, and for "
            "nothing else are they told apart over several steps; give both or neither of "
            "config.loss.feature_space='inverse' (and a weight, config.loss.feature) and, of "
            "config.kind='lam_finetune', config.translator.steps"
        )
    return _first_slots(settings, slots, first)


def _first_slots(settings: RemedySettings, slots: int, first: int) -> int:
    if settings.own == ALL:
        if settings.own_slots:
            raise ConfigError(
                f"config.loss.own_slots={settings.own_slots} and config.loss.own='all': own frames "
                "train all slots alike; give 'longer' or 'stopped', or leave out own_slots"
            )
        return 0
    given = {settings.own_slots, settings.cross_slots, first} - {0}
    if len(given) != 1:
        raise ConfigError(
            f"config.loss.own={settings.own!r} treats the first slots apart: give their number, "
            f"config.loss.own_slots (it is {settings.own_slots}), config.loss.cross_slots (it is "
            f"{settings.cross_slots}) or, of lam_finetune, config.translator.slots (it is {first}), "
            "and the same where several are given"
        )
    (count,) = given
    if count >= slots:
        raise ConfigError(
            f"config.loss.own={settings.own!r} with {count} first slots of config.model.slots="
            f"{slots} leaves no slot to own frames; lower it, or raise config.model.slots"
        )
    return count
