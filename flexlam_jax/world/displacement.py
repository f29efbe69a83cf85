"""How far a picture moved between two frames: the arrow that a page draws for a code.

Phase correlation (Kuglin and Hines 1975): a shift of the picture is a slope of the phase of its
spectrum, so the inverse transform of the phase difference has a peak at the shift. One shift for the
whole frame: a camera that turns or a background that scrolls, not a small thing that moves in front
of a background that stands still.

Dimension keys: B pairs, H W C frame.
"""

import numpy as np

_FLOOR = 1e-3  # of the largest amplitude: below it a phase is noise


def displacement(frames: np.ndarray, next_frames: np.ndarray) -> np.ndarray:
    """The shift of the picture from each frame to the next, in pixels.

    Args:
      frames, next_frames: uint8 or float (B, H, W, C).

    Returns:
      float32 (B, 2): x to the right and y downwards, within half a frame, to fractions of a pixel;
      0 where a frame shows nothing.

    Raises:
      ValueError: shapes that differ or are no batch of frames.
    """
    if frames.shape != next_frames.shape or frames.ndim != 4 or 0 in frames.shape:
        raise ValueError(
            f"displacement: frames {frames.shape} and next_frames {next_frames.shape}; give two of "
            "the same shape (B, H, W, C)"
        )
    height, width = frames.shape[1:3]
    window = np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[1:-1]
    before, after = (_spectrum(images, window) for images in (frames, next_frames))
    cross = after * before.conj()
    size = np.abs(cross)
    phases = cross / np.maximum(size, _FLOOR * size.max((1, 2), keepdims=True) + 1e-12)
    surface = np.fft.irfft2(phases, s=(height, width))  # (B, H, W), its peak at the shift
    peak = surface.reshape(len(surface), -1).argmax(-1)
    y, x = peak // width, peak % width
    shift = np.stack([_refined(surface, y, x, axis) for axis in (2, 1)], -1)
    return np.where(size.max((1, 2))[:, None] > 1e-6, shift, 0).astype(np.float32)


def _spectrum(images: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Of the grey picture without its mean; the window hides that its edges do not meet."""
    grey = np.asarray(images, np.float32).mean(-1)
    return np.fft.rfft2((grey - grey.mean((1, 2), keepdims=True)) * window)


def _refined(surface: np.ndarray, y: np.ndarray, x: np.ndarray, axis: int) -> np.ndarray:
    """The peak along an axis to fractions of a pixel, by the centre of mass of it and the larger
    of its two neighbours (Foroosh et al. 2002), from -size / 2."""
    rows, size, place = np.arange(len(surface)), surface.shape[axis], (y if axis == 1 else x)

    def at(offset: int) -> np.ndarray:
        moved = (place + offset) % size
        value = surface[rows, moved, x] if axis == 1 else surface[rows, y, moved]
        return np.maximum(value, 0)

    left, middle, right = at(-1), at(0), at(1)
    side = np.where(right > left, 1, -1)
    near = np.maximum(left, right)
    part = near / np.maximum(near + middle, 1e-12)
    return (place + size // 2) % size - size // 2 + side * np.where(part < 0.1, 0, part)


def mean_motion(shift: np.ndarray, code: np.ndarray, codes: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean shift of the transitions with each code, and how much of it is one way.

    Args:
      shift: (N, 2), pixels.   code: int (N,) in 0..codes-1, negative for transitions to leave out.

    Returns:
      mean float (V, 2), and the mean length of the shifts (V,), which a code of motion to and fro
      has without a mean; NaN for a code without transitions.
    """
    kept = code >= 0
    shift, code = np.asarray(shift, np.float64)[kept], code[kept]
    count = np.bincount(code, minlength=codes).astype(np.float64)
    count[count == 0] = np.nan
    sums = [np.bincount(code, weights=shift[:, i], minlength=codes) for i in (0, 1)]
    length = np.bincount(code, weights=np.hypot(*shift.T), minlength=codes)
    return np.stack(sums, -1) / count[:, None], length / count
