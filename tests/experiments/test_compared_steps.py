"""--compare=NAME=WORKDIR@STEP: two checkpoints of one run beside each other."""

import pytest

from experiments.lam_inputs import open_models
from flexlam_jax.errors import CheckpointError, UserError
from tests.untrained import save_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("steps") / "run@home"
    save_run(folder, steps=(2, 4))
    return str(folder)


def test_two_steps_of_a_run_are_two_models(run):
    lams = open_models(run, [f"early={run}@2", f"late={run}"], None)
    assert {name: lam.step for name, lam in lams.items()} == {"run@home": 4, "early": 2, "late": 4}
    marks = {name: lam.fingerprint() for name, lam in lams.items()}
    assert marks["run@home"] == marks["late"] != marks["early"]


def test_a_step_that_is_not_there_and_an_item_that_is_none_are_told(run):
    with pytest.raises(CheckpointError, match="step 3"):
        open_models(run, [f"early={run}@3"], None)
    with pytest.raises(UserError, match="is not NAME=WORKDIR or NAME=WORKDIR@STEP"):
        open_models(run, [run], None)
