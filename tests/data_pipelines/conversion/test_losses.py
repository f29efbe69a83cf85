"""--max-failures is a share of the episodes and of the time, not of the files."""

import pytest

from data_pipelines.conversion.build import prepare
from data_pipelines.conversion.losses import Loss, allowed, budget, certain_loss, weigh
from data_pipelines.errors import DataError
from data_pipelines.format.manifest import read_manifest
from data_pipelines.readers.recordings import Item, Plan, Skipped
from data_pipelines.tools.counting import notes
from tests.data_pipelines.conversion.crates import make_options

CRATES = "tests.data_pipelines.conversion.crates"


def failed(name="x", **facts):
    return Skipped(name, "unreadable", "damaged", **facts)


def test_a_failure_counts_the_episodes_it_knows():
    kept = {"a": 1, "b": 1}
    assert weigh([failed(episodes=7)], kept, 20) == Loss(7, 9)
    assert weigh([failed(), failed(episodes=0)], kept, 20) == Loss(1, 3)
    assert weigh([failed(episodes=7, expected=True)], kept, 20) == Loss(0, 2)


def test_an_unknown_file_counts_as_many_as_the_others_hold():
    by_demo = {f"{file}.hdf5:demo_{i}": 1 for file in "ab" for i in range(5)}
    assert weigh([failed("c.hdf5", episodes=None)], by_demo, 100) == Loss(5, 15, True)
    by_shard = {"shard 0": 40, "shard 1": 20, "shard 2": 0}
    assert weigh([failed("shard 2", episodes=None)], by_shard, 100) == Loss(30, 90, True)
    assert weigh([failed("gone", episodes=None)], {}, 0) == Loss(1, 1, True)


def test_what_was_read_before_the_damage_is_not_lost():
    kept = {"shard 0": 10, "shard 1": 8}
    assert weigh([failed("shard 1", episodes=None)], kept, 100) == Loss(2, 20, True)
    assert weigh([failed("shard 1", episodes=None)], kept | {"shard 1": 12}, 100).lost == 1


def test_two_hours_among_short_clips_are_not_one_episode_of_a_hundred():
    kept = {f"{i}": 1 for i in range(99)}
    assert weigh([failed(frames=72_000)], kept, 99 * 100) == Loss(720, 819, True)
    assert weigh([failed(frames=3)], kept, 99 * 100) == Loss(1, 100)


def test_a_lone_episode_may_always_fail_and_shares_are_not_lost_to_rounding():
    assert [allowed(0.0, 50), allowed(0.1, 9), allowed(0.29, 100), allowed(1.0, 3)] == [1, 1, 29, 3]


def test_the_early_stop_never_stops_what_the_final_rule_lets_pass():
    """All small cases: `lost` of `total` one-episode items fail, `before` more in the plan."""
    for share in (0.0, 0.1, 0.3, 0.5, 0.9, 1.0):
        for total in range(1, 14):
            for before in range(4):
                skipped = [failed(f"p{i}") for i in range(before)]
                limit = budget(Plan([], [Item(f"{i}") for i in range(total)], skipped), share)
                for lost in range(total):
                    entries = skipped + [failed(f"{i}") for i in range(lost)]
                    kept = {f"{i}": int(i >= lost) for i in range(total)}
                    final = weigh(entries, kept, 10 * (total - lost))
                    stops = limit.exceeded(lost)
                    assert stops == (final.lost > allowed(share, final.total))


def test_no_budget_where_nobody_knows_how_much_there_is():
    items = [Item("a", episodes=3), Item("b", episodes=None)]
    assert budget(Plan([], items), 0.1) is None
    assert budget(Plan([], items[:1], one_recording_per_item=False), 0.1) is None


def test_what_is_certainly_lost_is_never_more_than_an_item_can_hold():
    assert certain_loss(Item("a"), 0, [failed(episodes=5)]) == 1
    assert certain_loss(Item("a", episodes=9), 4, [failed(), failed(episodes=None)]) == 2
    assert certain_loss(Item("a", episodes=None), 0, [failed(episodes=5)]) == 5


def test_three_of_ten_files_are_thirty_percent_of_the_demonstrations(tmp_path):
    demos = {f"{file}.h5:demo_{i}": 1 for file in "abcdefg" for i in range(5)}
    options = make_options(crates=demos, unopened=["x.h5", "y.h5", "z.h5"])
    message = (
        r"15 of about 50 episodes \(30 %\) cannot be used, more than --max-failures=0.1 allows; "
        r"first: x.h5: unreadable \(x.h5: damaged\); in all: 3 unreadable\. Mend"
    )
    with pytest.raises(DataError, match=message):
        prepare(CRATES, tmp_path / "data", options)
    prepare(CRATES, tmp_path / "data", options | {"max_failures": 0.3})
    manifest = read_manifest(tmp_path / "data")
    assert manifest["missing"] == {"episodes": 15, "share": 0.3, "estimated": True}
    assert ["y.h5", "unreadable", "y.h5: damaged"] in manifest["skipped_items"]


@pytest.mark.parametrize("known", [True, False])
def test_episodes_before_the_damage_are_kept_and_the_rest_is_counted(tmp_path, known):
    crates = {"a": 10, "b": 10, "c": 10}
    options = make_options(crates=crates, breaks={"b": 3}, known=known)
    with pytest.raises(DataError, match=r"7 of (about )?30 episodes \(23.3 %\).*first: b: damaged"):
        prepare(CRATES, tmp_path / "data", options)
    prepare(CRATES, tmp_path / "data", options | {"max_failures": 0.25})
    manifest = read_manifest(tmp_path / "data")
    assert manifest["episodes"] == 23 and manifest["missing"]["episodes"] == 7


def test_an_error_that_knows_its_frames_is_weighed_by_time(tmp_path):
    options = make_options(crates={"a": 10, "b": 3}, breaks={"b": 2}, known=True, lost_frames=600)
    with pytest.raises(DataError, match="100 of about 112 episodes"):
        prepare(CRATES, tmp_path / "data", options)


def test_nothing_missing_leaves_no_trace_and_no_item_at_all_tells_why(tmp_path):
    prepare(CRATES, tmp_path / "data", make_options(crates={"a": 4}))
    assert "missing" not in read_manifest(tmp_path / "data")
    with pytest.raises(DataError, match="holds nothing to read; first: x: unreadable .x: damaged"):
        prepare(CRATES, tmp_path / "none", make_options(unopened=["x"]))
    with pytest.raises(DataError, match="no episode could be read; first: a: damaged .a: cut"):
        prepare(CRATES, tmp_path / "none", make_options(crates={"a": 4}, breaks={"a": 0}))


def test_a_source_of_mostly_empty_texts_says_so_and_what_was_passed_over(tmp_path):
    texts = {"a/0": "open the drawer", "a/1": "  "}
    others = {
        ".ts": {"files": 3, "example": "a/b.ts"},
        ".txt": {"files": 1, "example": "readme.txt"},
    }
    options = make_options(crates={"a": 4}, texts=texts, passed_over=others)
    prepare(CRATES, tmp_path / "data", options)
    manifest = read_manifest(tmp_path / "data")
    assert manifest["language"] == {"recordings": 4, "empty": 3}
    assert manifest["passed_over"][".txt"]["files"] == 1
    assert notes(manifest) == [
        "warning: 3 of 4 recordings have an empty text (language)",
        "passed over: 3 .ts files (a/b.ts, ...)",
    ]


def test_leaks_that_were_accepted_are_told():
    manifest = {"leakage_check": {"windows": 9, "leaks": ["a in train and b in test", "c and d"]}}
    (line,) = notes(manifest)
    assert line.startswith("warning: 2 pairs of episodes") and "a in train and b in test" in line
