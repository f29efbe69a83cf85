"""The model of tiny.py, trained together with its translator on a few labels."""

from tests.experiments import tiny


def get_config(path=""):
    config = tiny.get_config()
    config.kind = "lam_finetune"
    config.init_from = {}
    config.data.path, config.data.clip_length = path, 2
    del config.batch_size  # Of another type.
    config.batch_size = {"video": 8, "labelled": 4}
    config.labelled = {"labels": "2.5%", "draw": 1, "seed": 3, "datasets": ()}
    config.translator = {"outputs": 5, "discrete": True, "hidden": 8, "coefficient": 0.1}
    config.total_steps, config.checkpoint.every, config.eval.every = 6, 4, 3
    return config
