"""The picture grid of a report: o_t, o_{t+1}, reconstruction at k, its error; a slider over k."""

import base64
import html
import io
import json
from collections.abc import Sequence

import numpy as np

from flexlam_jax.evaluation.image_metrics import psnr_from_mse
from flexlam_jax.evaluation.lam.evaluation import Pictures

ERROR_WHITE = 64 / 255  # absolute error drawn as white


def png_uri(image_HWC: np.ndarray) -> str:
    """uint8 (H, W, C) with C = 1, 3 or 4, or (H, W) -> data URI of a PNG."""
    from PIL import Image

    image = image_HWC[..., 0] if image_HWC.ndim == 3 and image_HWC.shape[-1] == 1 else image_HWC
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def to_bytes(images: np.ndarray) -> np.ndarray:
    """float [0, 1] -> uint8."""
    return np.rint(255 * np.clip(images, 0, 1)).astype(np.uint8)


def error_image(prediction_HWC, target_HWC) -> np.ndarray:
    """uint8 (H, W): mean absolute error over channels, black 0 to white ERROR_WHITE and above."""
    error = np.abs(prediction_HWC - target_HWC.astype(np.float32) / 255).mean(-1)
    return to_bytes(error / ERROR_WHITE)


def picture_section(pictures: Pictures, slots: int, action_names: Sequence[str] = ()) -> str:
    """HTML of the grid with its data; without JavaScript it shows the longest prefix."""
    budgets = sorted(pictures.predictions)
    count = len(pictures.o_t)
    data = {"budgets": budgets, "slots": slots, "prediction": [], "error": [], "psnr": []}
    for k in budgets:
        prediction = pictures.predictions[k]
        data["prediction"].append([png_uri(image) for image in to_bytes(prediction)])
        data["error"].append(
            [png_uri(error_image(prediction[i], pictures.o_next[i])) for i in range(count)]
        )
        squared = np.square(prediction - pictures.o_next.astype(np.float32) / 255).mean((1, 2, 3))
        data["psnr"].append([f"{value:.1f} dB" for value in psnr_from_mse(squared)])
    copied = psnr_from_mse(
        np.square((pictures.o_t.astype(np.float32) - pictures.o_next) / 255).mean((1, 2, 3))
    )
    samples = []
    for i in range(count):
        title = f"{i + 1}. "
        if pictures.actions is not None:
            title += f"action {html.escape(_action_text(pictures.actions[i], action_names))} · "
        cells = [
            (
                "o<sub>t</sub>",
                f'src="{png_uri(pictures.o_t[i])}" alt="frame before transition {i + 1}"',
            ),
            (
                "o<sub>t+1</sub>, true",
                f'src="{png_uri(pictures.o_next[i])}" alt="true frame after transition {i + 1}"',
            ),
        ]
        cells += [
            (
                name,
                f'data-kind="{kind}" data-row="{i}" src="{data[kind][-1][i]}" '
                f'alt="{kind} from {budgets[-1]} slots, transition {i + 1}"',
            )
            for kind, name in (("prediction", "reconstruction"), ("error", "error"))
        ]
        frames = "".join(
            f"<div><img {attributes}><span>{name}</span></div>" for name, attributes in cells
        )
        samples.append(
            f'<div class="frames"><p>{title}copying o<sub>t</sub> {copied[i]:.1f} dB, '
            f'reconstruction <b data-psnr="{i}">{data["psnr"][-1][i]}</b></p>{frames}</div>'
        )
    control = ""
    if len(budgets) > 1:
        control = (
            '<div class="control"><label for="k">slots kept</label>'
            f'<input id="k" type="range" min="0" max="{len(budgets) - 1}" step="1" '
            f'value="{len(budgets) - 1}">'
            f'<output id="k-value" for="k">k = {budgets[-1]} of {slots}</output></div>'
        )
    encoded = json.dumps(data, separators=(",", ":")).replace("</", "<\\/")
    return (
        f'<figure class="pictures">{control}<div class="samples">{"".join(samples)}</div>'
        "<figcaption>Held-out transitions, drawn at random from the half in which most changes. "
        f"Error: mean absolute error, black is 0, white is {round(255 * ERROR_WHITE)}/255 or more. "
        "The slider also obeys the arrow keys.</figcaption></figure>"
        f'<script type="application/json" id="picture-data">{encoded}</script>'
    )


def _action_text(action, names: Sequence[str]) -> str:
    if np.ndim(action):
        return "[" + ", ".join(f"{value:.2f}" for value in action) + "]"
    return names[action] if int(action) < len(names) else str(int(action))
