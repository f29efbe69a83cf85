"""The datasets that `prepare` knows.

A recipe is a module with

    DESCRIPTION: str                          one line for --help
    add_arguments(parser)                     its own options
    options(args) -> dict                     JSON-able; everything that decides the content

and, if it reads files (see recordings.py; runs on processes of this machine or on Apache Beam),

    plan(options) -> Plan                     what the source holds
    read(item, options) -> Iterator[Recording | Skipped]

or, if it plays a simulator (on this machine; simulators/recipe.py makes one of any simulator),

    specs(options) -> list[DatasetSpec]       what will be collected, in mixture order
    sources(options) -> dict                  JSON-able: simulator and version; raises DataError if
                                              it is not installed
    collect(options, spool, workers, report) -> list[Skipped]
                                              writes the episodes that are missing
                                              (spool.write_episode) to the sub-folder `spool /
                                              <dataset name>`; calls report(count) as transitions
                                              are done
    expected_transitions(options) -> int | None     total of the progress bar

These names are the module's own, or those of an object RECIPE in it.

A new dataset is one module and one line here; one of your own, outside this package, is used by its
dotted path: `prepare my_lab.readers.kitchen --source=...`. Recipes import simulators and decoders
where they use them.
"""

from __future__ import annotations

import argparse
import importlib
from typing import Any

from data_pipelines.errors import DataError

RECIPES = {
    "doom": "data_pipelines.simulators.doom.recipe",
    "doom_suite": "data_pipelines.simulators.doom.suite_recipe",
    "dmlab": "data_pipelines.readers.dmlab.recipe",
    "dmlab_sim": "data_pipelines.simulators.dmlab.recipe",
    "dmlab_sim9": "data_pipelines.simulators.dmlab.recipe9",
    "ego4d": "data_pipelines.readers.ego4d.recipe",
    "libero": "data_pipelines.readers.libero.recipe",
    "libero-record": "data_pipelines.simulators.libero.recipe",
    "ssv2": "data_pipelines.readers.ssv2",
    "table": "data_pipelines.readers.table.recipe",
    "videos": "data_pipelines.readers.video.recipe",
    "rlds": "data_pipelines.readers.rlds.recipe",
    "lerobot": "data_pipelines.readers.lerobot.recipe",
    "metaworld": "data_pipelines.simulators.metaworld.recipe",
    "ogbench": "data_pipelines.simulators.ogbench.recipe",
    "coinrun": "data_pipelines.simulators.coinrun.recipe",
    "robomimic": "data_pipelines.readers.robomimic.recipe",
    "plant": "data_pipelines.simulators.plant.recipe",
    "synthetic": "data_pipelines.simulators.synthetic",
}


def get_recipe(name: str) -> Any:
    """The recipe (a module, or its RECIPE) called `name`, or the one at a dotted path
    ("my_lab.readers.kitchen").

    Raises DataError listing those that exist, and for a module that is no recipe.
    """
    dotted = "." in name and all(part.isidentifier() for part in name.split("."))
    if name not in RECIPES and not dotted:
        raise DataError(
            f"unknown dataset {name!r}; known: {', '.join(RECIPES)}, or the dotted path of a "
            "module of your own"
        )
    try:
        module = importlib.import_module(RECIPES.get(name, name))
    except ModuleNotFoundError as error:
        raise DataError(f"dataset {name!r}: {error}; is its folder on PYTHONPATH?") from error
    module = getattr(module, "RECIPE", module)
    needed = ("DESCRIPTION", "add_arguments", "options")
    if not all(hasattr(module, part) for part in needed):
        raise DataError(f"module {name} is no recipe; it needs {', '.join(needed)}")
    return module


def recipe_options(name: str, *arguments: str) -> dict[str, Any]:
    """The options of a recipe as its command line gives them: recipe_options("synthetic",
    "--episodes=3")."""
    recipe = get_recipe(name)
    parser = argparse.ArgumentParser(prog=name)
    recipe.add_arguments(parser)
    return recipe.options(parser.parse_args(arguments))
