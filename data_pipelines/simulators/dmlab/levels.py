"""The levels of DMLab-30 as tasks, told without the engine."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from data_pipelines.errors import DataError
from data_pipelines.readers.dmlab.actions import TABLES, table_spec
from data_pipelines.readers.dmlab.levels import FPS, FRAME_SKIP
from data_pipelines.simulators.dmlab.engine_actions import ENGINE_ACTIONS
from data_pipelines.simulators.dmlab.scores import REFERENCES, RETURNS
from data_pipelines.simulators.simulator import TaskSpec

SUITE = tuple(RETURNS)  # the thirty, as they are evaluated
# Two of them are held out from training, which has levels of its own. As in IMPALA's code both are
# scored by the same returns.
TRAINING = {
    "rooms_collect_good_objects_train": "rooms_collect_good_objects_test",
    "rooms_exploit_deferred_effects_train": "rooms_exploit_deferred_effects_test",
}
# They show photographs that nobody may pass on: the engine has to be told where these lie.
PHOTOGRAPHS = ("psychlab_arbitrary_visuomotor_mapping", "psychlab_continuous_recognition")


def has_instruction(level: str) -> bool:
    """Whether the level tells the agent in words what to do."""
    return level.startswith("language_")


@functools.cache
def level_tasks(table: str, reference: str) -> Mapping[str, TaskSpec]:
    """All levels by name, with the actions of a table of `readers.dmlab.actions`.

    reference: whose return scores 1, one of REFERENCES. Raises DataError for a table or a
    reference that does not exist.
    """
    if table not in TABLES:
        raise DataError(f"DMLab has no action table {table!r}; tables: {', '.join(TABLES)}")
    if reference not in REFERENCES:
        raise DataError(f"DMLab has no returns of {reference!r}; known: {', '.join(REFERENCES)}")
    return {level: _task(level, table, reference) for level in (*SUITE, *TRAINING)}


def _task(level: str, table: str, reference: str) -> TaskSpec:
    """Levels end their episodes themselves, so there is no max_steps."""
    returns = RETURNS[TRAINING.get(level, level)]
    action = table_spec(table)
    return TaskSpec(
        name=level,
        action=action,
        fps=FPS,
        frame_skip=FRAME_SKIP,
        random_return=returns.random,
        expert_return=getattr(returns, reference),
        details={
            "level": level,
            "action_table": table,
            "engine_actions": {name: list(ENGINE_ACTIONS[name]) for name in action.names},
            "reference": reference,
            "returns": returns._asdict(),
        },
    )
