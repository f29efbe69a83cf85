"""What the action numbers of published DMLab data mean.

The two tables are the discrete action sets that agents for DMLab have used: nine actions in IMPALA
(Espeholt et al. 2018), fifteen in PopArt and R2D2, which the DMLab wrapper of DreamerV3 took over.
Angles are pixels per frame of the simulator's look actions.
"""

from __future__ import annotations

from data_pipelines.errors import DataError
from data_pipelines.format.spec import ActionSpec

TABLES = {
    "impala": (
        "forward",
        "backward",
        "strafe_left",
        "strafe_right",
        "look_left_20",
        "look_right_20",
        "forward_look_left_20",
        "forward_look_right_20",
        "fire",
    ),
    "dreamerv3": (
        "forward",
        "backward",
        "strafe_left",
        "strafe_right",
        "look_left_10",
        "look_right_10",
        "look_left_60",
        "look_right_60",
        "look_down_10",
        "look_up_10",
        "forward_look_left_10",
        "forward_look_right_10",
        "forward_look_left_60",
        "forward_look_right_60",
        "fire",
    ),
}


def table_spec(table: str) -> ActionSpec:
    return ActionSpec("discrete", TABLES[table])


def choose_table(asked: str, largest: int) -> str:
    """The name of the table for data whose largest action is `largest`.

    'auto' takes the smallest table that holds it. Raises DataError if the table asked for is too
    small while another fits. Numbers beyond every table are left to the check of each episode.
    """
    fitting = [name for name, names in TABLES.items() if largest < len(names)]
    if asked == "auto":
        return fitting[0] if fitting else "dreamerv3"
    if asked not in fitting and fitting:
        raise DataError(
            f"--actions={asked} has {len(TABLES[asked])} actions, but the data hold action "
            f"{largest}; use --actions={fitting[0]}"
        )
    return asked
