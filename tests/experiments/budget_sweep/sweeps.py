"""Sweeps to plan in tests."""

from experiments.budget_sweep.settings import PROTOCOLS, Presets, Settings

PRESETS = Presets(
    lam="experiments/configs/doom.py:debug",
    policy="experiments/configs/token_policy.py:debug",
    cloning="experiments/configs/behaviour_cloning.py:debug",
    finetune="experiments/configs/lam_finetune.py:debug",
)


def sweep(out, **changes):
    """Two tasks, two budgets, all protocols."""
    return Settings(
        **{
            "out": out,
            "presets": PRESETS,
            "simulator": "doom_suite",
            "tasks": ("aim", "walk"),
            "actions": ("left", "right"),
            "expert": True,
            "data": "",
            "plan": {"aim_noisy": 20, "walk_noisy": 20},
            "video": None,
            "datasets": ("aim_noisy", "walk_noisy"),
            "sources": ("aim_sticky", "stand_sticky"),
            "seeds": (0,),
            "budgets": (1, 4),
            "discrete": True,
            "protocols": PROTOCOLS,
            "labels": {"16": 2, "0.5%": 1},
            "narrow_labels": "all",
            "joint_labels": "0.5%",
            "ceiling": True,
            "episodes": 2,
            "validation_episodes": 3,
        }
        | changes
    )
