"""What the binaries that read a model refuse: one message, before any work, nothing written."""

import types

import pytest

from experiments import lam_inputs
from flexlam_jax.errors import UserError
from flexlam_jax.output_folder import LATENTS, REPORT, TRANSLATOR, Claim
from tests.experiments.command_lines import run_lines
from tests.experiments.pretraining import Pretraining
from tests.untrained import save_run

# `flag` is where the output goes, `out` a good place for it.
SHARED = [
    ("--datasets=square,square", "--datasets names square more than once"),
    ("--datasets=", "--datasets= has an empty item"),
    ("--datasets=circle", "holds no dataset 'circle'; it holds: square"),
    ("--data=", "--data= is empty"),
    ("--checkpoint=", "--checkpoint= is empty"),
    ("--step=-1", "-1 is not a non-negative integer"),
    ("stray", "unexpected word stray"),
    ("{flag}=", "{flag}= is empty"),
    ("{flag}={place}/data", "holds a dataset (manifest.json, square), not "),
    ("{flag}={place}/run", "holds checkpoints, not "),
    ("{flag}={place}/theirs", "holds notes.txt, params, not "),
    ("{flag}={place}/theirs/notes.txt", "is a file"),
    ("{flag}={place}/held", "is in use by pid "),
]
SEED = [
    ("--seed=-1", "-1 is not an integer in the range"),
    ("--seed=99999999999", "99999999999 is not an integer in the range"),
]
OWN = {
    "extract_latents": [
        ("--splits=", "--splits= has an empty item"),
        ("--splits=train,", "--splits=train, has an empty item"),
        ("--splits=train,train", "--splits names train more than once"),
        ("--splits=exam", "dataset square has no split 'exam'"),
        ("--out=gs://bucket/x", "is a bucket URL"),
    ],
    "align_translator": [
        *SEED,
        ("--labels=0", "neither a positive integer nor 'all'"),
        ("--labels=\u00b2", "neither a positive integer nor 'all'"),
        ("--labels=" + "9" * 5000, "neither a positive integer nor 'all'"),
        ("--labels=401", "the train split has 400 transitions only"),
        ("--labels=101%", "nor a share as 0.025%"),
        ("--draw=-1", "-1 is not an integer in the range"),
        ("--evaluate_on=circle", "holds no dataset 'circle'; it holds: square"),
        ("--evaluate_on=square,square", "--evaluate_on names square more than once"),
    ],
    "evaluate_lam": [
        *SEED,
        ("--budgets=1,1", "--budgets names 1 more than once"),
        ("--budgets=1,01", "--budgets=1,01 names a number more than once"),
        ("--budgets=9", "[9] are outside 0..3"),
        ("--budgets=-1", "'-1' is not one of whole numbers from 0"),
        ("--budgets=", "--budgets= has an empty item"),
        ("--label_counts=64,64", "--label_counts names 64 more than once"),
        ("--label_counts=0%", "'0%' is not one of whole numbers from 1 or all, or shares as 0.5%"),
        ("--labels_from=circle", "holds no dataset 'circle'; it holds: square"),
        ("--label_counts=0", "'0' is not one of whole numbers from 1 or all"),
        ("--label_counts=\u0663", "is not one of whole numbers from 1 or all"),
        ("--draws=0", "0 is not an integer in the range"),
        ("--draws=1000000000", "1000000000 is not an integer in the range"),
        ("--split=exam", "dataset square has no split 'exam'"),
    ],
}
FLAG = {"extract_latents": "--out", "align_translator": "--workdir", "evaluate_lam": "--out"}
KIND = {"extract_latents": LATENTS, "align_translator": TRANSLATOR, "evaluate_lam": REPORT}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """data/, a model in run/ whose config names a folder of programs, and theirs/ of somebody."""
    place = tmp_path_factory.mktemp("place")
    Pretraining(place).prepare()
    save_run(
        place / "run",
        data={"path": str(place / "data"), "datasets": [], "gap": 1},
        compilation_cache=str(place / "planted"),
    )
    (place / "theirs" / "params").mkdir(parents=True)
    (place / "theirs" / "notes.txt").write_text("precious")
    return place


def listing(place):
    return sorted(str(file) for file in place.rglob("*"))


@pytest.mark.parametrize("binary", OWN)
def test_wrong_commands(place, binary):
    cases = [
        (line.format(flag=FLAG[binary], place=place), told.format(flag=FLAG[binary]))
        for line, told in SHARED + OWN[binary]
    ]
    good = [f"--checkpoint={place / 'run'}", f"{FLAG[binary]}={place / 'new'}"]
    with Claim(place / "held", KIND[binary]):
        before = listing(place)
        results = run_lines(binary, [[*good, line] for line, _ in cases])
        assert listing(place) == before
    for (line, told), (code, _, err, cache) in zip(cases, results, strict=True):
        assert code == 1 and err.startswith("error: ") and told in err, (line, err)
        assert "Traceback" not in err and "delete" not in err and len(err.splitlines()) == 1, err
        assert cache is None, "a checkpoint's config chose where programs are loaded from"


def test_the_report_lies_beside_the_checkpoints_and_programs_where_the_flag_says(place):
    (place / "run" / "evaluation").mkdir()
    (place / "run" / "evaluation" / "photo.jpg").write_text("")
    *beside, cached = run_lines(
        "evaluate_lam",
        [
            [f"--checkpoint={place}/run"],
            [f"--checkpoint={place}/run/checkpoints"],
            [
                f"--checkpoint={place}/run",
                f"--out={place}/new",
                "--datasets=circle",
                f"--compilation_cache={place}/mine",
            ],
        ],
    )
    for code, _, err, _ in beside:
        assert code == 1 and f"--out={place}/run/evaluation holds photo.jpg, not a report" in err
    code, _, err, cache = cached
    assert code == 1 and "no dataset 'circle'" in err and cache == f"{place}/mine"


@pytest.mark.parametrize(
    "section, told",
    [
        ({"datasets": "square", "gap": [2, 3]}, (("square",), 2)),
        ({"datasets": {"square": 0.5}, "gap": ["0.2s", "0.4s"]}, (("square",), 2)),
        ({"datasets": None, "more": 1}, (("square",), 1)),
        (
            {"datasets": ["circle"]},
            "no dataset 'circle', which the model was trained on; .* --data",
        ),
        ({"datasets": ["square"], "gap": None}, "config is damaged: gap: .*, it is null"),
        ({"datasets": 3}, "config is damaged: datasets: .*, it is 3"),
    ],
)
def test_what_a_checkpoint_says_of_its_data_is_typed(place, section, told):
    lam = types.SimpleNamespace(
        frame_shape=(16, 16, 3), config={"data": {"path": str(place / "data"), **section}}
    )
    if isinstance(told, str):
        with pytest.raises(UserError, match=told):
            lam_inputs.open_source(lam, "", [])
    else:
        source = lam_inputs.open_source(lam, "", [])
        assert (source.names, source.gap) == told
