"""What processes compare before they start, and how a difference reads."""

from flexlam_jax.training import agreement


def told(**facts):
    return {"host": "h", "facts": {"config.seed": 0, "code": "abc", **facts}}


def test_equal_processes_agree():
    assert agreement.differences([told(), told(), told()]) == ""


def test_each_difference_names_process_host_and_both_values():
    other = told(**{"config.seed": 1, "version of jax": "2"})
    text = agreement.differences([told(), told(), other])
    assert "process 2 (h): config.seed is 1, on process 0 (h) 0" in text
    assert "process 2 (h): version of jax is 2, on process 0 (h) (unset)" in text
    assert "process 1" not in text


def test_many_differences_are_cut():
    text = agreement.differences([told()] + [told(**{"config.seed": n}) for n in range(1, 40)])
    assert len(text.splitlines()) == 23 and "... and 19 more" in text


def test_facts_hold_config_code_and_versions():
    facts = agreement.facts({"seed": 3, "data": {"gap": [1, 2]}})
    assert facts["config.seed"] == 3 and facts["config.data.gap"] == [1, 2]
    assert len(facts["code"]) == 12 and facts["version of jax"][0].isdigit()


def test_code_digest_follows_the_files(monkeypatch, tmp_path):
    for package in ("flexlam_jax/training", "experiments"):
        (tmp_path / package).mkdir(parents=True)
    here = tmp_path / "flexlam_jax" / "training" / "agreement.py"
    here.write_text("1")
    monkeypatch.setattr(agreement, "__file__", str(here))
    before = agreement.code_digest()
    here.write_text("2")
    assert agreement.code_digest() != before
