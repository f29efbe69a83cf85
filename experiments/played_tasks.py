"""The simulator and the tasks that the flags of a command name."""

from collections.abc import Sequence

from data_pipelines.registry import get_recipe
from data_pipelines.simulators.simulator import Simulator, TaskSpec, find_task
from flexlam_jax.errors import UserError


def simulator_of(name: str, flag: str = "--simulator") -> type[Simulator]:
    """The simulator of a recipe of `prepare`, that `flag` names. Raises DataError or UserError where
    there is none."""
    recipe = get_recipe(name)
    if not hasattr(recipe, "simulator"):
        raise UserError(
            f"{flag}={name} is a dataset that nobody can act in; give one that is played, such "
            "as doom_suite"
        )
    return recipe.simulator


def tasks_of(simulator: type[Simulator], names: Sequence[str]) -> dict[str, TaskSpec]:
    """The tasks by name, `suite` being the simulator's own. Raises DataError listing them."""
    suite = simulator.suite or tuple(simulator.tasks())
    wanted = [task for name in names for task in (suite if name == "suite" else [name])]
    return {name: find_task(simulator, name) for name in wanted}
