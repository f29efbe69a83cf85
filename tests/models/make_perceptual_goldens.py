"""Writes goldens/perceptual.npz: what the package lpips computes with random weights.

    python -m venv oracle && oracle/bin/pip install lpips==0.1.4 torchvision==0.29.1 torch==2.14.1
    oracle/bin/python tests/models/make_perceptual_goldens.py

Run once, outside the test environment, which has no torch. Weights and pictures are not stored:
`weights` and `pictures` make them anew.

Keys are CASE/names (JSON {name: shape} of the state of lpips.LPIPS), CASE/distance (2,),
CASE/unweighted (2,), of the same network without weights of channels, and of AlexNet CASE/d_x
(2, H, W, 3), the gradient of the sum of the distances by the first pictures, in [0, 1].
"""

import json
import zlib
from pathlib import Path

import numpy as np

CASES = {"alexnet": "alex", "vgg16": "vgg"}
ROWS, COLUMNS = 35, 44  # Two sides, so that none is taken for the other.


def weights(names):
    """{name: array} of {name: shape}: of each tensor by its name alone, at a scale that keeps features
    of all layers about as large; weights of channels are not negative."""
    found = {}
    for name, shape in names.items():
        values = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
        if name.startswith("lin"):
            values = np.abs(values)
        elif len(shape) > 1:
            values = values * np.sqrt(2 / np.prod(shape[1:]))
        else:
            values = 0.1 * values
        found[name] = values.astype(np.float32)
    return found


def pictures():
    """Two pairs (2, ROWS, COLUMNS, 3) in [0, 1]: of the first the pictures differ little, of the second
    they are strangers."""
    rng = np.random.RandomState(3)
    x, y = rng.rand(2, 2, ROWS, COLUMNS, 3)
    return x.astype(np.float32), np.stack([0.8 * x[0] + 0.2 * y[0], y[1]]).astype(np.float32)


def main():
    import lpips
    import torch

    out = {}
    x, y = (torch.tensor(np.moveaxis(one, -1, 1).copy()) for one in pictures())
    for case, name in CASES.items():
        state = {}
        for weighted in (True, False):
            model = lpips.LPIPS(
                net=name, pnet_rand=True, pretrained=False, lpips=weighted, verbose=False
            )
            names = {key: tuple(of.shape) for key, of in model.state_dict().items()}
            made = weights({key: names[key] for key in names if names[key] and ".slice" in key})
            made |= weights(
                {key: names[key] for key in names if key.startswith("lin") and weighted}
            )
            made |= {key: made[key.replace("lins.", "lin")] for key in made if "lins." in key}
            kept = {key: of for key, of in model.state_dict().items() if key not in made}
            model.load_state_dict({**kept, **{key: torch.tensor(of) for key, of in made.items()}})
            given = x.clone().requires_grad_()
            distance = model(given, y, normalize=True).reshape(-1)
            if weighted:
                state = {key: list(shape) for key, shape in names.items()}
                out[f"{case}/distance"] = distance.detach().numpy()
                if case == "alexnet":
                    distance.sum().backward()
                    out[f"{case}/d_x"] = np.moveaxis(given.grad.numpy(), 1, -1)
            else:
                out[f"{case}/unweighted"] = distance.detach().numpy()
        out[f"{case}/names"] = np.array(json.dumps(state))
    np.savez_compressed(Path(__file__).with_name("goldens") / "perceptual.npz", **out)


if __name__ == "__main__":
    main()
