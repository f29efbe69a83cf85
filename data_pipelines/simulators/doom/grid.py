"""Shortest ways through the walls of a map, on a grid of square cells."""

from __future__ import annotations

import numpy as np

CELL = 16.0  # side of a cell, in map units
WALL_PRICE = 50.0  # of a cell too close to a wall: passable, so that who is pushed there gets away
_MOVES = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]

Cell = tuple[int, int]


class Grid:
    """The cells of a map, and which of them are too close to a wall.

    walls: float (W, 4): x1, y1, x2, y2 in map units. clearance: map units from a wall that are
    avoided; the player's radius is 16. blocked: bool (X, Y).
    """

    def __init__(self, walls: np.ndarray, clearance: float):
        corners = walls.reshape(-1, 2)
        self._origin = corners.min(axis=0)
        extent = corners.max(axis=0) - self._origin
        self.shape: Cell = tuple(np.ceil(extent / CELL).astype(int) + 1)
        self.blocked = self._near(walls, clearance)

    def _near(self, walls: np.ndarray, clearance: float) -> np.ndarray:
        """bool (X, Y): cells whose centre lies within the clearance of a wall."""
        grid = np.stack(np.meshgrid(*map(np.arange, self.shape), indexing="ij"), -1)
        points = self._origin + (grid + 0.5) * CELL
        near = np.zeros(self.shape, bool)
        for x1, y1, x2, y2 in walls:
            a, d = np.array([x1, y1]), np.array([x2 - x1, y2 - y1])
            along = np.clip(((points - a) @ d) / max(float(d @ d), 1e-6), 0, 1)
            near |= np.linalg.norm(points - a - along[..., None] * d, axis=-1) < clearance
        return near

    def cell(self, x: float, y: float) -> Cell:
        """The cell of a point of the map, the nearest one for a point beside it."""
        cell = ((np.array([x, y]) - self._origin) / CELL).astype(int)
        return tuple(np.clip(cell, 0, np.array(self.shape) - 1))

    def centre(self, cell: Cell) -> np.ndarray:
        """float (2,): x, y of the middle of a cell."""
        return self._origin + (np.array(cell) + 0.5) * CELL

    def prices(self) -> np.ndarray:
        """float (X, Y): what a step of one cell costs there."""
        return np.where(self.blocked, WALL_PRICE, 1.0)

    def follow(self, cell: Cell, costs: np.ndarray, count: int) -> Cell:
        """The cell that lies `count` cells down the costs that `way_costs` gave."""
        for _ in range(count):
            x, y = cell
            around = [(x + i, y + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
            inside = [c for c in around if 0 <= c[0] < self.shape[0] and 0 <= c[1] < self.shape[1]]
            cell = min(inside, key=lambda c: costs[c])
        return cell


def way_costs(prices: np.ndarray, goals: list[Cell]) -> np.ndarray:
    """float (X, Y): cost of the cheapest way from each cell to the nearest goal; inf without one.

    prices: float (X, Y); a step out of a cell costs its length times the price of the cell. All
    cells are relaxed at once until none gets cheaper, many times faster here than a queue.
    """
    costs = np.full(prices.shape, np.inf)
    for goal in goals:
        costs[goal] = 0.0
    width, height = prices.shape
    while True:
        around = np.pad(costs, 1, constant_values=np.inf)
        cheaper = costs
        for i, j in _MOVES:
            beside = around[1 + i : 1 + i + width, 1 + j : 1 + j + height]
            cheaper = np.minimum(cheaper, beside + np.hypot(i, j) * prices)
        if np.array_equal(cheaper, costs):
            return costs
        costs = cheaper
