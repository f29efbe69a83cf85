"""Plans as text for the terminal, and as a Markdown table."""

from collections.abc import Iterable

from flexlam_jax.parallel.streams import is_streams
from flexlam_jax.planning.chips import GIB
from flexlam_jax.planning.plan import Plan

_NOTES = {
    "argument": "state and batch",
    "temporary": "may take turns in the same space",
    "output": "new state and metrics",
    "alias": "of the output, in the place of the old state",
    "peak": "most that is in use at one time: what must fit",
}

_HEAD = (
    "preset",
    "topology",
    "mesh",
    "transitions",
    "remat",
    "argument GiB",
    "temporary GiB",
    "peak / HBM GiB",
    "collectives",
    "MB moved by them",
    "summed in",
    "TFLOP",
    "compute / memory (least) / link ms",
    "MFU ≤ %",
    "fits",
)


def describe(plan: Plan) -> str:
    """One plan, over a screen; whether it fits comes first."""
    lines = [_verdict(plan)]
    if plan.compiler != "tpu":
        lines.append(
            "NOT A TPU'S NUMBERS: libtpu is not installed, so the CPU compiler compiled this for "
            "virtual devices.\nMesh, batch and state are right; temporaries, collectives and times "
            "are a first look. `pip install 'flexlam_jax[tpu]'`"
        )
    lines.append(
        f"{plan.parameters / 1e6:.1f} M parameters, batch {_batch(plan)} = "
        f"{plan.transitions} transitions in {_count(plan.accumulate, 'part')}, remat {plan.remat or '-'}"
    )
    if plan.memory is not None:
        lines += [*_memory(plan), *_sent(plan), *_time(plan), f"compiled in {plan.seconds:.0f} s"]
    return "\n".join(lines)


def _verdict(plan: Plan) -> str:
    size = f"{plan.needed / GIB:.2f} of {plan.limit / GIB:.2f} GiB per device"
    where = f"on {plan.topology} ({_count(plan.chips, 'chip')}, mesh {_mesh(plan)})"
    if plan.fits:
        return f"FITS: {size}, {where}"
    return f"DOES NOT FIT: {size}, {(plan.needed - plan.limit) / GIB:.2f} GiB too much, {where}"


def _memory(plan: Plan) -> list[str]:
    return (
        ["memory per device"]
        + [
            f"  {name:<16}{getattr(plan.memory, name) / GIB:12.3f} GiB   {note}"
            for name, note in _NOTES.items()
        ]
        + [
            f"  {'not split':<16}{plan.whole / GIB:12.3f} GiB   large arrays of the state that "
            "the fsdp axis does not divide"
        ]
    )


def _sent(plan: Plan) -> list[str]:
    lines = ["collectives per device and step"]
    for kind, entry in plan.collectives.items():
        lines.append(
            f"  {kind:<20}{entry['count']:>8} x {_mb(entry['bytes'])}   {_types(entry['types'])}"
        )
    if not plan.collectives:
        return lines + ["  none"]
    return lines + [
        f"  sums over devices: {_types(plan.summed) or 'none'} (gradients, in f32; and what the "
        "compiler gathers by summing)",
        f"  sent within a slice {_mb(plan.roofline.sent['interconnect'])}, between slices "
        f"{_mb(plan.roofline.sent['network'])}",
    ]


def _time(plan: Plan) -> list[str]:
    roof = plan.roofline
    low, high = roof.mfu
    per_device = plan.executed_flops / plan.chips
    lines = ["least time of a step: work over the rate of the data sheet"]
    for name, note in (
        ("compute", f"{per_device:.3e} FLOPs of matrix products, recomputation included"),
        (
            "memory",
            f"as compiled (estimate); {roof.memory_least * 1e3:.2f} ms if operands and "
            "results of products moved once",
        ),
        ("interconnect", "chips of a slice"),
        ("network", "between slices"),
    ):
        lines.append(f"  {name:<16}{getattr(roof, name) * 1e3:12.2f} ms    {note}")
    return lines + [
        f"  in all          {roof.overlapped * 1e3:12.2f} ms    if all overlaps (bound by "
        f"{roof.bound}), {roof.serial * 1e3:.2f} ms if nothing does",
        f"model FLOPs per step {plan.model_flops:.3e}; MFU at most {100 * high:.0f} % if all "
        f"overlaps, {100 * low:.0f} % if nothing does",
    ]


def table(rows: Iterable[str]) -> str:
    """A Markdown table of lines by `table_row`."""
    return "\n".join([_line(_HEAD), _line(["---"] * len(_HEAD)), *rows])


def table_row(name: str, plan: Plan) -> str:
    """One line of the table, for a preset called `name`."""
    peak = f"{plan.needed / GIB:.2f} / {plan.limit / GIB:.2f}"
    start = (
        name,
        plan.topology,
        _mesh(plan),
        str(plan.transitions),
        plan.remat + (f", {plan.accumulate} parts" if plan.accumulate > 1 else ""),
    )
    if plan.memory is None:
        return _line((*start, "", "", peak, *[""] * 6, "no"))
    roof, total = plan.roofline, plan.collectives.values()
    return _line(
        (
            *start,
            f"{plan.memory.argument / GIB:.2f}",
            f"{plan.memory.temporary / GIB:.2f}",
            peak,
            str(sum(entry["count"] for entry in total)),
            f"{sum(entry['bytes'] for entry in total) / 1e6:.1f}",
            max(plan.summed, key=plan.summed.get) if plan.summed else "",
            f"{plan.model_flops / 1e12:.1f}",
            f"{roof.compute * 1e3:.2f} / {roof.memory * 1e3:.2f} ({roof.memory_least * 1e3:.2f}) / "
            f"{(roof.interconnect + roof.network) * 1e3:.2f}",
            f"{100 * roof.mfu[0]:.0f} - {100 * roof.mfu[1]:.0f}",
            "yes" if plan.fits else "no",
        )
    )


def table_rows(text: str) -> dict[tuple[str, str], str]:
    """{(preset, topology): line} of a table that `table` wrote; {} if its columns were others."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    if lines[:1] != [_line(_HEAD)]:
        return {}
    return {tuple(line.strip("| ").split(" | ")[:2]): line for line in lines[2:]}


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _types(types: dict[str, float]) -> str:
    """ "f32 231.6 MB, bf16 0.2 MB", the largest first."""
    largest = sorted(types.items(), key=lambda item: -item[1])
    return ", ".join(f"{dtype} {size / 1e6:.1f} MB" for dtype, size in largest)


def _mb(size: float) -> str:
    return f"{size / 1e6:12.3f} MB"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _batch(plan: Plan) -> str:
    if is_streams(plan.batch_size):
        return " + ".join(f"{rows} {stream} rows" for stream, rows in plan.batch_size.items())
    return f"{plan.batch_size} rows"


def _mesh(plan: Plan) -> str:
    return " x ".join(f"{axis} {size}" for axis, size in plan.mesh.items() if size > 1) or "1"
