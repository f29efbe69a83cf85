"""From the flags of the command to a `Stage`: models, data, legend, simulator."""

import functools
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.format.spec import ActionSpec
from data_pipelines.loading.loader import count_windows, ordered_batches
from data_pipelines.registry import get_recipe
from data_pipelines.simulators.simulator import Simulator
from experiments.lam_inputs import BATCH_SIZE, Source, open_source
from experiments.play import legend
from experiments.play.choices import Choices
from experiments.play.controls import Keyboard
from experiments.play.legend import Reading, Transitions
from experiments.play.stage import Stage
from experiments.play.truth import TrueWorld, simulator_task
from flexlam_jax import load_translator
from flexlam_jax.errors import UserError
from flexlam_jax.loading.actions import NotValidated
from flexlam_jax.loading.lam import LoadedLam
from flexlam_jax.world.opening import lam_of, open_world
from flexlam_jax.world.world import World

_PIECE = 32  # transitions in a row; pieces lie evenly over a split


def open_stage(choices: Choices, out: Path | None = None, world: World | None = None) -> Stage:
    """Loads everything and learns the legend.

    Args:
      out: where recordings go; None for nowhere.
      world: that of the choices, where it was opened before.

    Raises:
      UserError, DataError: models or data that are missing or do not belong together, frames of
        another size.
    """
    world = world or open_world(choices.checkpoint, choices.step)
    lam = None if _is_labelled(world) else lam_of(world, choices.lam)
    if lam is not None:
        check_lam(world, lam)
    source = open_source(lam or world, choices.data, choices.datasets)
    source.check_splits(("train", "validation"))
    action, missing = source.actions()
    starts, labels = start_frames(source, world.history, choices.starts)
    card = _card(world)
    if lam is None:
        controls, reading = _true_actions(world, action, missing, choices)
    else:
        translator = load_translator(choices.translator) if choices.translator else None
        reading = Reading.of(lam, translator, action)
        read = functools.partial(_transitions, lam, source, choices.transitions, action is not None)
        train, held_out = read("train", motion=True), read("validation", motion=False)
        controls = legend.controls_of(lam, world.budgets, train, held_out, reading, card)
    simulator, why = simulator_of(source, reading)
    return Stage(
        world=world,
        controls=controls,
        starts=starts,
        labels=labels,
        title=Path(choices.checkpoint).name or "world",
        names=reading.names,
        discrete=reading.discrete,
        truth=simulator and functools.partial(TrueWorld, *simulator, size=world.frame_shape[0]),
        why=why,
        out=out,
        fps=choices.fps,
        about={
            "checkpoint": choices.checkpoint,
            "translator": choices.translator
            or ("none: the commonest action of a code's transitions" if reading.names else ""),
            "data": str(source.info.path),
            "datasets": ", ".join(source.names),
            "card": "action_card.json" if card else "",
        },
    )


def _is_labelled(world: Any) -> bool:
    """Whether no latent action model is behind it: the data's own actions play it, or none do."""
    return hasattr(world, "lam") and not world.lam


def _true_actions(
    world: Any, action: ActionSpec | None, missing: str, choices: Choices
) -> tuple[dict[int, Keyboard], Reading]:
    """Keys of a world of true actions. Raises UserError for one that keys cannot play."""
    if choices.translator or choices.lam:
        raise UserError(
            f"{choices.checkpoint} is played by the data's own actions, for which --translator and "
            "--lam mean nothing; leave them out"
        )
    names = tuple(getattr(world, "action_names", ()))
    if not names:
        raise UserError(
            f"{choices.checkpoint} was trained without actions, and whatever is pressed it shows the "
            "same; give a world of latent or true actions"
        )
    if action is None or action.kind != "discrete" or tuple(action.names) != names:
        raise UserError(
            f"{choices.checkpoint} is played by {', '.join(names)}, and "
            f"{missing or 'the data have other actions, or numbers, which no key stands for'}; give "
            "data with these discrete actions"
        )
    board = legend.keyboard_of_actions(names, world.slots, world.slot_width)
    return {board.keep: board}, Reading(None, names)


def check_lam(world: World, lam: LoadedLam) -> None:
    """Raises UserError for a model whose codes or frames are not the world's."""
    mine = (lam.slots, lam.slot_width, tuple(lam.frame_shape))
    wanted = (world.slots, world.slot_width, tuple(world.frame_shape))
    if mine != wanted:
        raise UserError(
            f"the latent action model has (slots, width, frames) {mine}, the world is played by "
            f"{wanted}; give the model that it was trained with as --lam"
        )


def start_frames(source: Source, history: int, count: int) -> tuple[np.ndarray, list[str]]:
    """Frames to start from, uint8 (S, T0, H, W, C), evenly over the validation split, and what each
    is. T0 is `history`, or as many frames as a record holds in a row at the data's gap.

    Raises:
      DataError: no window.
    """
    spans = [source.info.spec(name).max_span for name in source.names]
    length = max(2, min(history, 1 + min(spans) // source.gap))  # the loader reads pairs at least
    windows = {"clip_length": length, "gap": source.gap}
    common = (source.info.path, source.names, "validation")
    keys = ("path", "datasets", "split")
    total = count_windows(dict(zip(keys, common, strict=True)) | windows)
    chosen = np.unique(np.linspace(0, total - 1, min(count, total)).astype(int))
    batches = list(
        ordered_batches(*common, BATCH_SIZE, **windows, spans=[range(n, n + 1) for n in chosen])
    )
    if not batches:
        raise DataError(f"{source.info.path}: the validation split holds no frames to start from")
    frames = np.concatenate([batch["frames"] for batch in batches])[:, -min(length, history) :]
    labels = [
        f"{source.names[int(dataset)]}, episode {episode}, frame {t}"
        for batch in batches
        for dataset, episode, t in zip(batch["dataset"], batch["episode"], batch["t"], strict=True)
    ]
    return frames, labels


def _transitions(
    lam: LoadedLam, source: Source, limit: int, labelled: bool, split: str, *, motion: bool
) -> Transitions:
    """At most `limit` of a split, in pieces that lie evenly over it."""
    windows = {"path": source.info.path, "datasets": source.names, "split": split}
    total = count_windows(windows | {"clip_length": 2, "gap": source.gap})
    pieces = max(1, min(limit, total) // _PIECE)
    first = np.linspace(0, max(0, total - _PIECE), pieces).astype(int)
    spans = [range(n, min(n + _PIECE, total)) for n in np.unique(first)]
    batches = source.batches(split, spans=spans, actions=labelled)
    return legend.transitions_of(lam, batches, motion=motion)


def simulator_of(
    source: Source, reading: Reading
) -> tuple[tuple[type[Simulator], str] | None, str]:
    """(the simulator and the task that the data were played in, ""), or (None, why there is none)."""
    recipe = str(source.info.manifest.get("recipe", ""))
    simulator = getattr(_recipe(recipe), "simulator", None)
    if simulator is None:
        return None, f"the data were made by {recipe or 'nobody known'}, which plays no simulator"
    try:
        tasks = simulator.tasks()
        simulator.sources()  # that it is installed
    except DataError as error:
        return None, str(error)
    task = simulator_task(tasks, source.names[0])
    if not task:
        return None, f"no task of {recipe} is called as dataset {source.names[0]}"
    spec: ActionSpec = tasks[task].action
    if not reading.names:
        return None, "nothing says which action a code stands for; give --translator"
    if tuple(spec.names) != reading.names or (spec.kind == "discrete") != reading.discrete:
        return None, (
            f"codes read as {', '.join(reading.names)}, and {task} of {recipe} acts by "
            f"{', '.join(spec.names)}; give a translator of its actions"
        )
    height, width = source.info.spec(source.names[0]).image_shape[:2]
    if height != width or source.gap != 1:
        return None, (
            f"a simulator shows square frames, one for each action; the data are {height}x{width} at "
            f"a gap of {source.gap}"
        )
    return (simulator, task), ""


def _recipe(name: str) -> Any:
    try:
        return get_recipe(name)
    except DataError:
        return None


def _card(world: Any) -> Any:
    """What evaluation has shown, None where it wrote nothing of these parameters."""
    actions = getattr(world, "actions", None)
    try:
        return actions.card if actions else None
    except NotValidated:
        return None
