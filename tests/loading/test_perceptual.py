"""Perceptual distances: what the package lpips computes, and files that are not what they should be.

tests/models/make_perceptual_goldens.py says what the goldens hold.
"""

import json
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.errors import CheckpointError, UserError
from flexlam_jax.loading.perceptual import load_perceptual
from flexlam_jax.models import perceptual
from flexlam_jax.models.perceptual import NETWORKS, PerceptualDistance
from tests.loading.safetensors_files import write
from tests.models.make_perceptual_goldens import pictures, weights

GOLDENS = Path(__file__).parents[1] / "models" / "goldens" / "perceptual.npz"


@pytest.fixture(scope="module")
def goldens():
    with np.load(GOLDENS) as arrays:
        return dict(arrays)


def state(goldens, case):
    """The tensors that a golden was computed with, as lpips names them."""
    return weights(json.loads(str(goldens[f"{case}/names"])))


def parts(tensors):
    """The same as two files: torchvision's names, and the weights of channels alone."""
    network = {
        re.sub(r"net\.slice\d", "features", name): array
        for name, array in tensors.items()
        if ".slice" in name
    }
    return network, {name: tensors[name] for name in tensors if re.match(r"lin\d", name)}


@pytest.fixture(scope="module")
def files(goldens, tmp_path_factory):
    """{name: file} of AlexNet: whole (a state of lpips), network (torchvision's), lins."""
    folder, tensors = tmp_path_factory.mktemp("perceptual"), state(goldens, "alexnet")
    network, lins = parts(tensors)
    network["classifier.6.bias"] = np.zeros(3, np.float32)  # As in a file of the whole network.
    held = {"whole": tensors, "network": network, "lins": lins}
    return {name: write(folder / f"{name}.safetensors", of) for name, of in held.items()}


@pytest.fixture(scope="module")
def alexnet(files):
    return load_perceptual([files["lins"], files["network"]])


def test_alexnet_is_that_of_lpips(goldens, files, alexnet):
    x, y = pictures()
    assert alexnet.name == "LPIPS (AlexNet)"
    found = alexnet(x, y)
    print(np.abs(found - goldens["alexnet/distance"]).max())  # With pytest -s, for the docs.
    np.testing.assert_allclose(found, goldens["alexnet/distance"], atol=1e-5)
    whole = load_perceptual([files["whole"]])
    assert whole.fingerprint == alexnet.fingerprint
    unweighted = load_perceptual([files["network"]])
    assert unweighted.name == "AlexNet features, unweighted"
    np.testing.assert_allclose(unweighted(x, y), goldens["alexnet/unweighted"], atol=1e-5)


def test_the_gradient_is_that_of_lpips(goldens, alexnet):
    x, y = pictures()
    model = PerceptualDistance(alexnet.network)
    gradient = jax.jit(jax.grad(lambda x: model.apply(alexnet._variables, x, y).sum()))(x)
    worst = np.abs(gradient - goldens["alexnet/d_x"]).max() / np.abs(goldens["alexnet/d_x"]).max()
    print(worst)
    assert worst < 1e-4
    nothing = jnp.zeros((1, 1, 1, 4))  # Where no channel of a ReLU is above 0.
    assert np.isfinite(jax.grad(lambda x: perceptual._unit(x).sum())(nothing)).all()


def test_vgg16_is_that_of_lpips(goldens, tmp_path):
    network, lins = parts(state(goldens, "vgg16"))
    paths = [
        write(tmp_path / f"{name}.safetensors", of)
        for name, of in (("network", network), ("lins", lins))
    ]
    vgg = load_perceptual(paths)
    found = vgg(*pictures())
    print(np.abs(found - goldens["vgg16/distance"]).max())
    assert vgg.name == "LPIPS (VGG16)"
    np.testing.assert_allclose(found, goldens["vgg16/distance"], atol=1e-5)


def test_frames_are_compared_in_pieces_of_one_shape(alexnet, monkeypatch):
    x, y = (np.rint(255 * of).astype(np.uint8) for of in pictures())
    x, y = np.concatenate([x, y, x])[:5], np.concatenate([y, y, y])[:5]
    monkeypatch.setattr("flexlam_jax.loading.perceptual._PIXELS", 2 * x.shape[1] * x.shape[2])
    found = alexnet(x, y)
    assert found.shape == (5,) and not found[2:4].any()
    np.testing.assert_array_equal(found[:2], alexnet(x[:2], y[:2]))
    assert found[4] == found[0] < found[1]
    assert alexnet(x[:0], y[:0]).shape == (0,)


def test_the_least_size_is_what_leaves_a_feature_at_every_depth():
    frames = lambda side: jax.ShapeDtypeStruct((1, side, side, 3), jnp.uint8)
    for network, least in (("alexnet", 31), ("vgg16", 16)):
        model = PerceptualDistance(NETWORKS[network])
        assert model.network.least == least
        jax.eval_shape(model.init, jax.random.key(0), frames(least), frames(least))
        with pytest.raises(ValueError, match=f"at least {least} x {least}"):
            jax.eval_shape(model.init, jax.random.key(0), frames(least - 1), frames(least - 1))


def test_frames_that_are_too_small_or_no_numbers_are_one_message(alexnet):
    frames = np.zeros((2, 24, 40, 3), np.uint8)
    with pytest.raises(UserError, match="at least 31 x 31 pixels, grey or RGB; .* 24 x 40 x 3"):
        alexnet(frames, frames)
    with pytest.raises(UserError, match="grey or RGB"):
        alexnet.check((64, 64, 4))
    x, y = pictures()
    x = x.copy()
    x[1, 3, 4] = np.nan
    with pytest.raises(UserError, match="1 of 2 pairs .* the first at 1; .* hold NaN or infinity"):
        alexnet(x, y)


def test_a_pickle_says_what_to_do(tmp_path):
    (tmp_path / "alex.pth").write_bytes(b"PK")
    with pytest.raises(CheckpointError, match=r"is a pickle.*weights_only=True"):
        load_perceptual([tmp_path / "alex.pth"])


ZERO = np.zeros((4, 3, 3, 3), np.float32)


@pytest.mark.parametrize(
    "tensors, told",
    [
        ({"lin0.model.1.weight": ZERO}, "weights of LPIPS alone, without the network"),
        ({"features.3.squeeze.weight": ZERO}, "holds SqueezeNet; give the convolutions of AlexNet"),
        ({"layer1.0.conv1.weight": ZERO}, "holds a ResNet"),
        ({f"features.{i}.weight": ZERO for i in range(0, 32, 2)}, "holds VGG19"),
        (
            {"features.0.weight": ZERO, "features.1.running_mean": ZERO},
            "holds a VGG with batch normalisation",
        ),
        ({"blocks.0.attn.qkv.weight": ZERO}, "holds a vision transformer"),
        ({"encoder.conv_in.weight": ZERO}, "holds an AutoencoderKL"),
        ({"other": ZERO}, "its first tensor is other"),
    ],
)
def test_other_networks_are_named(tensors, told, tmp_path):
    with pytest.raises(CheckpointError, match=told):
        load_perceptual([write(tmp_path / "x.safetensors", tensors)])


def test_parts_that_do_not_belong_together_are_named(goldens, files, tmp_path):
    vgg = write(tmp_path / "vgg.safetensors", parts(state(goldens, "vgg16"))[1])
    with pytest.raises(CheckpointError, match="those of VGG16, the network is AlexNet"):
        load_perceptual([files["network"], vgg])
    with pytest.raises(CheckpointError, match="both hold .*; give one file of each part"):
        load_perceptual([files["network"], files["network"]])
    network, _ = parts(state(goldens, "alexnet"))
    network["features.3.bias"] = network["features.3.bias"] * np.nan
    with pytest.raises(CheckpointError, match="conv_3/bias holds NaN"):
        load_perceptual([write(tmp_path / "nan.safetensors", network)])
    del network["features.3.bias"]
    network["features.0.weight"] = network["features.0.weight"][:, :1]
    with pytest.raises(CheckpointError, match="conv_0/kernel(.|\n)*conv_3/bias missing"):
        load_perceptual([write(tmp_path / "holes.safetensors", network)])
