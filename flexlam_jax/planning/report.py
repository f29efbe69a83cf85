"""Plans as text for the terminal, and as a Markdown table."""

from collections.abc import Iterable

from flexlam_jax.planning.chips import GIB
from flexlam_jax.planning.plan import Plan

HOW_TO_READ = """\
One row is one training step, compiled for chips that are not there. Peak is the memory of a device
that is in use at the worst moment, by the compiler's own count, against what a program may use.
Sent: bytes of collectives per device and step, loop bodies counted once per iteration. The three
times are least times: work over the data sheet's rate, for matrix products (with recomputation),
main memory, and interconnect (network between slices included). MFU lies between the two numbers:
all three one after another, and all overlapped. No kernel reaches the data sheet's rate."""


def describe(plan: Plan) -> str:
    """One plan, over a dozen lines."""
    lines = [
        f"{plan.topology}: {plan.chips} chips, mesh {_mesh(plan)}",
        f"{plan.parameters / 1e6:.1f} M parameters, batch {plan.batch_size} clips = "
        f"{plan.transitions} transitions, accumulate {plan.accumulate}, remat {plan.remat}"]
    if plan.compiler != "tpu":
        lines.append(
            "NOTE: libtpu is not installed, so this was compiled by the CPU compiler for virtual "
            "devices. Memory\nand traffic are that compiler's, not a TPU's: a first look only. "
            "`pip install 'flexlam_jax[tpu]'`")
    if plan.memory is not None:
        lines += _measured(plan)
    verdict = f"{plan.needed / GIB:.2f} GiB of {plan.limit / GIB:.2f} GiB per device"
    lines.append(f"FITS: {verdict}" if plan.fits else
                 f"DOES NOT FIT: {verdict}, {(plan.needed - plan.limit) / GIB:.2f} GiB too much")
    return "\n".join(lines)


def _measured(plan: Plan) -> list[str]:
    memory, roof = plan.memory, plan.roofline
    lines = ["per device:"]
    for name in ("argument", "temporary", "output", "alias", "peak"):
        note = {"alias": "  (of output, in donated arguments)",
                "temporary": "  (may share space)"}.get(name, "")
        lines.append(f"  {name:<10}{getattr(memory, name) / GIB:9.3f} GiB{note}")
    lines.append("collectives per step:")
    for kind, entry in plan.collectives.items():
        lines.append(f"  {kind:<20}{entry['count']:6d} x  {entry['bytes'] / 1e6:12.3f} MB")
    if not plan.collectives:
        lines.append("  none")
    low, high = roof.mfu
    return lines + [
        f"FLOPs per step: model {plan.model_flops:.3e}, with recomputation "
        f"{plan.executed_flops:.3e}",
        "least time per step:",
        f"  compute      {roof.compute * 1e3:10.3f} ms",
        f"  memory       {roof.memory * 1e3:10.3f} ms",
        f"  interconnect {roof.interconnect * 1e3:10.3f} ms",
        f"  network      {roof.network * 1e3:10.3f} ms  (between slices)",
        f"  a step takes {roof.overlapped * 1e3:.3f} ms if all overlaps, {roof.serial * 1e3:.3f} "
        f"ms if nothing does; bound by {roof.bound}",
        f"  MFU at most  {100 * low:.1f} % to {100 * high:.1f} %",
        f"compiled in {plan.seconds:.0f} s"]


def table(named: Iterable[tuple[str, Plan]]) -> str:
    """A Markdown table, one row per (name, plan)."""
    head = ("preset", "topology", "mesh", "transitions", "remat", "argument GiB", "temporary GiB",
            "peak / HBM GiB", "collectives", "sent MB", "TFLOP", "compute / memory / link ms",
            "MFU ≤ %", "fits")
    rows = [head, ("---",) * len(head)]
    for name, plan in named:
        peak = f"{plan.needed / GIB:.2f} / {plan.limit / GIB:.2f}"
        start = (name, plan.topology, _mesh(plan), str(plan.transitions),
                 plan.remat + (f", {plan.accumulate} parts" if plan.accumulate > 1 else ""))
        if plan.memory is None:
            rows.append((*start, "", "", peak, "", "", "", "", "", "no"))
            continue
        roof, total = plan.roofline, plan.collectives.values()
        rows.append((
            *start, f"{plan.memory.argument / GIB:.2f}", f"{plan.memory.temporary / GIB:.2f}",
            peak, str(sum(entry["count"] for entry in total)),
            f"{sum(entry['bytes'] for entry in total) / 1e6:.1f}",
            f"{plan.model_flops / 1e12:.1f}",
            f"{roof.compute * 1e3:.2f} / {roof.memory * 1e3:.2f} / "
            f"{(roof.interconnect + roof.network) * 1e3:.2f}",
            f"{100 * roof.mfu[0]:.0f} - {100 * roof.mfu[1]:.0f}", "yes" if plan.fits else "no"))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _mesh(plan: Plan) -> str:
    return " x ".join(f"{axis} {size}" for axis, size in plan.mesh.items() if size > 1) or "1"
