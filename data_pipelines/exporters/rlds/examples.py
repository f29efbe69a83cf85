"""tf.train.Example messages as TFDS flattens episodes into them; see readers.tfds.episodes.

A field of a step is one list over all steps under "steps/<name>", a fixed shape flattened into it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from tensorflow_datasets.proto import tf_example_generated_pb2 as example_pb2

from data_pipelines.errors import DataError
from data_pipelines.exporters.columns import LatentFacts
from data_pipelines.exporters.rlds.tfrecord_writing import LARGEST
from data_pipelines.readers.tfds.folder import STEPS

LATENT = "latent_action/"


def packed(fields: Mapping[str, Any], record: bytes = b"") -> bytes:
    """The message with these fields: byte strings, or an array of numbers or truth values.

    Args:
      record: a message whose own fields stay as they are.

    Raises:
      DataError: `record` is no such message, has one of the fields, or the episode is too long.
    """
    message = example_pb2.Example()
    try:
        message.ParseFromString(record)
    except DecodeError as error:
        raise DataError(f"a record that is no tf.train.Example ({error})") from error
    held = message.features.feature
    for name, values in fields.items():
        if name in held:
            raise DataError(f"the records have a field {name!r} already; nothing is replaced")
        if isinstance(values, np.ndarray) and values.dtype.kind == "f":
            held[name].float_list.value.extend(values.ravel().tolist())
        elif isinstance(values, np.ndarray):
            held[name].int64_list.value.extend(values.astype(np.int64).ravel().tolist())
        else:
            held[name].bytes_list.value.extend(values)
    if message.ByteSize() > LARGEST:
        raise DataError(
            f"an episode of {message.ByteSize()} bytes; a TFRecord holds {LARGEST} at most, prepare "
            "the data with shorter episodes"
        )
    return message.SerializeToString(deterministic=True)


def latent_fields(latents: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The fields of the latent columns of an episode."""
    return {f"{STEPS}{LATENT}{name}": rows for name, rows in latents.items()}


def latent_schema(facts: LatentFacts) -> dict[str, tuple[Sequence[int], str]]:
    """Column -> (shape, type) of one step."""
    schema: dict[str, tuple[Sequence[int], str]] = {
        "codes": ((facts.slots, facts.slot_width), "float32"),
        "ids": ((facts.slots,), "int32"),
        "keep": ((), "int32"),
        "is_pad": ((), "bool"),
    }
    return {name: schema[name] for name in facts.columns}
