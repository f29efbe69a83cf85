"""A wrong config is one message that names the key and the valid ones."""

import pytest
from ml_collections import ConfigDict

from flexlam_jax.models.lam import build_lam
from tests.models.tiny_lam import VIT, tiny_config


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"slotz": 3}, ["model.slotz", "'slots'"]),
        ({"encoder": {**VIT, "depth": 3}}, ["model.encoder.depth", "'frame_blocks'"]),
        ({"encoder": {**VIT, "slots": 5}}, ["model.encoder.slots"]),
        ({"encoder": {**VIT, "kind": "cnn"}}, ["model.encoder.kind='cnn'", "'motion'", "'vit'"]),
        ({"decoder": {**VIT, "condition": "self"}}, ["model.decoder.condition", "'conditioning'"]),
        ({"quantizer": {"kind": "fsq"}}, ["model.quantizer", "['levels']"]),
        ({"quantizer": {"kind": "vq", "codes": 4, "beta": 1.0}}, ["model.quantizer.beta"]),
        ({"quantizer": {"levels": (3,)}}, ["model.quantizer.kind=None"]),
        ({"quantizer": {"kind": "fsq", "levels": (3, 1)}}, ["(3, 1)", "2 or more"]),
        ({"quantizer": {"kind": "vq", "codes": 4, "metric": "dot"}}, ["'dot'", "'cosine'"]),
        ({"keep": {"kind": "uniform", "max": 3}}, ["model.keep.max", "minimum"]),
        ({"keep": {"kind": "fixed", "count": 4}}, ["model.keep.count=4", "0..3"]),
        ({"keep": {"kind": "uniform", "minimum": 9}}, ["model.keep.minimum=9"]),
        ({"keep": {"kind": "geometric", "rate": 1.0}}, ["model.keep.rate=1.0"]),
        ({"dtype": "float16"}, ["model.dtype='float16'", "bfloat16"]),
        ({"remat": "some"}, ["model.remat='some'", "'dots'"]),
        ({"attention": "flash"}, ["'flash'", "'cudnn'"]),
        ({"slots": None}, ["['slots']"]),
        ({"encoder": 3}, ["model.encoder must be a mapping"]),
    ],
)
def test_errors_name_key_and_remedy(change, named):
    with pytest.raises(ValueError) as error:
        build_lam(tiny_config(**change))
    for text in named:
        assert text in str(error.value)


def test_config_dicts_and_json_lists_build_the_same_model():
    config = tiny_config(encoder={"kind": "motion"}, decoder={"kind": "motion"})
    as_json = tiny_config(
        encoder={"kind": "motion"},
        decoder={"kind": "motion"},
        quantizer={"kind": "fsq", "levels": [3, 3]},
    )
    assert build_lam(ConfigDict(config)) == build_lam(config) == build_lam(as_json)
