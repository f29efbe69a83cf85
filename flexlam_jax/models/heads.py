"""Where heads lie in the parameters of a run, beside those of the model that they read.

A head is a small network of one term of a loss (objectives/terms.py), and lies under its name.
"""

HEADS = "heads"  # Trained with the model.
DETACHED_HEADS = "detached_heads"  # The model never feels them.
HEAD_STATE = "head_state"  # Collection of what heads keep beside parameters, as averaged targets.
