"""A toy family: everything that an evaluator of one's own needs, from the data to the page."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.errors import ConfigError, UserError
from flexlam_jax.evaluation import intervals
from flexlam_jax.evaluation.collect import Field, collect
from flexlam_jax.evaluation.evaluator import Evaluator, chosen, evaluate
from flexlam_jax.evaluation.in_training import training_evaluation
from flexlam_jax.parallel.mesh import make_mesh
from flexlam_jax.parallel.sharding import replicated
from flexlam_jax.reports.page import Facts, Findings, page
from flexlam_jax.reports.results import Column, Curve, Number, Series, Table, scalars
from flexlam_jax.training.state import TrainState

# The toy evaluator, whole: how far a model is off, overall and by bin.
FIELDS = {
    "guess": Field(lambda model, batch: model(batch["x"]), of_model=True),
    "truth": Field(lambda model, batch: batch["y"]),
}


def error(model, data):
    del model
    off = {"off": np.abs(data.test["guess"] - data.test["truth"])}
    mean = lambda sums: sums["off"] / sums["count"]
    total = intervals.over_episodes(off, data.test.episode, mean, unit="m")
    table = Table("Error", [{"bin": 0, "error": total}], [Column("error", "off")], index=("bin",))
    return {"total": total, "by_bin": table}


TOYS = {"error": Evaluator("error", error, reads=("guess", "truth"))}
# To here.


def batches(count=8, size=3):
    x = np.arange(count, dtype=np.float32)
    rows = {"x": x, "y": 2 * x + 1, "episode": np.arange(count) // 4, "t": np.arange(count)}
    rows["dataset"] = np.zeros(count, int)
    for start in range(0, count, size):
        yield {key: value[start : start + size] for key, value in rows.items()}


def test_a_toy_evaluator_reaches_the_page():
    models = {"double": lambda x: 2 * x, "exact": lambda x: 2 * x + 1}
    measured = evaluate(chosen(TOYS, ["error"]), models, FIELDS, batches())
    assert measured["error"]["double"]["total"] == Number(1.0, 1.0, 1.0, 2, "m", "episodes")
    assert measured["error"]["exact"]["total"].mean == 0
    shown = page(
        "toys",
        [
            Findings("Seen", ["a < b"]),
            measured["error"]["double"]["by_bin"],
            Facts("Made", {"by": "hand"}),
        ],
    )
    assert "<title>toys</title>" in shown and "a &lt; b" in shown and "<dd>hand</dd>" in shown
    assert '<td title="1 [1, 1] m, n = 2 episodes">1.00</td>' in shown


def test_the_same_evaluator_runs_in_training_on_any_mesh():
    mesh = make_mesh({"data": -1, "fsdp": 1, "model": 1, "slice": -1})
    params = jax.device_put({"scale": jnp.float32(2)}, replicated(mesh))
    state = TrainState(jax.device_put(jnp.int32(7), replicated(mesh)), params, {}, None)
    asked = []

    def make_model(variables, step):
        asked.append(step)
        scale = variables["params"]["scale"]
        assert len(scale.devices()) == 1
        return lambda x: np.asarray(jax.jit(jnp.multiply)(x, scale))

    drawn = []
    measure = training_evaluation(
        list(TOYS.values()), FIELDS, make_model, lambda: drawn.append(1) or batches()
    )
    with jax.set_mesh(mesh):  # As in `fit`.
        first, second = measure(state), measure(state.replace(step=state.step + 1))
    assert (
        first
        == second
        == {
            "evaluation/error/total": 1.0,
            "evaluation/error/by_bin/bin0/error": 1.0,
        }
    )
    assert asked == [7, 8] and len(drawn) == 1


def test_one_pass_reads_what_the_union_of_the_evaluators_reads():
    read = []

    def counted(name):
        return Field(lambda model, batch: read.append((name, model)) or batch["x"])

    fields = {name: counted(name) for name in ("a", "b", "unread")}
    fields["own"] = Field(lambda model, batch: read.append(("own", model)) or batch["x"], True)
    some = [
        Evaluator("one", lambda model, data: {}, reads=("a", "own")),
        Evaluator("two", lambda model, data: {}, reads=("a", "b"), once=True),
    ]
    measured = evaluate(some, {"m": 1, "n": 2}, fields, batches())
    assert sorted(set(read)) == sorted({("a", None), ("b", None), ("own", 1), ("own", 2)}, key=str)
    assert (
        len(read) == 4 * 3 and set(measured["one"]) == {"m", "n"} and set(measured["two"]) == {"m"}
    )


def test_evaluators_that_fit_are_left_out_without_a_train_split():
    seen = {}

    def fitted(model, data):
        seen[model] = (data.train["truth"], data.test["guess"], data.settings)
        return {}

    probe = Evaluator("probe", fitted, reads=("guess",), fits=("truth",))
    models = {"double": lambda x: 2 * x}
    assert evaluate([probe], models, FIELDS, batches()) == {} and not seen
    evaluate([probe], models, FIELDS, batches(), batches(4), "settings")
    ((truth, guess, settings),) = seen.values()
    assert list(truth) == [1, 3, 5, 7] and len(guess) == 8 and settings == "settings"


def test_sparse_fields_keep_every_nth_row_across_batches():
    fields = {"x": Field(lambda model, batch: batch["x"], sparse=True)}
    split = collect({}, batches(50, 7), fields, every=3)
    assert list(split.rows) == list(split["x"]) == list(range(0, 50, 3)) and len(split) == 50


def test_episodes_of_two_datasets_stay_apart():
    (batch,) = batches(40, 40)
    batch["episode"][:], batch["dataset"][20:] = 3, 1
    assert list(collect({}, [batch], {}).episode) == [0] * 20 + [1] * 20


def test_what_is_missing_is_told():
    with pytest.raises(UserError, match="the evaluated split holds no transition"):
        evaluate(list(TOYS.values()), {}, FIELDS, iter(()))
    with pytest.raises(ValueError, match="evaluators read colour; there are guess, truth"):
        evaluate([Evaluator("x", error, reads=("colour",))], {}, FIELDS, batches())
    with pytest.raises(ConfigError, match="'speed'; there are error"):
        chosen(TOYS, ["error", "speed"])


def test_results_are_logged_by_name():
    number = Number(1.5, 1, 2, 3, "dB", "episodes")
    rows = [{"k": 4, "probe": "linear", "score": number, "note": "x"}]
    curve = Curve("c", [Series("mine", [(0.5, number)])])
    results = {"n": number, "t": Table("t", rows, [], index=("k", "probe")), "c": curve}
    assert scalars("e", results) == {"e/n": 1.5, "e/t/k4/linear/score": 1.5, "e/c/mine/0.5": 1.5}
    with pytest.raises(TypeError, match="float is no result"):
        scalars("e", {"n": 1.5})
