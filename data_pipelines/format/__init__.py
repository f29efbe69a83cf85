"""The dataset folder: specs, frame codecs, records, indexes, the manifest."""
