"""Pictures of what codes do: a start, the step after it, and where the frame moved from all starts.

Dimension keys: V codes, S starts, H W C frame.
"""

import numpy as np
from PIL import Image, ImageDraw

from experiments.evaluate_world.codes import Codes
from experiments.evaluate_world.tables import code_name
from flexlam_jax.loading.action_card import CodeCard
from flexlam_jax.reports.results import Picture, PictureGrid, Sample, Slider

SIDE = 160  # pixels of a picture of displacements
_SHOWN = 12  # codes
_INK, _DOT, _PAPER, _GRID = (200, 60, 20), (90, 120, 160), (250, 250, 250), (215, 215, 215)


def grid(codes: Codes) -> PictureGrid:
    """A sample per code of one budget."""
    reach = max(1.0, float(np.percentile(np.abs(codes.displacements), 99)))
    start = int(_liveliest(codes))
    shown = zip(codes.cards[:_SHOWN], codes.effects.after, codes.displacements, strict=False)
    samples = [
        _sample(card, codes.effects.before[start], after[start], moved, reach)
        for card, after, moved in shown
    ]
    told = f"k = {codes.keep}"
    return PictureGrid(
        samples,
        Slider("slots kept", "k", [codes.keep], [told]),
        f"One step under each code, {told}: from one start, and the shift of the picture from every "
        f"start (dots) and on average (arrow); the border is {reach:.1f} pixels away.",
    )


def _sample(
    card: CodeCard, before: np.ndarray, after: np.ndarray, moved: np.ndarray, reach: float
) -> Sample:
    name = f"code {code_name(card)}" + (f": {card.action}" if card.action else "")
    x, y = moved.mean(0)
    words = f"mean shift {x:+.2f} pixels to the right, {y:+.2f} down"
    pictures = [
        Picture("start", [_colour(before)], ["the frame before the step"]),
        Picture("one step on", [_colour(after)], [f"the frame that {name} leads to"]),
        Picture("shifts", [arrow(moved, reach)], [words]),
    ]
    return Sample(name, pictures, ["validated" if card.validated else "not validated"])


def arrow(moved: np.ndarray, reach: float) -> np.ndarray:
    """uint8 (SIDE, SIDE, 3): shifts (S, 2) as dots around the middle, and their mean as an arrow.

    Args:
      reach: pixels of the frame from the middle to the border.
    """
    picture = Image.new("RGB", (SIDE, SIDE), _PAPER)
    draw, middle = ImageDraw.Draw(picture), SIDE / 2
    draw.line([(middle, 0), (middle, SIDE)], fill=_GRID)
    draw.line([(0, middle), (SIDE, middle)], fill=_GRID)

    def place(shift: np.ndarray) -> tuple[float, float]:
        x, y = np.clip(middle + (middle - 4) * shift / reach, 3, SIDE - 4).tolist()
        return x, y

    for shift in moved:
        x, y = place(shift)
        draw.ellipse([x - 2, y - 2, x + 2, y + 2], fill=_DOT)
    x, y = place(moved.mean(0))
    draw.line([(middle, middle), (x, y)], fill=_INK, width=4)
    draw.ellipse([x - 5, y - 5, x + 5, y + 5], fill=_INK)
    return np.asarray(picture)


def _liveliest(codes: Codes) -> int:
    """The start from which codes differ most."""
    after = codes.effects.after.astype(np.float32)
    return int(after.std(0).mean((1, 2, 3)).argmax())


def _colour(frame: np.ndarray) -> np.ndarray:
    return frame if frame.shape[-1] in (1, 3, 4) else frame[..., 0]
