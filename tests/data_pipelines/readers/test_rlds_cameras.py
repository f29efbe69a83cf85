"""Cameras of RLDS sets: kept at their own size, missing ones told singly; texts of any field."""

import numpy as np
import pytest

from data_pipelines.errors import DataError
from data_pipelines.readers.recordings import ItemError
from tests.data_pipelines.readers.rlds_files import (
    black,
    episode,
    features,
    options,
    png,
    read_all,
    tensor,
    write_set,
)


def pictures(height, width, count=4, seed=0):
    return [png(height, width, t, seed) for t in range(count)]


def test_pictures_stay_as_they_are(tmp_path):
    """Cameras of different sizes, one not square, and a schema that knows neither."""
    schema = features({"front": (-1, -1, 3), "wrist": (-1, -1, 3)})
    made = [
        episode(4, {"front": pictures(12, 20, seed=seed), "wrist": pictures(10, 10)})
        for seed in (1, 2)
    ]
    plan, (first, _) = read_all(options(write_set(tmp_path, schema, made)))
    assert [spec.image_shape for spec in plan.specs] == [(12, 20, 3), (10, 10, 3)]
    assert [spec.codec for spec in plan.specs] == ["zstd", "zstd"]
    frames = np.stack(list(first.frames["toy_front"]))
    assert frames.shape == (4, 12, 20, 3) and frames[3, 0, 0].tolist() == [30, 0, 0]
    resized, (first, _) = read_all(options(tmp_path, "--size=16"))
    assert {spec.image_shape for spec in resized.specs} == {(16, 16, 3)}
    assert next(iter(first.frames["toy_wrist"])).shape == (16, 16, 3)


def test_large_pictures_get_the_codec_of_large_ones(tmp_path):
    schema = features({"image": (8, 200, 3)})
    write_set(tmp_path, schema, [episode(2, {"image": pictures(8, 200, 2)})])
    assert read_all(options(tmp_path))[0].specs[0].codec == "jpeg"
    assert read_all(options(tmp_path, "--codec=png"))[0].specs[0].codec == "png"


def test_the_picture_counts_not_the_schema(tmp_path):
    write_set(tmp_path, features({"image": (64, 64, 3)}), [episode(4, {"image": pictures(12, 14)})])
    plan, (found,) = read_all(options(tmp_path))
    assert plan.specs[0].image_shape == (12, 14, 3)
    assert len(list(found.frames["toy"])) == 4


@pytest.mark.parametrize("where", ["in an episode", "in another episode", "in another shard"])
def test_sizes_that_vary_are_refused_with_the_remedy(tmp_path, where):
    small, large = pictures(12, 12), pictures(16, 16)
    if where == "in an episode":
        shards = [[episode(4, {"image": small[:3] + large[3:]})]]
    elif where == "in another episode":
        shards = [[episode(4, {"image": one}) for one in (small, small, large)]]
    else:
        shards = [[episode(4, {"image": small})], [episode(4, {"image": large})]]
    write_set(tmp_path, features({"image": (-1, -1, 3)}), *shards)
    with pytest.raises(DataError, match="12 x 12 and 16 x 16.*--size=N"):
        read_all(options(tmp_path))
    _, results = read_all(options(tmp_path, "--size=16"))
    assert sum(len(list(result.frames["toy"])) for result in results) == 4 * len(results)


def test_a_late_picture_of_another_size_names_the_remedy(tmp_path):
    made = [episode(4, {"image": pictures(side, side)}) for side in (12, 12, 16)]
    _, results = read_all(options(write_set(tmp_path, features({"image": (12, 12, 3)}), made)))
    with pytest.raises(ItemError, match="step 0 is 16 x 16.*--size=N") as caught:
        list(results[2].frames["toy"])
    assert caught.value.reason == "frame size"


@pytest.mark.parametrize("padding", ["black", "tiny", "empty", "absent"])
def test_a_camera_that_an_episode_lacks_is_told_alone(tmp_path, padding):
    """Publishers pad with black pictures of some size, with empty bytes, or not at all."""
    none = {
        "black": [black(12, 12)] * 4,
        "tiny": [black(1, 1)] * 4,
        "empty": [b""] * 4,
        "absent": [],
    }[padding]
    cameras = {"front": (-1, -1, 3), "wrist": (-1, -1, 3)}
    made = [
        episode(4, {"front": pictures(12, 12), "wrist": none}),
        episode(4, {"front": pictures(12, 12), "wrist": pictures(9, 9)}),
    ]
    write_set(tmp_path, features(cameras), *[[one] for one in made])
    plan, (lacking, whole) = read_all(options(tmp_path))
    assert plan.specs[1].image_shape == (9, 9, 3)
    assert len(list(lacking.frames["toy_front"])) == 4
    with pytest.raises(ItemError, match="observation/wrist") as caught:
        list(lacking.frames["toy_wrist"])
    assert caught.value.reason == "blank"
    assert len(list(whole.frames["toy_wrist"])) == 4


def test_a_camera_that_no_episode_has(tmp_path):
    cameras = {"front": (-1, -1, 3), "wrist": (-1, -1, 3)}
    made = [episode(4, {"front": pictures(12, 12), "wrist": [b""] * 4})]
    plan, _ = read_all(options(write_set(tmp_path, features(cameras), made)))
    assert {spec.image_shape for spec in plan.specs} == {(12, 12, 3)}


def test_one_undecodable_picture_names_camera_and_step(tmp_path):
    broken = pictures(12, 12)
    broken[2] = b"%!PS-Adobe-3.0 EPSF-3.0\n"
    write_set(tmp_path, features({"image": (12, 12, 3)}), [episode(4, {"image": broken})])
    _, (found,) = read_all(options(tmp_path))
    with pytest.raises(ItemError, match="observation/image, step 2") as caught:
        list(found.frames["toy"])
    assert caught.value.reason == "unreadable picture"


def test_flags_are_kept_and_contradictions_named(tmp_path):
    flags = {f"has_{name}": tensor("bool") for name in ("front", "wrist")}
    schema = features({"front": (12, 12, 3), "wrist": (12, 12, 3)}, metadata=flags)
    has = {"episode_metadata__has_front": [0], "episode_metadata__has_wrist": [0]}
    made = [episode(4, {"front": pictures(12, 12), "wrist": [black(12, 12)] * 4}, **has)]
    _, (found,) = read_all(options(write_set(tmp_path, schema, made)))
    assert found.metadata["episode_metadata/has_wrist"] is False
    assert found.metadata["wrong_flags"] == ["episode_metadata/has_front"]


TEXTS = ("language_instruction", "language_instruction_2", "language_instruction_3")


def texts(tmp_path, *chosen, **fields):
    made = [episode(4, {"image": pictures(12, 12)}, **fields)]
    schema = features({"image": (12, 12, 3)}, texts=(*TEXTS, "caption"))
    plan, (found,) = read_all(options(write_set(tmp_path, schema, made), *chosen))
    return found.metadata["language"], plan.specs[0].details["language_keys"]


def text_of(*numbered):
    """Per key the text of four steps."""
    keys = [f"steps__{key}" for key in TEXTS]
    return {key: [text] * 4 for key, text in zip(keys, numbered, strict=False)}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((b"one", b"two", b"three"), "one"),
        ((b"", b"two", b"three"), "two"),
        ((b"  \n", b"", b"three"), "three"),
        ((b"", b"", b""), ""),
        (("Öffne \u2028 die 引き出し".encode(), b"", b""), "Öffne \u2028 die 引き出し"),
        ((b"caf\xe9", b"", b""), "caf\ufffd"),
    ],
)
def test_an_empty_instruction_falls_back_to_the_next(tmp_path, given, expected):
    found, keys = texts(tmp_path, **text_of(*given))
    assert found == expected
    assert keys == TEXTS


def test_a_text_that_begins_late_and_one_that_is_absent(tmp_path):
    found, _ = texts(tmp_path, steps__language_instruction_2=[b"", b"", b"push", b"pull"])
    assert found == "push"


def test_chosen_texts_in_their_order(tmp_path):
    given = text_of(b"one", b"two") | {"steps__caption": [b""] * 4}
    found, keys = texts(tmp_path, "--language-key=caption,language_instruction_2", **given)
    assert (found, keys) == ("two", ("caption", "language_instruction_2"))
    with pytest.raises(DataError, match="--language-key title is no text; those are: caption"):
        texts(tmp_path, "--language-key=caption,title", **given)


def test_cameras_whose_names_would_be_one(tmp_path):
    """Whatever the fields are called, every camera has a dataset of its own."""
    schema = features({"a b": (12, 12, 3), "a_b": (12, 12, 3)})
    made = [episode(4, {"a b": pictures(12, 12), "a_b": pictures(12, 12, seed=9)})]
    plan, (found,) = read_all(options(write_set(tmp_path, schema, made)))
    assert [spec.name for spec in plan.specs] == ["toy_camera_0", "toy_camera_1"]
    assert len(found.frames) == 2
    with pytest.raises(DataError, match="--image-keys names observation/a_b, observation/a_b"):
        read_all(options(tmp_path, "--image-keys=observation/a_b,observation/a_b"))


def test_a_text_that_is_stored_as_numbers(tmp_path):
    """Language-Table keeps the bytes of the instruction, padded with zeros."""
    letters = list("schiebe den Würfel".encode())
    steps = (letters + [0] * (32 - len(letters))) * 4
    schema = features({"image": (12, 12, 3)}, instruction=tensor("int32", "32"))
    made = [episode(4, {"image": pictures(12, 12)}, steps__instruction=steps)]
    plan, (found,) = read_all(options(write_set(tmp_path, schema, made)))
    assert found.metadata["language"] == "schiebe den Würfel"
    assert plan.specs[0].details["language_keys"] == ("instruction",)
