"""The verdict says what the numbers say, and no more."""

import pytest

from flexlam_jax.evaluation.lam import report_verdict
from flexlam_jax.evaluation.lam.thresholds import CHECKS, LEAKS, MOSTLY
from flexlam_jax.evaluation.lam.verdict import CAUTION, verdict
from flexlam_jax.reports.results import Number


def number(mean, half=0.01):
    return Number(mean, mean - half, mean + half, 9, "of 1", "episodes")


def report_of(leakage=None, *, half=0.01, perplexity=None, **label_free):
    """One model whose longest prefix has these numbers; everything else is as it should be."""
    good = {"cut_carried": 0.1, "cycle": 0.9, "transfer": 0.9, "additivity": 0.9}
    row = {key: number(mean, half) for key, mean in (good | label_free).items()}
    codes = [{"slot": i + 1, "perplexity": number(p)} for i, p in enumerate(perplexity or ())]
    report = {
        "models": [
            {
                "name": "m",
                "codes": codes,
                "reconstruction": [
                    {"k": k, "gain": number(2.0), "delta_psnr": number(3.0)} for k in (1, 4)
                ],
            }
        ],
        "label_free": {"m": [{"k": 1}, {"k": 4, **row}]},
    }
    return report | ({"leakage": leakage} if leakage else {})


def leaking(exogenous, share, *, half=0.01, true_action=0.0, **more):
    row = {
        "features": "k = 1",
        "k": 1,
        "accuracy": number(0.7),
        "endogenous": number(0.5),
        "exogenous": number(exogenous, half),
        **({} if share is None else {"exogenous_share": number(share)}),
    }
    beside = [
        {"features": "true action", "accuracy": number(1.0), "exogenous": number(true_action)},
        {"features": "observation", "accuracy": number(0.3), "exogenous": number(0.0)},
        {"features": "features eye", "accuracy": number(0.9), "exogenous": number(0.5)},
    ]
    return {"models": {"m": [row]}, "baselines": beside, **more}


def lines_of(*given, **numbers):
    return verdict(report_of(*given, **numbers), "nobody knows")["lines"]


def test_checks_that_all_pass_are_one_sentence_and_validated_by_nobody():
    found = verdict(report_of(), "nobody knows")
    assert found["lines"] == ["Without labels, 6 of 6 checks pass at k = 4."]
    assert found["caution"] == CAUTION and "not validated on your data" in CAUTION
    assert {one["k"] for one in found["checks"]["m"]} == {4}


def test_a_check_passes_where_the_whole_interval_does():
    passed, failed = lines_of(cycle=0.52, half=0.05)
    assert "5 of 6 checks pass" in passed
    assert failed.startswith(
        "Not passed: cycle consistency, 0.52 ±0.05 where at least 0.50 is wanted: what is decoded"
    )
    assert "6 of 6" in lines_of(cycle=0.56, half=0.05)[0]
    assert "scene cut: picture carried, 0.48" in lines_of(cut_carried=0.48, half=0.05)[1]


def test_slots_that_always_say_the_same_are_told():
    assert "7 of 7" in lines_of(perplexity=(8, 2, 1, 1))[0]
    assert "slots that say something, 0.25" in lines_of(perplexity=(8, 1.9, 1, 1))[1]


@pytest.mark.parametrize(
    "exogenous, share, half, told",
    [
        (0.01, 0.02, 0.01, "no leakage to speak of"),
        (LEAKS, 0.1, 0.03, "whether it leaks is open"),
        (0.3, MOSTLY - 0.1, 0.01, "40% of what is read is exogenous: it leaks."),
        (0.3, MOSTLY, 0.01, ": it leaks."),
        (0.7, 0.6, 0.01, "plainly, this code is a disturbance more than the agent's action."),
        (0.0, None, 0.01, "the code carries hardly anything of either."),
    ],
)
def test_leakage_is_called_by_its_size(exogenous, share, half, told):
    action, better, leak, checks = lines_of(leaking(exogenous, share, half=half))
    assert action == (
        "From one slot the action is read with accuracy 0.70 (observation 0.30, features eye 0.90)."
    )
    assert better == "eye's features of the two frames tell more of the action than one slot."
    assert leak.startswith("Of the change that the agent does not control, one slot tells R^2 ")
    assert leak.endswith(told) or told in leak
    assert checks.startswith("Without labels")


def test_where_the_action_tells_of_the_distractor_the_code_is_not_blamed_alone():
    assert "the true action alone tells R^2 0.40" in lines_of(leaking(0.4, 0.4, true_action=0.4))[2]


@pytest.mark.parametrize(
    "code, seen, acted, told",
    [
        (0.24, 0.15, 0.0, True),
        (0.24, 0.23, 0.0, False),  # Intervals overlap.
        (0.24, 0.15, 0.23, False),  # The action alone tells as much: a policy that reacts to it.
        (0.055, 0.0, 0.0, False),  # Hardly anything.
        (0.24, -0.3, 0.0, False),  # That probe of o_t says nothing of o_t.
    ],
)
def test_a_level_that_leaks_where_the_change_does_not_is_told(code, seen, acted, told):
    found = leaking(0.01, 0.02)
    for row, level in zip(
        [*found["models"]["m"], *found["baselines"]], (code, acted, seen, 0.9), strict=True
    ):
        row["exogenous_level"] = number(level)
    lines = lines_of(found)
    assert "no leakage to speak of" in lines[2]
    assert told == (
        "Of the state that the agent does not control, at t + 1, one slot tells R^2 0.24 [0.23, 0.25], "
        "the observation o_t alone 0.15 [0.14, 0.16]: its level leaks" in lines[3]
    )
    assert len(lines) == 4 + told


def test_an_action_that_is_read_no_better_than_by_chance_is_said_to_be():
    found = leaking(0.0, None)
    found["baselines"].append({"features": "shuffled codes", "accuracy": number(0.69)})
    majority = {"probes": [{"name": "majority", "score": number(0.18)}]}
    (line, *_) = verdict(report_of(found) | {"baselines": majority}, "")["lines"]
    assert "0.70 (a constant guess 0.18, observation 0.30" in line
    assert line.endswith("shuffled codes 0.69): no better than chance.")


def test_the_worst_slot_is_named_where_it_leaks():
    def lines(exogenous):
        found = leaking(exogenous, 0.4)
        slot = {"features": "slot 3 alone", "slot": 3, "exogenous": number(exogenous)}
        found["models"]["m"].append(slot | {"exogenous_share": number(0.9)})
        return " ".join(lines_of(found))

    assert "Of single slots, slot 3 is the most exogenous: 90%." in lines(0.3)
    assert "single slots" not in lines(0.01)


def test_what_is_missing_has_its_reason():
    told = report_verdict.sentences(report_of() | {"verdict": verdict(report_of(), "nobody knows")})
    assert told[1] == CAUTION
    assert told[2] == "Not measured: leakage probes; nobody knows."
    assert told[3].startswith("Not measured: errors by region; ")
    regions = {"regions": {"m": [{"k": 4, "exogenous": number(0.4), "rest": number(0.8)}]}}
    report = report_of(leaking(0.3, 0.4, **regions))
    assert verdict(report, "")["missing"] == []
    assert any("exogenous 40%, rest 80%" in line for line in verdict(report, "")["lines"])


def test_thresholds_have_reasons():
    assert len({check.key for check in CHECKS}) == len(CHECKS) and all(one.why for one in CHECKS)
    assert {one.key for one in CHECKS if one.most} == {"cut_carried"}
