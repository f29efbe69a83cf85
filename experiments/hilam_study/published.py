"""What HiLAM's paper reports (arXiv 2603.05815), for the tables that stand beside ours.

Success rates on LIBERO-Long, of ten tasks with 50 demonstrations each; no intervals are given.
"""

from flexlam_jax.reports.results import Column, Table

DIFFERS = (
    "Published numbers are of LIBERO-Long: two cameras, 50 demonstrations by people for each of ten "
    "tasks, skills and policies first learned from Something-Something V2 or DROID and BridgeData V2, "
    "and 100,000 steps before and after. Ours are of scripted demonstrations of the simulator named "
    "above, whose own video stands for the video without actions, by small models for few steps. So "
    "compare what changes from row to row, not the numbers."
)
_CURVE = {10: (0.23, 0.45), 30: (0.67, 0.74), 50: (0.71, 0.84), 80: (0.86, 0.87), 100: (0.86, 0.94)}
_ABLATION = (
    ("BAKU", "robot", "-", "z0", 0.87),
    ("BAKU", "robot", "-", "z2", 0.81),
    ("BAKU", "human", "-", "z0", 0.91),
    ("BAKU", "human", "-", "z2", 0.87),
    ("HiLAM", "none", "-", "-", 0.67),
    ("HiLAM", "robot", "z1", "z0", 0.90),
    ("HiLAM", "robot", "z2", "z0", 0.90),
    ("HiLAM", "robot", "z2", "z1", 0.87),
    ("HiLAM", "human", "z1", "z0", 0.89),
    ("HiLAM", "human", "z2", "z0", 0.94),
    ("HiLAM", "human", "z2", "z1", 0.89),
)


def curve() -> Table:
    """Success by share of the demonstrations."""
    rows = [
        {"share": share, "baku": f"{baku:.2f}", "hilam": f"{hilam:.2f}"}
        for share, (baku, hilam) in _CURVE.items()
    ]
    columns = [
        Column("share", "demonstrations, %"),
        Column("baku", "BAKU"),
        Column("hilam", "HiLAM"),
    ]
    return Table("Published: by share of the demonstrations", rows, columns, caption=DIFFERS)


def ablation() -> Table:
    """Success by stage and by what is learned first, all demonstrations."""
    names = ("model", "video", "skill", "action", "success")
    rows = [
        {**dict(zip(names, row, strict=True)), "success": f"{row[-1]:.2f}"} for row in _ABLATION
    ]
    return Table("Published: stages and video", rows, [Column(name, name) for name in names])
