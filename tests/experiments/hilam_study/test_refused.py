"""What a study of the hierarchy would find out after hours of training is told before."""

from tests.experiments.command_lines import run_lines


def test_evaluations_that_cannot_be_are_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("OGBENCH_ENV", str(tmp_path))
    out = f"--out={tmp_path / 'out'}"
    told = {
        "ogbench has the protocol plain only": ["--protocol=openvla"],
        "measured by protocols that differ": ["--suite=libero_goal"],
        "does not say whether a task is solved": ["--suite=doom_suite"],
        f"{tmp_path}/nowhere": [f"--data={tmp_path}/nowhere"],
        "runs in a Python environment of its own": [],
    }
    said = run_lines("hilam_study.command", [[out, *flags] for flags in told.values()])
    for (code, _, text, _), expected in zip(said, told, strict=True):
        assert code == 1 and expected in text and text.count("\n") == 1
    assert not (tmp_path / "out").exists()
