"""The smallest model of vectors, on the state of synthetic data."""

from ml_collections import ConfigDict

from tests.experiments import tiny


def get_config():
    plain = tiny.get_config().to_dict()
    model = plain["model"]
    model |= {"image_size": (2, 2), "channels": 1}
    model["encoder"] = {"kind": "vector", "widths": (16,), "memory": "gru"}
    model["decoder"] = {"kind": "vector", "widths": (16,)}
    return ConfigDict({**plain, "kind": "vector_lam", "vectors": {"history": 2}})
