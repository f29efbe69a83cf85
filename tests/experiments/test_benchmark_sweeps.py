"""A sweep changes one thing at a time, and leaves the preset as it is."""

import pytest

from experiments.benchmark_sweeps import SWEEPS, variations
from flexlam_jax.errors import UserError
from flexlam_jax.models.lam import build_lam
from flexlam_jax.objectives.lam import lam_objective
from tests.experiments import tiny


def flattened(config, path=""):
    return {
        name: value
        for key, item in config.items()
        for name, value in (
            flattened(item, f"{path}{key}.") if hasattr(item, "items") else {path + key: item}
        ).items()
    }


@pytest.mark.parametrize(
    "name, changed",
    [
        ("batch", {"batch_size"}),
        ("resolution", {"model.image_size"}),
        ("clip", {"batch_size", "data.clip_length"}),
        ("slots", {"model.slots"}),
        (
            "parameters",
            {
                f"model.{part}.{key}"
                for part in ("encoder", "decoder")
                for key in ("width", "heads", "mlp_hidden")
            },
        ),
        ("remat", {"model.remat"}),
    ],
)
def test_nothing_else_changes(name, changed):
    preset = tiny.get_config()
    before = flattened(preset)
    rows = [flattened(config) for config in variations(preset, name)]
    assert {key for row in rows for key in row if row[key] != before[key]} == changed
    assert len({tuple(row[key] for key in sorted(changed)) for row in rows}) == len(SWEEPS[name][0])
    assert flattened(preset) == before


def test_longer_clips_share_frames():
    """A frame of a clip is tokenised once, so a transition of a longer clip costs less."""
    clips = variations(tiny.get_config(), "clip")
    assert [config.data.clip_length for config in clips] == [2, 4, 8, 16]
    assert [config.batch_size for config in clips] == [16, 5, 2, 1], "about 16 transitions each"
    costs = []
    for config in clips:
        frames = config.data.clip_length
        objective = lam_objective(
            build_lam(config.model), config.model, config.loss, clip_length=frames
        )
        costs.append(objective.flops_per_row / (frames - 1))
    assert costs == sorted(costs, reverse=True) and costs[0] > costs[-1]


def test_width_of_a_preset_without_one():
    preset = tiny.get_config()
    preset.model.decoder.kind = "motion"
    with pytest.raises(UserError, match="needs a preset of ViTs"):
        variations(preset, "parameters")
