"""What a study trains: plain FlexLAM, and one remedy at a time. Data, nothing runs here."""

import dataclasses

PLAIN = "plain"
VIDEO, LABELLED = "video", "labelled"  # what a model learns from: video alone, or labels beside it
FIRST = 1  # the slots that ordered models keep for what the agent controls


@dataclasses.dataclass(frozen=True)
class Remedy:
    """One way to train.

    Attributes:
      name: of its folders and in tables.      about: what is different, in words.
      overrides: of the preset's config, KEY=VALUE as after --config.
      learns_from: VIDEO, or LABELLED: also the actions of a share of the transitions.
      knows: what it is told beside video, for the table.
    """

    name: str
    about: str
    overrides: tuple[str, ...] = ()
    learns_from: str = VIDEO
    knows: str = "nothing"


_PARTNERS = ("data.pair_with=exogenous", "loss.cross=1.0")
_SHARED, _MASKS, _LABELS = "a second exogenous process", "masks", "labels"
REMEDIES = (
    Remedy(PLAIN, "FlexLAM as it is"),
    Remedy("shift", "encoder and decoder see shifted frames", ("loss.shift=4",)),
    Remedy(
        "features",
        "predicts features (moving average) instead of pixels",
        ("loss.feature=1.0", "loss.pixels=0.0"),
    ),
    Remedy(
        "mask",
        "reconstructs what is not exogenous",
        ("data.views=('exogenous_mask',)", "loss.mask=exogenous_mask"),
        knows=_MASKS,
    ),
    # Own frames train the decoder alone: beside them partners win only above a weight (remedies.md).
    Remedy(
        "cross",
        "the code is learned from the partner's next frame alone",
        (*_PARTNERS, "loss.pixels=0.0"),
        knows=_SHARED,
    ),
    Remedy("labels", "every prefix is read by a translator", learns_from=LABELLED, knows=_LABELS),
    Remedy(
        "ordered_cross",
        "partners train slot 1 alone, own frames the others",
        (*_PARTNERS, f"loss.cross_slots={FIRST}", "loss.own=stopped"),
        knows=_SHARED,
    ),
    Remedy(
        "ordered_labels",
        "labels train slot 1 alone, own frames the others",
        (f"translator.slots={FIRST}", "loss.own=stopped"),
        LABELLED,
        _LABELS,
    ),
)
ORDERED = ("ordered_cross", "ordered_labels")
