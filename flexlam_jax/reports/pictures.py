"""A picture grid as HTML: samples of pictures side by side, and a slider that changes them."""

import base64
import html
import io
import json
import re

import numpy as np

from flexlam_jax.reports.results import Picture, PictureGrid, Sample, Slider


def to_bytes(images: np.ndarray) -> np.ndarray:
    """float [0, 1] -> uint8."""
    return np.rint(255 * np.clip(images, 0, 1)).astype(np.uint8)


def png_uri(image_HWC: np.ndarray) -> str:
    """uint8 (H, W, C) with C = 1, 3 or 4, or (H, W) -> data URI of a PNG."""
    from PIL import Image

    image = image_HWC[..., 0] if image_HWC.ndim == 3 and image_HWC.shape[-1] == 1 else image_HWC
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def jpeg_uri(image_HWC: np.ndarray, *, colours: bool = False) -> str:
    """uint8 (H, W, 3) -> data URI of a JPEG, for many frames of video at once. `colours`: as sharp as
    the brightness, which takes a third more bytes."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image_HWC).save(
        buffer, format="JPEG", quality=85, subsampling=0 if colours else 2
    )
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def picture_figure(grid: PictureGrid) -> str:
    """The grid with its data inside; without JavaScript it shows the last position."""
    slider = grid.slider
    data = {"name": slider.name, "values": list(slider.values), "texts": list(slider.texts)}
    data |= {"pictures": [], "samples": [list(sample.values) for sample in grid.samples]}
    samples = "".join(_sample(number, one, data) for number, one in enumerate(grid.samples))
    encoded = json.dumps(data, separators=(",", ":")).replace("</", "<\\/")
    return (
        f'<figure class="pictures">{control(slider, slider.name)}<div class="samples">{samples}</div>'
        f"<figcaption>{with_subscripts(grid.caption)}</figcaption>"
        f'<script type="application/json">{encoded}</script></figure>'
    )


def with_subscripts(text: str) -> str:
    """Text as HTML; "o_{t+1}" gets a subscript."""
    return re.sub(r"_\{(.*?)\}", r"<sub>\1</sub>", html.escape(text))


def _sample(number: int, sample: Sample, data: dict) -> str:
    pictures = "".join(_picture(one, data) for one in sample.pictures)
    value = html.escape(sample.values[-1])
    return (
        f'<div class="frames"><p>{with_subscripts(sample.caption)} '
        f'<b data-sample="{number}">{value}</b></p>{pictures}</div>'
    )


def _picture(picture: Picture, data: dict) -> str:
    """The picture at the last position; one that the slider changes leaves all in `data`."""
    uris, mark = [png_uri(image) for image in picture.images], ""
    if len(uris) > 1:
        mark = f'data-picture="{len(data["pictures"])}" '
        data["pictures"].append({"images": uris, "alts": list(picture.alts)})
    return (
        f'<div><img {mark}src="{uris[-1]}" alt="{html.escape(picture.alts[-1])}">'
        f"<span>{with_subscripts(picture.label)}</span></div>"
    )


def control(slider: Slider, name: str, hidden: bool = False) -> str:
    """A slider with its label and what it says, under a name that the page has once; "" for one of a
    single position. `hidden`: until JavaScript shows it."""
    last = len(slider.values) - 1
    if not last:
        return ""
    name = html.escape(name)
    return (
        f'<div class="control"{" hidden" * hidden}>'
        f'<label for="{name}">{html.escape(slider.label)}</label>'
        f'<input id="{name}" type="range" min="0" max="{last}" step="1" value="{last}">'
        f'<output for="{name}">{html.escape(slider.texts[-1])}</output></div>'
    )
