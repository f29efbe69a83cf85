"""The command line: exit codes, one clear line, and help that lists every dataset."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from data_pipelines import benchmark_loader
from data_pipelines.format.manifest import open_dataset
from data_pipelines.loading.loader import ordered_batches
from data_pipelines.prepare import main
from data_pipelines.registry import RECIPES


def test_help_lists_every_dataset(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0
    assert all(name in text for name in (*RECIPES, "inspect", "validate"))


def test_prepare_twice_then_inspect_and_validate(tmp_path, capsys):
    out = tmp_path / "data"
    command = ["synthetic", f"--out={out}", "--episodes=4", "--length=20", "--size=16"]
    assert main(command) == 0
    assert (
        "prepared: 4 episodes, 76 transitions (train 38, validation 19" in capsys.readouterr().out
    )
    assert main(command) == 0
    assert "already prepared, nothing to do" in capsys.readouterr().out
    assert main(["inspect", str(out)]) == 0
    text = capsys.readouterr().out
    assert "4 episodes, 76 transitions" in text and "actions stay left right up down" in text
    sheet = np.asarray(Image.open(out / "contact_sheet.png"))
    assert sheet.shape[0] > 100 and sheet.std() > 10
    assert main(["validate", str(out)]) == 0
    assert "valid: " in capsys.readouterr().out


def test_errors_are_one_line_and_exit_code_1(tmp_path, capsys):
    assert main(["validate", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and "no manifest" in error
    (tmp_path / "file").write_text("")
    assert main(["synthetic", f"--out={tmp_path / 'file'}"]) == 1
    assert main(["videos", f"--out={tmp_path / 'new'}", "--source=nowhere"]) == 1
    assert main(["doom", f"--out={tmp_path / 'new'}", "--plan=doom=1"]) == 1


def test_no_tensorflow_and_no_jax_is_imported(square):
    code = (
        "import sys; from data_pipelines.loading.loader import *; "
        f"it = training_batches({{'path': {str(square)!r}}}, seed=0, batch_size=4); next(it); "
        "it.close(); "
        "print([m for m in ('tensorflow', 'torch', 'flexlam_jax', 'vizdoom') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ),
    )
    assert result.stdout.strip() == "[]"


def test_the_command_line_is_parsed_before_what_takes_seconds_is_imported():
    code = (
        "import sys; from data_pipelines.prepare import parser; parser(); "
        "print([m for m in ('tensorflow_datasets', 'pyarrow', 'array_record') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_enlarged_set_of_the_benchmark_holds_every_window_that_many_times(square, tmp_path):
    large = tmp_path / "large"
    benchmark_loader.enlarge(square, large, 3)
    assert open_dataset(large).counts["square"]["test"]["transitions"] == 3 * 26
    (one,) = ordered_batches(square, split="test", batch_size=1000)
    (three,) = ordered_batches(large, split="test", batch_size=1000)
    np.testing.assert_array_equal(three["frames"], np.tile(one["frames"], (3, 1, 1, 1, 1)))
    np.testing.assert_array_equal(three["episode"], np.tile(one["episode"], 3))
