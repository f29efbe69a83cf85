"""Raw material to typed ArrayRecord shards, and shards to batches of transitions.

`python -m data_pipelines.prepare <dataset> --out=DIR` writes a dataset folder; `loader` reads it.
This package imports neither JAX nor TensorFlow, and nothing of `flexlam_jax` or `experiments`.
"""
