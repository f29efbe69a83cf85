"""Which files of a LeRobot set are there: a look at names, not into files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from data_pipelines.readers.files import opening, parquet_tables
from data_pipelines.readers.lerobot.episodes import video_of
from data_pipelines.readers.lerobot.info import LeRobot
from data_pipelines.readers.recordings import ItemError


class Availability:
    """Looks every file up once. episodes: as `list_episodes` gives them."""

    def __init__(self, data: LeRobot, episodes: Sequence[dict[str, Any]]):
        self._data, self._episodes = data, episodes
        self._found: dict[str, ItemError | None] = {}
        self._columns: set[str] | None = None

    def check(self, episode: dict[str, Any], cameras: Sequence[str]) -> None:
        """Raises ItemError, naming the file, unless rows and pictures of the episode are there."""
        problem = self._problem(episode["data"])
        if problem is not None:
            raise problem
        for camera in cameras:
            if self._data.features[camera].dtype == "video":
                self._check_video(episode, camera)

    def camera_problem(self, camera: str) -> str:
        """Why no episode has pictures of this camera; '' if one has."""
        if self._data.features[camera].dtype != "video":
            columns = self._columns_of_rows()
            return "" if columns is None or camera in columns else "no such column in the rows"
        first = "the metadata name no file"
        for number, episode in enumerate(self._episodes):
            try:
                self._check_video(episode, camera)
                return ""
            except ItemError as error:
                first = first if number else str(error)
        return first

    def _check_video(self, episode: dict[str, Any], camera: str) -> None:
        problem = self._problem(video_of(episode, camera)["file"])
        if problem is not None:
            raise ItemError(problem.reason, f"{camera}: {problem}")

    def _problem(self, file: str) -> ItemError | None:
        if file not in self._found:
            try:
                path = self._data.file(file)
                self._found[file] = None if path.is_file() else opening.fault(path)
            except ItemError as error:
                self._found[file] = error
        return self._found[file]

    def _columns_of_rows(self) -> set[str] | None:
        """Columns of the first file of rows that can be opened; None if none can."""
        if self._columns is None:
            for file in dict.fromkeys(episode["data"] for episode in self._episodes):
                if self._problem(file) is not None:
                    continue
                try:
                    table = parquet_tables.open_parquet(self._data.file(file))
                except ItemError:  # told where its episodes are read
                    continue
                self._columns = set(table.schema_arrow.names)
                break
        return self._columns
