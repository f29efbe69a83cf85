"""Dataset folders of the synthetic recipe, changed as damage or an enemy would."""

import json
import os

from array_record.python import array_record_module as array_record
from tensorflow_datasets.proto import tf_example_generated_pb2 as example_pb2

from data_pipelines.format.layout import dataset_folder


def shard(folder, split="train"):
    """The one shard of a split."""
    (path,) = dataset_folder(folder, "square").glob(f"square-{split}.array_record-*")
    return path


def change_manifest(folder, change):
    """change: edits the whole manifest in place."""
    file = folder / "manifest.json"
    manifest = json.loads(file.read_text())
    change(manifest)
    file.write_text(json.dumps(manifest))


def change_dataset(folder, change, name="square"):
    """change: edits the entry of one dataset in place."""
    change_manifest(folder, lambda manifest: change(manifest["datasets"][name]))


def change_record(folder, number, change):
    """change: edits the features of one record of the training split; the shard stays whole."""
    path = shard(folder)
    reader = array_record.ArrayRecordReader(str(path))
    records = reader.read_all()
    reader.close()
    message = example_pb2.Example()
    message.ParseFromString(records[number])
    change(message.features.feature)
    records[number] = message.SerializeToString()
    writer = array_record.ArrayRecordWriter(str(path), "group_size:1")
    for record in records:
        writer.write(record)
    writer.close()
    size = os.path.getsize(path)
    change_dataset(folder, lambda entry: entry["shards"]["train"][0].update(bytes=size))
