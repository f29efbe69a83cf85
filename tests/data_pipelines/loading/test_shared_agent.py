"""Partners that claim one recording and show other deeds of the agent are found in their records."""

import pytest

from data_pipelines.errors import DataError
from data_pipelines.format.clips import Clip
from data_pipelines.loading.opening import open_data
from data_pipelines.loading.options import loader_options
from data_pipelines.loading.pairing import check_shared_agent


@pytest.mark.parametrize("kind", ["exogenous", "camera"])
@pytest.mark.parametrize("label", ["action", "state"])
def test_actions_and_endogenous_states_are_compared(paired, monkeypatch, kind, label):
    opened = open_data(loader_options({"path": paired[0], "pair_with": kind}))
    check_shared_agent(opened.datasets, opened.pairs)
    liar, real = opened.datasets[0].spec.name, Clip.decode_label

    def lying(self, asked):
        values = real(self, asked)
        if asked == label and self._spec.name == liar:
            values = values.copy()
            values[..., :1] += 1
        return values

    monkeypatch.setattr(Clip, "decode_label", lying)
    with pytest.raises(DataError, match=f"dataset {liar}, .*: {label} is not that of its partner"):
        check_shared_agent(opened.datasets, opened.pairs)


def test_what_distractors_did_may_differ(paired, monkeypatch):
    opened = open_data(loader_options({"path": paired[0], "pair_with": "exogenous"}))
    spec, real = opened.datasets[0].spec, Clip.decode_label
    assert spec.exogenous_state
    column = spec.state_names.index(spec.exogenous_state[0])

    def other(self, asked):
        values = real(self, asked)
        if asked == "state" and self._spec.name == spec.name:
            values = values.copy()
            values[:, column] += 1
        return values

    monkeypatch.setattr(Clip, "decode_label", other)
    check_shared_agent(opened.datasets, opened.pairs)
