"""Folders that TFDS prepared, read without TensorFlow."""
