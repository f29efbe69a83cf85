"""A study of the hierarchy: which commands it runs, and what it says of what they wrote."""

import json

import numpy as np
import pytest

from experiments.hilam_study import page
from experiments.hilam_study.arms import ARMS, BAKU, HILAM, prefix_arms
from experiments.hilam_study.pieces import EVALUATION, GALLERY, Cell, pieces
from experiments.hilam_study.rates import as_csv, number_of, points
from experiments.hilam_study.settings import Presets, Settings
from experiments.pieces.piece import identities
from flexlam_jax.reports.results import Table
from tests.experiments.command_lines import run_lines


def settings(out, *names, prefixes=(), **changes):
    arms = tuple(arm for arm in ARMS if arm.name in names)
    values = {
        "out": out,
        "presets": Presets("lam.py", "hilam.py:debug", "baku.py:high", "baku.py:light"),
        "simulator": "ogbench",
        "tasks": ("drawer", "window"),
        "demonstrations": 50,
        "size": 64,
        "data": "",
        "cameras": ("front", "side"),
        "gap": 3,
        "suite": "ogbench",
        "protocol": "",
        "episodes": 50,
        "execute": 0,
        "arms": (*arms, *prefix_arms(prefixes)),
        "shares": (10, 100),
        "seeds": (0, 3),
    }
    return Settings(**values | changes)


def of(out, *names, **changes):
    return {piece.name: piece for piece in pieces(settings(out, *names, **changes))}


def test_what_acts_otherwise_is_evaluated_beside(tmp_path):
    mean, first = (of(tmp_path, BAKU, execute=execute) for execute in (0, 5))
    assert set(mean) ^ set(first) == {
        f"seed{seed}/evaluation/baku_{share}{end}"
        for seed in (0, 3)
        for share in (10, 100)
        for end in ("", "_do5")
    }
    assert {"--noensemble", "--execute=5"} <= set(first["seed0/evaluation/baku_10_do5"].flags)
    assert "--noensemble" not in mean["seed0/evaluation/baku_10"].flags


def test_pieces_come_after_what_they_read_and_once(tmp_path):
    every = pieces(settings(tmp_path, *[arm.name for arm in ARMS], prefixes=(1,)))
    names = [piece.name for piece in every]
    assert len(set(names)) == len(names)
    for number, piece in enumerate(every):
        assert set(piece.reads) <= set(names[:number])
        # What a command is given of this study is what it reads, so that nothing starts too early.
        given = {name for name in names if any(f"{tmp_path / name}" in f for f in piece.flags)}
        near = {name for name in given - {piece.name} if not piece.name.startswith(name)}
        exact = {name for name in near if not any(o != name and o.startswith(name) for o in near)}
        assert exact - {"data"} <= set(piece.reads)
    assert names[0] == "data" and sum(piece.gives == GALLERY for piece in every) == 2 * 3
    assert len({piece.cell for piece in every if piece.gives == EVALUATION}) == 2 * (2 * 2 + 11)


def test_a_hierarchy_learns_of_all_video_and_acts_by_a_share(tmp_path):
    found = of(tmp_path, HILAM)
    out, skills = tmp_path / "seed0", "seed0/skills/flexlam_z2_learned"
    high = found["seed0/high/flexlam_z2_learned"]
    assert "--config.predicts.columns=('skill',)" in high.flags and high.reads == (skills,)
    assert not any("episodes" in flag or "text.kind" in flag for flag in high.flags)
    predicted = found["seed0/predicted/flexlam_z2_learned"]
    assert f"--policy={out / 'high/flexlam_z2_learned'}" in predicted.flags
    before = found["seed0/from_video/predicted_flexlam_z2_learned_to_z0"]
    assert "--config.predicts.columns=('slots',)" in before.flags
    assert not any("episodes" in flag for flag in before.flags)
    low = found["seed0/acting/hilam_10"]
    assert {"--config.data.episodes=0.1", "--config.reads.skill=skill"} <= set(low.flags)
    assert (
        f"--config.init_from.low.path={out / 'from_video/predicted_flexlam_z2_learned_to_z0'}"
        in low.flags
    )
    assert (
        f"--config.reads.like={out / 'from_video/predicted_flexlam_z2_learned_to_z0'}" in low.flags
    )
    for piece in (before, low):  # It acts by what it will be told.
        (columns,) = [flag for flag in piece.flags if "sidecars" in flag]
        assert f"'skill': {{'path': '{out / 'predicted/flexlam_z2_learned'}'" in columns
        assert predicted.name in piece.reads
    whole = found["seed0/acting/hilam_100"]
    assert not any("episodes" in flag for flag in whole.flags)
    played = found["seed0/evaluation/hilam_10"]
    assert played.cell == Cell(HILAM, 10, 0)
    assert f"--policy={out / 'high/flexlam_z2_learned'}" in played.flags
    assert f"--low={out / 'acting/hilam_10'}" in played.flags


def test_flat_and_changed_arms(tmp_path):
    names = (BAKU, "baku_z2", "hilam_none", "hilam_z2_z1", "hilam_jump")
    found = of(tmp_path, *names, seeds=(0,))
    flat = found["seed0/acting/baku_10"]
    assert flat.reads == ("data",) and not any("sidecars" in flag for flag in flat.flags)
    assert "--config.data.gap=3" in flat.flags  # the same instants as those of latent actions
    assert not any(flag.startswith("--low") for flag in found["seed0/evaluation/baku_10"].flags)
    assert "seed0/acting/baku_z2_10" not in found  # only the curve has all shares
    (sidecars,) = [f for f in found["seed0/from_video/flexlam_to_z2"].flags if "sidecars" in f]
    assert "'target'" in sidecars and "flexlam_z2_learned" in sidecars and "'skill'}" in sidecars
    none = found["seed0/acting/hilam_none_100"]
    assert not any("init_from" in flag for flag in none.flags)
    assert "seed0/skills/flexlam_z1_learned" in found
    jump = found["seed0/acting/hilam_jump_100"]
    assert "seed0/predicted/flexlam_z2_jump" in jump.reads
    assert found["seed0/high/flexlam_z2_jump"].reads == ("seed0/skills/flexlam_z2_jump",)
    seen = of(tmp_path, "hilam_found")["seed0/acting/hilam_found_100"]
    assert "seed0/skills/flexlam_z2_learned" in seen.reads
    random = of(tmp_path, "hilam_random")["seed3/skills/flexlam_z2_random"]
    assert {"--cuts=random", "--stage=2", "--seed=3"} <= set(random.flags)
    few = of(tmp_path, "hilam_none", shares=(10,))
    high = few["seed0/high/flexlam_z2_learned_10"]
    assert "--config.data.episodes=0.1" in high.flags


def test_a_prefix_stands_beside_a_model_of_so_many_slots(tmp_path):
    found = of(tmp_path, prefixes=(2,), seeds=(0,))
    fixed = found["seed0/lam/fixed_2"]
    assert {"--config=lam.py:fixed=2", "--config.model.slots=2"} <= set(fixed.flags)
    assert "--config.model.keep=2" in found["seed0/hilam/flexlam_k2"].flags
    assert "--config.predicts.keep=2" in (
        found["seed0/from_video/predicted_flexlam_k2_z2_learned_to_z0"].flags
    )
    assert not any("keep" in flag for flag in found["seed0/hilam/fixed_2"].flags)


def test_more_seeds_shares_and_arms_leave_what_is_there(tmp_path):
    few = identities(pieces(settings(tmp_path, HILAM, seeds=(0,))), str(tmp_path))
    more = settings(tmp_path, BAKU, HILAM, "hilam_equal", shares=(10, 50, 100), prefixes=(1,))
    many = identities(pieces(more), str(tmp_path))
    assert few.items() <= many.items() and len(many) > len(few)


def played(rates, episodes=4):
    """task -> seed -> solved, so many of the episodes as the rate says."""
    return {
        task: {seed: float(seed < rate * episodes) for seed in range(episodes)}
        for task, rate in rates.items()
    }


def test_rates_and_differences_are_of_equal_seeds_and_episodes():
    results = {}
    for seed in (0, 1):
        results[Cell(BAKU, 10, seed)] = played({"drawer": 0.25, "window": 0.5})
        results[Cell(HILAM, 10, seed)] = played({"drawer": 0.75, "window": 0.5 + seed / 2})
    found = points(results)
    hilam = number_of(found, HILAM, 10)
    assert hilam.rate.mean == pytest.approx(0.75) and hilam.rate.n == 2
    assert hilam.ahead.mean == pytest.approx(0.375) and hilam.ahead.low < 0.375 < hilam.ahead.high
    assert number_of(found, HILAM, 10, "drawer").ahead.mean == pytest.approx(0.5)
    assert number_of(found, BAKU, 10).ahead is None
    assert number_of(found, HILAM, 50) is None


def test_lost_episodes_are_left_out_of_a_rate_and_of_both_sides_of_a_difference():
    mine, theirs = played({"window": 1.0}), played({"window": 0.5})
    theirs["window"][0] = np.nan
    found = points({Cell(HILAM, 10, 0): mine, Cell(BAKU, 10, 0): theirs})
    assert number_of(found, BAKU, 10).rate.mean == pytest.approx(1 / 3)
    assert number_of(found, HILAM, 10).ahead.mean == pytest.approx(2 / 3)
    assert "hilam,10,0,window,0,1\n" in as_csv({Cell(HILAM, 10, 0): mine})
    assert "baku,10,0,window,0,lost\n" in as_csv({Cell(BAKU, 10, 0): theirs})


def test_pages_hold_every_table_with_the_published_ones_beside(tmp_path):
    asked = settings(tmp_path, BAKU, HILAM, "hilam_jump", prefixes=(1,))
    results = {
        Cell(arm, share, seed): played({"drawer": 0.5, "window": 0.75})
        for seed, arm, share in ((seed, arm.name, share) for seed, arm, share in asked.cells())
    }
    found = points(results)
    shown = {table.title.partition(",")[0]: table for table in page.tables(found, asked)}
    assert list(shown) == [
        "By share of the demonstrations",
        "Stages",
        "HiLAM by what z^0 is",
        "By task",
    ]
    assert [row["share"] for row in shown["By share of the demonstrations"].rows] == [10, 100]
    assert [row["cuts"] for row in shown["Stages"].rows] == ["-", "learned", "jump"]
    prefix = shown["HiLAM by what z^0 is"].rows[0]
    assert prefix["k"] == 1 and prefix["flex"].mean == prefix["fixed"].mean == 0.625
    times = Table("Time", [], [])
    text = page.markdown(found, asked, {"command": "c"}, times)
    assert "| 10 | 0.23 | 0.45 |" in text and "LIBERO-Long" in text
    shown = page.html(found, asked, {"command": "c"}, times, ["a/gallery.html"])
    assert 'src="a/gallery.html"' in shown and "Curve" in shown
    assert "<svg" in page.svg(found)
    json.dumps(asked.told())


def test_what_cannot_be_compared_is_refused(tmp_path):
    out = f"--out={tmp_path / 'out'}"
    told = {
        "unknown wider": "--arms=baku,wider",
        "at most 100": "--shares=10,120",
        "never at 9": "--prefixes=9",
        "nobody can act in": "--simulator=ssv2",
        "has no task 'fly'": "--tasks=fly",
        "ogbench has no top": "--cameras=top",
        "give one of a LAM": "--lam_config=experiments/configs/hilam.py",
        "the same square pictures": "--policy_config=experiments/configs/baku.py",
    }
    said = run_lines("hilam_study.command", [[out, flag] for flag in told.values()])
    for (code, _, text, _), expected in zip(said, told, strict=True):
        assert code and expected in text
    assert not (tmp_path / "out").exists()
