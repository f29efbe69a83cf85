"""The front door of all datasets.

    python -m data_pipelines.prepare <dataset> --out=DIR [options]     build a dataset folder
    python -m data_pipelines.prepare inspect DIR                       tell what it holds, draw it
    python -m data_pipelines.prepare validate DIR                      re-read and check everything

`<dataset> --help` lists the options of one dataset. Running a finished build again says so and does
nothing; running a killed or interrupted one again goes on where it stopped. Files are converted by
processes of this machine; --runner names a runner of Apache Beam instead, which gets the flags that
are not listed. Simulators always run on this machine.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence

from data_pipelines.console import run_command
from data_pipelines.errors import DataError

_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
# Imports that take seconds are in the functions: before `main` nothing could answer Ctrl-C.


def parser(more: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The whole command line; one sub-command per dataset, those in `more` (dotted paths) too,
    plus inspect and validate."""
    from data_pipelines.registry import RECIPES, get_recipe

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
                default="local",
                help="`local`, or a runner of Apache Beam, which gets all further flags",
            )
        recipe.add_arguments(command)
        _add_verbose(command)
    inspect = commands.add_parser("inspect", help="print what a folder holds, draw a contact sheet")
    inspect.add_argument("out", help="dataset folder")
    inspect.add_argument("--json", action="store_true", help="the manifest for programs, no page")
    _add_verbose(inspect)
    inspect.add_argument(
        "--sheet", default="", help="PNG to write; default <folder>/contact_sheet.png"
    )
    inspect.add_argument("--seed", type=int, default=0, help="which transitions are drawn")
    validate = commands.add_parser("validate", help="re-read and check every record of a folder")
    validate.add_argument("out", help="dataset folder")
    _add_verbose(validate)
    return top


def _add_verbose(command: argparse.ArgumentParser) -> None:
    command.add_argument("--verbose", action="store_true", help="errors with their tracebacks")


def run(args: argparse.Namespace, beam_arguments: Sequence[str] = ()) -> None:
    """Runs one parsed command; raises DataError for anything a user can mend."""
    if beam_arguments and not hasattr(args, "runner"):
        raise DataError(
            f"unknown arguments {' '.join(beam_arguments)}; "
            f"see python -m data_pipelines.prepare {args.command} --help"
        )
    if args.command == "inspect":
        from data_pipelines.tools.inspection import inspect

        inspect(args.out, args.sheet or None, args.seed, as_json=args.json)
    elif args.command == "validate":
        from data_pipelines.tools.validation import validate

        validate(args.out)
    else:
        _build(args, beam_arguments)


def _build(args: argparse.Namespace, beam_arguments: Sequence[str]) -> None:
    """Builds a dataset folder and prints what it holds."""
    from data_pipelines.conversion.build import Engine, prepare
    from data_pipelines.conversion.place import out_folder
    from data_pipelines.format.manifest import read_manifest
    from data_pipelines.registry import get_recipe
    from data_pipelines.tools.counting import episodes_text, notes

    runner = getattr(args, "runner", "local")
    engine = Engine(runner, args.workers, tuple(beam_arguments), args.verbose)
    options = get_recipe(args.command).options(args)
    built = prepare(args.command, args.out, options, engine=engine, progress=True)
    manifest = read_manifest(out_folder(args.out))
    counts = ", ".join(
        f"{split} {count['transitions']}" for split, count in manifest["splits"].items()
    )
    state = "prepared" if built else "already prepared, nothing to do"
    print(
        f"{args.out}: {state}: {episodes_text(manifest)}, {manifest['transitions']} transitions "
        f"({counts})"
    )
    for line in notes(manifest):
        print(line)


def _after_interrupt(command: str) -> str:
    """What the next start of an interrupted command does."""
    from data_pipelines.registry import get_recipe

    if command in ("inspect", "validate"):
        return ""
    try:
        get_recipe(command)
    except DataError:
        return ""
    return "the same command goes on where it stopped"


def main(argv: Sequence[str] | None = None) -> int:
    argv = list(sys.argv[1:] if argv is None else argv)
    first = argv[0] if argv else ""

    def command() -> None:
        own = [first] if _DOTTED.fullmatch(first) else []
        args, beam_arguments = parser(own).parse_known_args(argv)
        run(args, beam_arguments)

    return run_command(
        command, verbose="--verbose" in argv, after_interrupt=lambda: _after_interrupt(first)
    )


if __name__ == "__main__":
    sys.exit(main())
