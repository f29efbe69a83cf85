"""Who plays: a flat chunk policy or a hierarchy, and whether it fits what a simulator shows."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from data_pipelines.simulators.simulator import Simulator, TaskSpec
from experiments.rollout.players import about_checkpoint
from flexlam_jax.acting.chunk_actor import Level
from flexlam_jax.errors import UserError
from flexlam_jax.loading.chunk_policy import LoadedChunkPolicy, check_hierarchy
from flexlam_jax.loading.load import load_as

POLICY = "policy"  # the kind of checkpoints


class Player(NamedTuple):
    """Policies, the one that acts last; `about`: JSON-able, what tells them from others."""

    policies: tuple[LoadedChunkPolicy, ...]
    about: dict[str, Any]

    @property
    def size(self) -> int:
        """Pixels of a side of the pictures. Raises UserError unless all are square and equal."""
        sizes = {policy.image_size for policy in self.policies}
        if len(sizes) > 1:
            told = " and ".join(f"{height}x{width}" for height, width in sorted(sizes))
            raise UserError(f"the levels read pictures of {told}; both must read the same ones")
        ((height, width),) = sizes
        if height != width:
            raise UserError(
                f"the policy reads frames of {height}x{width}; simulators show square ones only"
            )
        return height


def open_player(policy: str, low: str) -> Player:
    """The flat policy of a run, or with `low` the two levels of a hierarchy.

    Raises:
      CheckpointError: no checkpoint there, or one of another kind.
      UserError: a policy that does not act, levels that do not fit each other.
    """
    top = load_as(POLICY, policy)
    about = {"policy": about_checkpoint(policy, top.step)}
    if not low:
        if top.skill_width:
            raise UserError(
                f"--policy={policy} is a low level, which reads a skill; give the high level as "
                "--policy, and this one as --low"
            )
        _check_acts(top, f"--policy={policy}", "; give the low level that does as --low")
        return Player((top,), about)
    below = load_as(POLICY, low)
    check_hierarchy(top, below)
    _check_acts(below, f"--low={low}", "; train it on actions, see docs/policies.md")
    return Player((top, below), about | {"low": about_checkpoint(low, below.step)})


def _check_acts(policy: LoadedChunkPolicy, flag: str, remedy: str) -> None:
    if policy.columns:
        raise UserError(f"{flag} predicts {', '.join(policy.columns)}, not actions{remedy}")


def fit(
    player: Player, simulator: type[Simulator], tasks: Mapping[str, TaskSpec]
) -> tuple[tuple[Level, ...], tuple[str, ...]]:
    """(the levels with where they find what they read, the cameras that they look through).

    A policy of single pictures of any camera looks through the simulator's first one.

    Raises:
      UserError: cameras, states or actions that the simulator does not have, sentences that a table
        lacks.
    """
    for task in tasks.values():
        _check_actions(player.policies[-1], task)
    for policy in player.policies:
        policy.text.features([task.language for task in tasks.values()])
    levels = tuple(_level(policy, simulator, tasks) for policy in player.policies)
    cameras = (
        level.views.get(camera, camera) for level in levels for camera in level.policy.cameras
    )
    return levels, tuple(dict.fromkeys(cameras))


def _check_actions(policy: LoadedChunkPolicy, task: TaskSpec) -> None:
    action, given = task.action, policy.action_names
    same = tuple(given) == tuple(action.names) if given else policy.width == action.count
    if action.kind != "continuous" or not same:
        raise UserError(
            f"the policy acts by {', '.join(given) or f'{policy.width} numbers'}, task {task.name} "
            f"by {', '.join(action.names)} ({action.kind}); take a policy that was trained on this "
            "task's actions, or a task of the policy's simulator"
        )


def _level(
    policy: LoadedChunkPolicy, simulator: type[Simulator], tasks: Mapping[str, TaskSpec]
) -> Level:
    views = {}
    if policy.cameras == ("frames",):
        views = {"frames": simulator.cameras[0]}
    lacking = [name for name in policy.cameras if views.get(name, name) not in simulator.cameras]
    if lacking:
        raise UserError(
            f"the policy looks through {', '.join(lacking)}, which {simulator.__name__} does not "
            f"have; cameras: {', '.join(simulator.cameras)}"
        )
    if not policy.proprio_width:
        return Level(policy, views)
    numbers = {_numbers(policy, task) for task in tasks.values()}
    if len(numbers) > 1:
        raise UserError("the tasks have states in different orders; evaluate them one at a time")
    return Level(policy, views, numbers.pop())


def _numbers(policy: LoadedChunkPolicy, task: TaskSpec) -> tuple[int, ...]:
    """Where the numbers that the policy reads are in the state of a task."""
    names: Sequence[str] = policy.proprio_names or task.state_names
    lacking = [name for name in names if name not in task.state_names]
    if lacking or len(names) != policy.proprio_width:
        wanted = ", ".join(policy.proprio_names) or f"{policy.proprio_width} unnamed numbers"
        raise UserError(
            f"the policy reads the state {wanted}, of which task {task.name} lacks "
            f"{', '.join(lacking) or 'as many'}; it has {', '.join(task.state_names) or 'none'}. "
            "Prepare the data with such a state, or train without, config.reads.proprio=False"
        )
    return tuple(task.state_names.index(name) for name in names)
