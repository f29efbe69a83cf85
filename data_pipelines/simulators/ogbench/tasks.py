"""The tasks: a sentence, how the scene begins, and the stages that lead to its end. No simulator."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

DRAWER_OPEN, DRAWER_CLOSED = -0.16, 0.0  # metres along the slide
WINDOW_OPEN, WINDOW_CLOSED = 0.2, 0.0
LOCKED, UNLOCKED = 0, 1  # states of a button; button 0 locks the drawer, button 1 the window
BUTTON_OF = {"drawer_lock": 0, "window_lock": 1}
TOLERANCE = 0.04  # metres of a slide, as OGBench's own checks have it


@dataclasses.dataclass(frozen=True)
class Stage:
    """One thing brought into one state.

    thing: 'drawer_lock', 'window_lock', 'drawer', 'window' or 'cube'. goal: LOCKED or UNLOCKED,
    metres of a slide; of the cube, which always goes into the drawer, nothing.
    """

    text: str
    thing: str
    goal: float = 0.0


UNLOCK_DRAWER = Stage("unlock the drawer", "drawer_lock", UNLOCKED)
LOCK_DRAWER = Stage("lock the drawer", "drawer_lock", LOCKED)
UNLOCK_WINDOW = Stage("unlock the window", "window_lock", UNLOCKED)
LOCK_WINDOW = Stage("lock the window", "window_lock", LOCKED)
OPEN_DRAWER = Stage("open the drawer", "drawer", DRAWER_OPEN)
CLOSE_DRAWER = Stage("close the drawer", "drawer", DRAWER_CLOSED)
OPEN_WINDOW = Stage("open the window", "window", WINDOW_OPEN)
CLOSE_WINDOW = Stage("close the window", "window", WINDOW_CLOSED)
STORE_CUBE = Stage("put the cube into the drawer", "cube")


@dataclasses.dataclass(frozen=True)
class Task:
    """buttons, drawer, window: how the scene begins; the cube and the arm begin at random."""

    name: str
    sentence: str
    buttons: tuple[int, int]
    drawer: float
    window: float
    stages: tuple[Stage, ...]

    @property
    def goals(self) -> tuple[Stage, ...]:
        """What holds at the end: of every thing, its last stage."""
        last = {stage.thing: stage for stage in self.stages}
        return tuple(last.values())


@dataclasses.dataclass(frozen=True)
class Readings:
    """The scene at one instant. buttons: states; drawer, window: metres of the slides.

    cube_stored: the cube lies in the drawer, wherever that is by now.
    """

    buttons: Sequence[int]
    drawer: float
    window: float
    cube_stored: bool


def holds(stage: Stage, now: Readings) -> bool:
    """Whether the thing of a stage is in its state."""
    if stage.thing == "cube":
        return now.cube_stored
    if stage.thing in BUTTON_OF:
        return now.buttons[BUTTON_OF[stage.thing]] == stage.goal
    return abs(getattr(now, stage.thing) - stage.goal) <= TOLERANCE


TASKS = {
    task.name: task
    for task in (
        Task(
            "drawer",
            "unlock and open the drawer",
            (LOCKED, LOCKED),
            DRAWER_CLOSED,
            WINDOW_CLOSED,
            (UNLOCK_DRAWER, OPEN_DRAWER),
        ),
        Task(
            "window",
            "unlock and open the window",
            (LOCKED, LOCKED),
            DRAWER_CLOSED,
            WINDOW_CLOSED,
            (UNLOCK_WINDOW, OPEN_WINDOW),
        ),
        Task(
            "both",
            "open the drawer and the window",
            (UNLOCKED, UNLOCKED),
            DRAWER_CLOSED,
            WINDOW_CLOSED,
            (OPEN_DRAWER, OPEN_WINDOW),
        ),
        Task(
            "cube_drawer",
            "put the cube into the drawer and close it",
            (UNLOCKED, LOCKED),
            DRAWER_OPEN,
            WINDOW_CLOSED,
            (STORE_CUBE, CLOSE_DRAWER),
        ),
        Task(
            "store",
            "unlock the drawer, open it and put the cube inside",
            (LOCKED, LOCKED),
            DRAWER_CLOSED,
            WINDOW_CLOSED,
            (UNLOCK_DRAWER, OPEN_DRAWER, STORE_CUBE),
        ),
        Task(
            "store_lock",
            "open the drawer, put the cube inside, close the drawer and lock it",
            (UNLOCKED, LOCKED),
            DRAWER_CLOSED,
            WINDOW_CLOSED,
            (OPEN_DRAWER, STORE_CUBE, CLOSE_DRAWER, LOCK_DRAWER),
        ),
        Task(
            "lock_all",
            "close the drawer and the window and lock both",
            (UNLOCKED, UNLOCKED),
            DRAWER_OPEN,
            WINDOW_OPEN,
            (CLOSE_DRAWER, LOCK_DRAWER, CLOSE_WINDOW, LOCK_WINDOW),
        ),
        Task(
            "full",
            "unlock the drawer and the window, open the drawer, put the cube inside, close the "
            "drawer and open the window",
            (LOCKED, LOCKED),
            DRAWER_CLOSED,
            WINDOW_CLOSED,
            (
                UNLOCK_DRAWER,
                UNLOCK_WINDOW,
                OPEN_DRAWER,
                STORE_CUBE,
                CLOSE_DRAWER,
                OPEN_WINDOW,
            ),
        ),
    )
}
