"""Plans a run on TPUs that are not there: does it fit, what is sent, how long is a step.

    python -m experiments.plan_pod --config=experiments/configs/base.py --topology=v5e-256
    python -m experiments.plan_pod --config=experiments/configs/xl.py:224 --topology=v5p-64 \\
        --config.batch_size=2048 --slices=2
    python -m experiments.plan_pod --config=... --topology=v5e-64 --search [--limit=12]
    python -m experiments.plan_pod --table=docs/pod_plans.md
    python -m experiments.plan_pod --config=... --weak_scaling=8

Compiles the very step that training runs, for the named topology, with the TPU compiler of libtpu
(`pip install 'flexlam_jax[tpu]'`; no TPU needed, one to ten minutes). Without it, compiles
for as many virtual CPU devices and says so. The config's mesh and batch size are those of the
run; a plan that does not fit says by how much, and tries what would. Exit code 1 if it does not.
--json=FILE appends every plan to a file, a row each. docs/pod_plans.md says what the numbers mean.
"""

if __name__ == "__main__":  # Before the imports, which take seconds.
    from experiments import process

    process.start()

import importlib
import json
import os
import re
import sys

os.environ["JAX_PLATFORMS"] = "cpu"  # Compiles only; a TPU that is here stays free for others.

import jax  # noqa: E402
from absl import flags  # noqa: E402  (after the line that JAX reads when imported)

from experiments import cli  # noqa: E402
from experiments.tasks.registry import as_run, on_paper  # noqa: E402
from flexlam_jax.errors import UserError  # noqa: E402
from flexlam_jax.planning import scaling  # noqa: E402
from flexlam_jax.planning.chips import GIB  # noqa: E402
from flexlam_jax.planning.plan import plan  # noqa: E402
from flexlam_jax.planning.report import describe, table, table_row, table_rows  # noqa: E402
from flexlam_jax.planning.search import flags as settings  # noqa: E402
from flexlam_jax.planning.search import remedies, search  # noqa: E402
from flexlam_jax.planning.topology import describe_devices, has_compiler, parse_topology  # noqa: E402

_CONFIG = cli.define_config()
_TOPOLOGY = flags.DEFINE_string("topology", None, "As v5e-256, v5p-64 (cores), or v5p:4x4x12.")
_SLICES = flags.DEFINE_integer(
    "slices", 1, "Slices of that topology, joined by the network; or --topology=2xv5e-256."
)
_SEARCH = flags.DEFINE_bool("search", False, "Try batch size x remat policy x mesh.")
_LIMIT = flags.DEFINE_integer("limit", 12, "Compilations that --search may do.", lower_bound=1)
_BEST = flags.DEFINE_integer("best", 3, "Plans that --search prints.", lower_bound=1)
_JSON = flags.DEFINE_string("json", None, "Appends every plan to this file, a JSON row each.")
_WEAK = flags.DEFINE_integer(
    "weak_scaling",
    None,
    "Counts collectives and state per device on 1, "
    "2, ... up to this many virtual CPU devices instead, with the "
    "config's batch on each.",
    lower_bound=1,
)
_TABLE = flags.DEFINE_string("table", None, "Writes the table of all presets to this file.")
_ROWS = flags.DEFINE_string(
    "rows",
    "",
    "Rows of --table to compile: a regular expression, looked for in 'PRESET:VARIANT TOPOLOGY'.",
)

# (preset:variant, topologies) of the table; each preset as it is configured.
TABLE = (
    ("debug", ("v5e-8",)),
    ("doom", ("v5e-8",)),
    ("vit256", ("v5e-8",)),
    ("base:224", ("v5e-16", "v5e-256")),
    ("large:224", ("v5e-64",)),
    ("xl:224", ("v5e-256", "v5p-64", "v6e-64", "v4-64")),
    ("hilam:pod", ("v5e-64",)),
    ("tokenizer:st", ("v5e-8",)),
    ("dynamics:genie", ("v5e-1", "v5e-4")),
)
MARK = "<!-- From here on written by the command. -->"


def main(argv):
    del argv
    for path in filter(None, (_JSON.value, _TABLE.value)):
        _check_writable(path)
    if _TABLE.value:
        return _write_table(_TABLE.value)
    if _CONFIG.value is None or not (_TOPOLOGY.value or _WEAK.value):
        raise UserError("give --config=PRESET and --topology=NAME, or --table=FILE")
    if _WEAK.value:
        return _weak_scaling(_WEAK.value)
    topology = parse_topology(_TOPOLOGY.value, _SLICES.value)
    devices = _devices(topology)  # Before a model is built: it decides how many devices there are.
    config = as_run(cli.config_value(_CONFIG))
    if _SEARCH.value:
        return _search(config, topology, devices)
    made = plan(config, topology, devices, on_paper)
    _record(made)
    print(describe(made))
    if not made.fits:
        _mend(config, topology, devices)
        sys.exit(1)


def _devices(topology):
    if has_compiler():
        return describe_devices(topology)
    jax.config.update("jax_num_cpu_devices", topology.chips)
    return jax.devices()


def _weak_scaling(most):
    # Collectives and arguments are settled before machine code is made, which takes the time.
    jax.config.update("jax_disable_most_optimizations", True)
    jax.config.update("jax_num_cpu_devices", most)
    config = as_run(cli.config_value(_CONFIG))
    counts = [2**n for n in range(1, most.bit_length()) if 2**n <= most]
    rows = [scaling.scaled(config, "data", 1, on_paper)]
    rows += [scaling.scaled(config, axis, n, on_paper) for axis in ("data", "fsdp") for n in counts]
    print(scaling.table(rows))


def _search(config, topology, devices):
    plans = search(
        config,
        topology,
        lambda c: plan(c, topology, devices, on_paper),
        limit=_LIMIT.value,
        told=_told,
    )
    if not plans:
        raise UserError(
            "nothing to search: no setting near those of the config divides over "
            f"{topology.chips} chips and compiles; choose a config.batch_size that is a multiple "
            f"of {topology.chips}"
        )
    fitting = [p for p in plans if p.fits]
    print(
        f"\n{len(plans)} settings compiled, {len(fitting)} fit; the best, most transitions per "
        "second first:"
    )
    for made in (fitting or plans)[: _BEST.value]:
        print(f"\n{settings(made)}\n{describe(made)}")
    sys.exit(0 if fitting else 1)


def _mend(config, topology, devices):
    """Says which change makes the run fit; the cheapest that does, found by compiling it."""
    for change, other in remedies(config, topology):
        print(f"trying {change} ...", flush=True)
        try:
            made = plan(other, topology, devices, on_paper)
        except UserError as error:  # A mesh that does not divide this model, say.
            print(f"  not possible: {error}")
            continue
        _record(made)
        if made.fits:
            print(f"\nThis would fit: {change}\n{describe(made)}")
            return
    print(
        "No remat policy, mesh or accumulation tried makes the batch fit; take a smaller "
        "config.batch_size, or a larger topology."
    )


def _told(settings_tried, outcome):
    if isinstance(outcome, Exception):
        verdict = f"not possible: {str(outcome).splitlines()[0]}"
    else:
        _record(outcome)
        verdict = (
            f"at most {outcome.rate:.0f} transitions/s"
            if outcome.fits
            else f"does not fit, {outcome.needed / GIB:.1f} of {outcome.limit / GIB:.1f} GiB"
        )
    print(f"{settings_tried}: {verdict}", flush=True)


def _check_writable(path):
    """Before minutes of compilation."""
    try:
        with open(path, "a"):
            pass
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


def _record(made, name=None):
    if _JSON.value:
        with open(_JSON.value, "a") as file:
            name = name or sys.argv[1:]
            file.write(json.dumps({"run": name, "jax": jax.__version__, **made.row()}) + "\n")


def _write_table(path):
    """Writes a row as soon as it is compiled, in the place of the file's row of that preset and
    topology. What stands above MARK in the file stays, and so do rows that --rows leaves out.
    """
    for preset, name in [(preset, name) for preset, names in TABLE for name in names]:
        if not re.search(_ROWS.value, f"{preset} {name}"):
            continue
        module, _, variant = preset.partition(":")
        topology = parse_topology(name)
        devices = _devices(topology)
        config = importlib.import_module(f"experiments.configs.{module}").get_config(variant)
        made = plan(as_run(config), topology, devices, on_paper)
        _record(made, preset)
        print(f"{preset} on {name}: {'fits' if made.fits else 'does not fit'}", flush=True)
        # Read again: another process may have written its rows meanwhile.
        text, _, old = open(path).read().partition(MARK)
        rows = table_rows(old) | {(preset, name): table_row(preset, made)}
        order = [(preset, name) for preset, names in TABLE for name in names]
        with open(path, "w") as file:
            file.write(
                f"{text.rstrip()}\n\n{MARK}\n\n`python -m experiments.plan_pod "
                f"--table={path}`, jax {jax.__version__}, compiler: {made.compiler}.\n\n"
                f"{table(rows[key] for key in order if key in rows)}\n"
            )


if __name__ == "__main__":
    cli.run(main)
