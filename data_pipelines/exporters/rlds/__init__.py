"""RLDS data sets in TFDS folders (TFRecord), with the latent columns of `exporters.columns`.

`writing` makes a set of its own out of a dataset folder; `beside` adds the columns to the records of
the set that the folder was made from. TensorFlow is not needed to write them.
"""
