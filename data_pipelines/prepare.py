"""The front door of all datasets.

    python -m data_pipelines.prepare <dataset> --out=DIR [options]     build a dataset folder
    python -m data_pipelines.prepare inspect DIR                       print its manifest, draw a
    contact sheet
    python -m data_pipelines.prepare validate DIR                      re-read and check everything

`<dataset> --help` lists the options of one dataset. Running a finished build again says so and does
nothing; running a killed one again goes on where it stopped. Files are converted on Apache Beam:
--runner names the runner, flags that are not listed go to it. `--runner=local` uses plain processes
of this machine instead, and needs no Beam; simulators always run that way.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Sequence

from data_pipelines.build import Engine, prepare
from data_pipelines.conversion.engines import LOCAL
from data_pipelines.errors import DataError
from data_pipelines.manifest import read_manifest
from data_pipelines.registry import RECIPES, get_recipe


def parser(more: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The whole command line; one sub-command per dataset, those in `more` (dotted paths) too,
    plus inspect and validate."""
    top = argparse.ArgumentParser(
        prog="python -m data_pipelines.prepare",
        description="Build, inspect and validate dataset folders.",
    )
    commands = top.add_subparsers(
        dest="command", required=True, metavar="<dataset>|inspect|validate"
    )
    for name in (*RECIPES, *more):
        recipe = get_recipe(name)
        command = commands.add_parser(
            name,
            help=recipe.DESCRIPTION,
            description=recipe.DESCRIPTION,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        command.add_argument("--out", required=True, help="dataset folder to write")
        command.add_argument(
            "--workers", type=int, default=2, help="processes; never changes the result"
        )
        if hasattr(recipe, "plan"):
            command.add_argument(
                "--runner",
                default="DirectRunner",
                help="a runner of Apache Beam, which gets all further flags, or `local`",
            )
        recipe.add_arguments(command)
    inspect = commands.add_parser("inspect", help="print a manifest and draw a contact sheet")
    inspect.add_argument("out", help="dataset folder")
    inspect.add_argument(
        "--sheet", default="", help="PNG to write; default <folder>/contact_sheet.png"
    )
    inspect.add_argument("--seed", type=int, default=0, help="which transitions are drawn")
    validate = commands.add_parser("validate", help="re-read and check every record of a folder")
    validate.add_argument("out", help="dataset folder")
    return top


def run(args: argparse.Namespace, beam_arguments: Sequence[str] = ()) -> None:
    """Runs one parsed command; raises DataError for anything a user can mend."""
    runner = getattr(args, "runner", LOCAL)
    if beam_arguments and runner == LOCAL:
        raise DataError(
            f"unknown arguments {' '.join(beam_arguments)}; "
            f"see python -m data_pipelines.prepare {args.command} --help"
        )
    if args.command == "inspect":
        from data_pipelines.inspection import inspect

        inspect(args.out, args.sheet or None, args.seed)
        return
    if args.command == "validate":
        from data_pipelines.validation import validate

        validate(args.out)
        return
    recipe = get_recipe(args.command)
    engine = Engine(runner, args.workers, tuple(beam_arguments))
    built = prepare(args.command, args.out, recipe.options(args), engine=engine, progress=True)
    manifest = read_manifest(pathlib.Path(args.out))
    counts = ", ".join(
        f"{split} {count['transitions']}" for split, count in manifest["splits"].items()
    )
    state = "prepared" if built else "already prepared, nothing to do"
    print(
        f"{args.out}: {state}: {manifest['episodes']} episodes, {manifest['transitions']} "
        f"transitions ({counts})"
    )
    if manifest["skipped"]:
        print(f"skipped: {manifest['skipped']} (listed in the manifest)")


def main(argv: Sequence[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    try:
        own = [argv[0]] if argv and "." in argv[0] else []
        args, beam_arguments = parser(own).parse_known_args(argv)
        run(args, beam_arguments)
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
