"""Foreign checkpoints into our parameters: by table, with one report, through pieces and shards."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from flexlam_jax.checkpoints import streaming
from flexlam_jax.checkpoints.path_table import grouped, moves_of
from flexlam_jax.checkpoints.safetensors import Maps, open_tensors
from flexlam_jax.checkpoints.streaming import read_tensors
from flexlam_jax.errors import CheckpointError, ConfigError
from tests.loading.safetensors_files import write

L, M, H, E = 3, 4, 2, 2
# A made-up decoder of another project: three layers, fused or separate projections, a convolution.
TABLE = [
    (r"net\.layer(\d+)\.q\.w", r"blocks/qkv/kernel[\1-1,:,:,0]", "linear"),
    (r"net\.layer(\d+)\.k\.w", r"blocks/qkv/kernel[\1-1,:,:,1]", "linear"),
    (r"net\.layer(\d+)\.v\.w", r"blocks/qkv/kernel[\1-1,:,:,2]", "linear"),
    (r"net\.layer(\d+)\.qkv\.b", r"blocks/qkv/bias[\1-1]", "heads"),
    (r"net\.conv", "conv/kernel", "conv"),
    (r"net\.patch", "patch/kernel", "conv"),
    (r"net\.modulation", "modulation/kernel", "swapped"),
    (r"ema\..*", "", "same"),
]


def tensors():
    draw = np.random.default_rng(0).standard_normal
    found = {
        f"net.layer{n}.{letter}.w": draw((M, M)).astype(np.float32)
        for letter in "qkv"
        for n in range(1, L + 1)
    }
    found |= {f"net.layer{n}.qkv.b": draw(3 * M).astype(np.float16) for n in range(1, L + 1)}
    found["net.conv"] = draw((5, 2, 3, 3)).astype(ml_dtypes.bfloat16)
    found["net.patch"] = draw((M, 3, 2, 2)).astype(np.float64)
    found["net.modulation"] = draw((2 * M, M)).astype(np.float32)
    found["ema.net.conv"] = np.zeros(1, np.float32)
    return found


def expected(found):
    def kernel(name):  # Outputs, heads outermost, come first there.
        stacked = np.stack([found[f"net.layer{n}.{name}.w"] for n in range(1, L + 1)])
        return stacked.reshape(L, H, E, M).transpose(0, 3, 1, 2)

    bias = np.stack([found[f"net.layer{n}.qkv.b"] for n in range(1, L + 1)])
    modulation = found["net.modulation"].T
    return {
        "blocks": {
            "qkv": {
                "kernel": np.stack([kernel(name) for name in "qkv"], axis=3),
                "bias": bias.reshape(L, 3, H, E).transpose(0, 2, 1, 3),
            }
        },
        "conv": {"kernel": found["net.conv"].transpose(2, 3, 1, 0)},
        "patch": {"kernel": found["net.patch"].transpose(2, 3, 1, 0).reshape(12, M)},
        "modulation": {"kernel": np.stack([modulation[:, M:], modulation[:, :M]], axis=1)},
    }


def abstract(tree, dtype=jnp.float32):
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, dtype), tree)


@pytest.fixture
def stored(tmp_path):
    return lambda found: open_tensors(write(tmp_path / "other.safetensors", found))


def test_a_table_says_where_everything_goes(stored):
    found = tensors()
    want = expected(found)
    read = read_tensors(stored(found), TABLE, abstract(want), source="other")
    jax.tree.map(
        lambda x, y: np.testing.assert_array_equal(x, y.astype(np.float32), strict=True), read, want
    )


@pytest.mark.parametrize("piece", [1, 40])
@pytest.mark.parametrize("on_host", [(), ("cpu",)])
def test_pieces_and_types_change_nothing(stored, monkeypatch, piece, on_host):
    """Parameters larger than a piece are put together on the device, however a piece falls."""
    monkeypatch.setattr(streaming, "PIECE_BYTES", piece)
    monkeypatch.setattr(streaming, "ON_HOST", on_host)
    found = tensors()
    want = {name: tree for name, tree in expected(found).items() if name in ("blocks", "conv")}
    rows = [row for row in TABLE if row[1].startswith(("blocks", "conv"))]
    read = read_tensors(
        stored(found), rows, abstract(want, jnp.bfloat16), source="other", partial=True
    )
    jax.tree.map(
        lambda x, y: np.testing.assert_array_equal(x, y.astype(ml_dtypes.bfloat16)), read, want
    )


@pytest.mark.parametrize("on_host", [(), ("cpu",)])
def test_a_shard_is_read_alone(stored, monkeypatch, on_host):
    """Whatever the box: the same numbers as the whole has there, and no more of the file."""
    monkeypatch.setattr(streaming, "PIECE_BYTES", 40)
    monkeypatch.setattr(streaming, "ON_HOST", on_host)
    found = {name: x for name, x in tensors().items() if "layer" in name}
    want = expected(tensors())["blocks"]["qkv"]["kernel"].astype(np.float32)
    leaf = jax.ShapeDtypeStruct(want.shape, jnp.float32)
    tree = {"blocks": {"qkv": {"kernel": leaf}}}
    rows = [row for row in TABLE if "kernel" in row[1]]
    (moves,) = moves_of(stored(found), rows, tree, source="other", partial=True).values()
    device = jax.devices()[0]
    with Maps() as maps:
        for box in (
            (slice(0, 3), slice(2, 4), slice(0, 1), slice(0, 3), slice(0, 2)),
            (slice(1, 2), slice(0, 4), slice(1, 2), slice(1, 3), slice(1, 2)),
        ):
            (shard,) = streaming.read_shard(maps, moves, leaf, box, [device]).values()
            np.testing.assert_array_equal(shard, want[box])


def test_all_that_does_not_fit_is_one_message(stored):
    found = tensors()
    tree = abstract(expected(found))
    del found["net.layer2.k.w"], found["net.conv"]
    found["net.layer1.q.w"] = np.zeros((M, M + 1), np.float32)
    found["net.layer3.v.w"] = np.zeros((M, M), np.int32)
    found["net.layer4.q.w"] = np.zeros((M, M), np.float32)
    found |= {f"head.{n}.w": np.zeros(1, np.float32) for n in (0, 1, 2, 5)}
    with pytest.raises(CheckpointError) as error:
        read_tensors(stored(found), TABLE, tree, source="other.safetensors")
    assert str(error.value).splitlines() == [
        "other.safetensors does not fit the model:",
        "  ! net.layer1.q.w float32(4, 5) does not fit blocks/qkv/kernel, there (4, 2, 2)",
        "  ! net.layer3.v.w int32(4, 4) does not fit blocks/qkv/kernel, there (4, 2, 2)",
        "  ! net.layer4.q.w float32(4, 4) does not fit blocks/qkv/kernel (3, 4, 2, 3, 2): its row "
        "has no such place",
        "  - conv/kernel missing in the checkpoint",
        "  - blocks/qkv/kernel[1, 1] missing in the checkpoint",
        "  + head.[0-2,5].w only in the checkpoint",
        "Give the settings of the model that it holds, or a table for it.",
    ]


def test_a_part_of_a_model_is_whole_itself(stored):
    found = tensors()
    tree = abstract(expected(found))
    rows = [*TABLE[:4]]
    read = read_tensors(stored(found), rows, tree, source="other", partial=True)
    assert set(read) == {"blocks"}
    del found["net.layer1.k.w"]
    with pytest.raises(CheckpointError, match=r"blocks/qkv/kernel\[0, 1\] missing"):
        read_tensors(stored(found), rows, tree, source="other", partial=True)
    with pytest.raises(CheckpointError, match="no tensor's name matches"):
        read_tensors(stored(found), [("x", "y", "same")], tree, source="other", partial=True)


def test_shapes_that_hold_as_many_numbers_are_not_alike(stored):
    """(6, 4) into (4, 6) would be read in a wrong order, silently."""
    tree = {"kernel": jax.ShapeDtypeStruct((4, 6), jnp.float32)}
    with pytest.raises(CheckpointError, match="does not fit kernel"):
        read_tensors(
            stored({"w": np.zeros((6, 4), np.float32)}), [("w", "kernel", "same")], tree, source="x"
        )


@pytest.mark.parametrize(
    "row, told",
    [
        (("(", "a", "same"), "row 0 .* is no"),
        (("a", "b"), "row 0 .* is no"),
        (("w", "a", "turned"), "layout 'turned'; choose one of"),
        (("w", "kernel[x]", "same"), "makes of 'w' no place"),
        (("w", r"kernel[\1]", "same"), "makes of 'w' no place"),
    ],
)
def test_a_row_that_is_none_is_told(stored, row, told):
    tree = {"kernel": jax.ShapeDtypeStruct((4,), jnp.float32)}
    with pytest.raises(ConfigError, match=told):
        read_tensors(stored({"w": np.zeros(4, np.float32)}), [row], tree, source="x")


def test_names_are_grouped_by_their_first_number():
    names = [f"blocks.{n}.norm2.weight" for n in (3, 0, 1, 7)] + ["head", "blocks.9.bias"]
    assert grouped(names) == ["blocks.[0-1,3,7].norm2.weight", "head", "blocks.9.bias"]
