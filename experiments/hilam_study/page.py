"""The curve and the tables of a study: a page in HTML, one in Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.hilam_study import published
from experiments.hilam_study.arms import BAKU, HILAM, LEARNED, Arm, fixed_name, prefix_name
from experiments.hilam_study.rates import MEAN, UNIT, Point, number_of, shares
from experiments.hilam_study.settings import Settings
from flexlam_jax.reports.figure import figure
from flexlam_jax.reports.page import Charts, Facts, Inset, Section, Text, page
from flexlam_jax.reports.results import Column, Curve, Series, Table
from flexlam_jax.reports.tables import as_markdown

TITLE = "HiLAM and BAKU by share of the demonstrations"
INTERVALS = (
    "± is half of a 95 % bootstrap interval over training seeds and episodes; with one seed, seeds "
    "are not in it. A rate of 0 or 1 has none: of n episodes alone the true one may still be up to "
    "3/n away. Ahead of BAKU: the policy minus BAKU with equal seeds, episode by episode."
)
_CURVES = {BAKU: "BAKU", HILAM: "HiLAM"}
_RATE, _AHEAD = Column("rate", "success"), Column("ahead", "ahead of BAKU")


def about(settings: Settings) -> str:
    """What was compared."""
    s = settings
    tasks = f"{_counted(s.tasks, 'task')} of {s.suite} ({', '.join(s.tasks)})"
    recorded = f"{s.demonstrations} scripted demonstrations of each" if not s.data else s.data
    by = f" by the protocol {s.protocol}" if s.protocol else ""
    acted = (
        f"{s.execute} actions of a chunk done before the next is decided"
        if s.execute
        else "actions means of chunks (temporal ensembling)"
    )
    return (
        f"{tasks}, {recorded}; {_counted(s.seeds, 'training seed')}, {s.episodes} episodes of each "
        f"task and policy{by}, {acted}. Latent actions, skills and what policies learn of "
        "video are from all demonstrations without their actions; actions are those of whole "
        "demonstrations, of so many the share says. Every training takes the steps of its preset: what "
        "learns of video first learns twice as long as BAKU."
    )


def _counted(things: Sequence[Any], name: str) -> str:
    return f"{len(things)} {name}{'s' if len(things) > 1 else ''}"


def tables(points: Sequence[Point], settings: Settings) -> list[Table]:
    """By share, by arm, by prefix and by task; those that there are rows of."""
    found = [_by_share(points), _by_arm(points, settings), _by_prefix(points, settings)]
    found.append(_by_task(points, settings))
    return [table for table in found if table.rows]


def curve(points: Sequence[Point]) -> Curve:
    """Success by share."""
    series = [
        Series(name, [(share, point.rate) for share, point in shares(points, arm)])
        for arm, name in _CURVES.items()
    ]
    return Curve(
        "Success by share of the demonstrations",
        [one for one in series if one.points],
        x_label="share of the demonstrations, %",
        y_label=UNIT,
        x_name="%",
    )


def svg(points: Sequence[Point]) -> str:
    """The curve as one picture."""
    return figure([curve(points)])


def html(
    points: Sequence[Point],
    settings: Settings,
    made: Mapping[str, str],
    times: Table,
    galleries: Sequence[str],
) -> str:
    """All as one page without network access; `galleries` are addresses of pages beside it."""
    sections: list[Section] = [Text(about(settings), "about")]
    sections += [Charts("Curve", [curve(points)], INTERVALS), *tables(points, settings)]
    sections += [Inset("Videos and their skills", source) for source in galleries]
    sections += [published.curve(), published.ablation(), times]
    return page(TITLE, [*sections, Facts("How this was made", made)])


def markdown(
    points: Sequence[Point], settings: Settings, made: Mapping[str, str], times: Table
) -> str:
    """The tables for docs/results, where figure.svg lies beside them."""
    told = "\n".join(f"- {name}: {text}" for name, text in made.items())
    parts = [f"# {TITLE}", about(settings), told, f"![{TITLE}](figure.svg)", INTERVALS]
    for table in [*tables(points, settings), published.curve(), published.ablation(), times]:
        parts += [f"## {table.title}", as_markdown(table)]
    return "\n\n".join(parts) + "\n"


def _by_share(points: Sequence[Point]) -> Table:
    rows = []
    for share in sorted({share for arm in _CURVES for share, _ in shares(points, arm)}):
        baku, hilam = (number_of(points, arm, share) for arm in _CURVES)
        rows.append(
            {
                "share": share,
                BAKU: baku and baku.rate,
                HILAM: hilam and hilam.rate,
                "ahead": hilam and hilam.ahead,
            }
        )
    columns = [Column("share", "demonstrations, %")]
    columns += [Column(arm, name) for arm, name in _CURVES.items()]
    title = "By share of the demonstrations"
    return Table(title, rows, [*columns, _AHEAD], index=("share",))


def _by_arm(points: Sequence[Point], settings: Settings) -> Table:
    """Stages, video and cuts, at the largest share."""
    share = settings.shares[-1]
    rows = [
        {
            "arm": arm.about,
            "skill": f"z{arm.skill}" if arm.skill else "-",
            "action": "-" if arm.pretrained is None else f"z{arm.pretrained}",
            "cuts": arm.cuts if arm.skill else "-",
            "rate": point.rate,
            "ahead": point.ahead,
        }
        for arm in settings.arms
        if not _of_prefix(arm) and (point := number_of(points, arm.name, share))
    ]
    columns = [
        Column("arm", "policy"),
        Column("skill", "skill"),
        Column("action", "learned of video"),
    ]
    return Table(
        f"Stages, video and chunks, {share} % of the demonstrations",
        rows,
        [*columns, Column("cuts", "chunks"), _RATE, _AHEAD],
        index=("arm",),
        caption=f"Chunks other than {LEARNED} are as many, with vectors of the same encoder.",
    )


def _by_prefix(points: Sequence[Point], settings: Settings) -> Table:
    """FlexLAM's prefixes beside LAMs of so many slots."""
    share = settings.shares[-1]
    rows = []
    for k in sorted({arm.latents.keep for arm in settings.arms if arm.latents.keep}):
        flex, fixed = (number_of(points, of(k), share) for of in (prefix_name, fixed_name))
        rows.append({"k": k, "flex": flex and flex.rate, "fixed": fixed and fixed.rate})
    columns = [Column("k", "k"), Column("flex", "prefix k of FlexLAM")]
    columns += [Column("fixed", "a LAM of k slots")]
    return Table(
        f"HiLAM by what z^0 is, {share} % of the demonstrations", rows, columns, index=("k",)
    )


def _by_task(points: Sequence[Point], settings: Settings) -> Table:
    tasks = [task for task in dict.fromkeys(one.task for one in points) if task != MEAN]
    rows = []
    for arm in settings.arms if len(tasks) > 1 else ():
        for share, _ in shares(points, arm.name):
            found = {task: number_of(points, arm.name, share, task) for task in tasks}
            numbers = {task: point and point.rate for task, point in found.items()}
            rows.append({"arm": arm.name, "share": share, **numbers})
    columns = [Column("arm", "policy"), Column("share", "%")]
    columns += [Column(task, task) for task in tasks]
    return Table("By task", rows, columns, index=("arm", "share"))


def _of_prefix(arm: Arm) -> bool:
    return bool(arm.latents.keep or arm.latents.slots)
