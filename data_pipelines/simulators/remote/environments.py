"""Python environments of their own for simulators whose packages exclude those of others.

    python -m data_pipelines.simulators.remote.environments ogbench

makes one, where `Environment.folder` says: in $OGBENCH_ENV, or by default below
~/.cache/flexlam_jax/environments. It may be given again: what is there already stays.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import pathlib
import subprocess
import sys
from collections.abc import Mapping, Sequence

from data_pipelines.console import run_command
from data_pipelines.errors import DataError

_MODULE = "data_pipelines.simulators.remote.environments"
_DEFAULT = "~/.cache/flexlam_jax/environments"


@dataclasses.dataclass(frozen=True)
class Environment:
    """What an environment holds.

    packages: for pip, with versions. variables: set for the processes that run in it, unless the
    user set them. system: what Debian and Ubuntu call the libraries that it needs.
    """

    name: str
    packages: tuple[str, ...]
    variables: Mapping[str, str] = dataclasses.field(default_factory=dict)
    system: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        """The environment variable that names its folder."""
        return f"{self.name.upper()}_ENV"

    @property
    def folder(self) -> pathlib.Path:
        given = os.environ.get(self.variable)
        return pathlib.Path(given or f"{_DEFAULT}/{self.name}").expanduser().absolute()

    @property
    def remedy(self) -> str:
        """What to do where it, or something in it, is missing."""
        libraries = f"; system libraries: apt-get install {' '.join(self.system)}"
        return (
            f"make the environment with `python -m {_MODULE} {self.name}` (in {self.folder}; set "
            f"{self.variable} for another folder){libraries if self.system else ''}"
        )

    def python(self) -> pathlib.Path:
        """Its interpreter; raises DataError with the command that makes the environment."""
        path = self.folder / "bin" / "python"
        if not path.exists():
            raise DataError(
                f"{self.name} runs in a Python environment of its own, and {path} does not exist; "
                f"{self.remedy}"
            )
        return path

    def process_variables(self) -> dict[str, str]:
        """Of a process that runs in it: this one's, without those that lead to its packages."""
        own = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
        return dict(self.variables) | own


ENVIRONMENTS = {
    "ogbench": Environment(
        name="ogbench",
        packages=("ogbench==1.2.2",),  # its mujoco 4 excludes that of LIBERO and Meta-World
        variables={"MUJOCO_GL": "egl"},
        system=("libegl1", "libegl-mesa0", "libgl1-mesa-dri"),
    ),
}


def make(environment: Environment, interpreter: str = sys.executable) -> None:
    """Makes the environment, or completes it; raises DataError where a step of it fails."""
    commands = [
        [interpreter, "-m", "venv", str(environment.folder)],
        [str(environment.folder / "bin" / "python"), "-m", "pip", "install", *environment.packages],
    ]
    for command in commands:
        try:
            subprocess.run(command, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise DataError(
                f"{environment.name}: `{' '.join(command)}` failed ({error}); mend what it says "
                "above and give the command again"
            ) from error


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog=f"python -m {_MODULE}", description=__doc__.splitlines()[0]
    )
    parser.add_argument("name", choices=tuple(ENVIRONMENTS))
    parser.add_argument(
        "--python", default=sys.executable, help="interpreter to make it with; default this one"
    )
    arguments = parser.parse_args(argv)
    environment = ENVIRONMENTS[arguments.name]

    def command() -> None:
        make(environment, arguments.python)
        print(f"{environment.name} is in {environment.folder}")
        if environment.system:
            print(f"it needs the system's libraries {', '.join(environment.system)}")

    return run_command(command)


if __name__ == "__main__":
    sys.exit(main())
