import jax
import numpy as np
import pytest

from flexlam_jax.evaluation import prefixes, probes, translator_fit
from flexlam_jax.evaluation.prefixes import Prefixes
from flexlam_jax.evaluation.translator_fit import LINEAR, TRANSLATOR, ActionTarget, Recipe

CLASSES = ActionTarget(True, 3)


@pytest.fixture(scope="module")
def problem():
    """Class = region of a plane that no linear map separates (a ring of one class)."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1500, 4)).astype(np.float32)
    y = np.where(np.linalg.norm(x[:, :2], axis=1) < 0.8, 2, x[:, 0] > 0).astype(np.int32)
    return x[:1000], y[:1000], x[1000:], y[1000:], np.arange(500) // 25


def run(problem, labels, recipe=TRANSLATOR, draws=3):
    x, y, test_x, test_y, episodes = problem
    outputs = probes.probe(
        x,
        y,
        test_x,
        labels=labels,
        spec=CLASSES,
        recipe=recipe,
        draws_LN=probes.label_draws(len(x), draws, 0),
    )
    return probes.score(outputs, y, test_y, episodes, CLASSES)


def test_more_labels_help_and_the_mlp_beats_the_linear_probe(problem):
    few, many, linear = run(problem, 32), run(problem, 1000), run(problem, 1000, LINEAR)
    assert few.mean < many.mean - 0.05
    assert linear.mean < many.mean - 0.1
    assert many.mean > 0.88
    assert many.low <= many.mean <= many.high and many.n == 3


def test_only_the_first_labels_of_a_draw_are_read(problem):
    x, y, test_x, _, _ = problem
    order = probes.label_draws(len(x), 1, 0)
    spoiled = y.copy()
    spoiled[order[0, 64:]] = (spoiled[order[0, 64:]] + 1) % 3
    outputs = [
        translator_fit.predict(translator_fit.fit(x, labels, order, 64, CLASSES), test_x, CLASSES)
        for labels in (y, spoiled)
    ]
    np.testing.assert_array_equal(*outputs)


def test_label_draws_are_nested_permutations_that_differ():
    draws = probes.label_draws(50, 3, 1)
    assert all(sorted(draw) == list(range(50)) for draw in draws)
    assert not np.array_equal(draws[0], draws[1])
    np.testing.assert_array_equal(draws[:2], probes.label_draws(50, 2, 1))


def test_too_many_labels_are_refused(problem):
    with pytest.raises(ValueError, match="1001 labels asked for, 1000"):
        run(problem, 1001)


def test_variants_of_the_features_share_one_fit():
    """A translator for several prefix lengths: V feature variants, one label each."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 600).astype(np.int32)
    code = np.eye(3, dtype=np.float32)[y]
    variants = np.stack([np.concatenate([code, 0 * code], 1), np.concatenate([0 * code, code], 1)])
    variables = translator_fit.fit(variants, y, probes.label_draws(600, 1, 0), 600, CLASSES)
    for features in variants:
        outputs = np.asarray(translator_fit.predict(variables, features, CLASSES))[0]
        assert (outputs.argmax(-1) == y).mean() > 0.99


@pytest.mark.parametrize("spec", [CLASSES, ActionTarget(False, 2)])
def test_prefixes_are_fitted_to_the_bit_as_if_they_were_written_out(spec):
    rng = np.random.default_rng(0)
    slots, null = rng.normal(1.0, 2.0, (301, 4, 3)).astype(np.float32), np.float32([0.5, -1, 3])
    actions = rng.integers(0, 3, 301) if spec.discrete else rng.normal(size=(301, 2))
    order, keep = probes.label_draws(301, 2, 0), (1, 2, 4)
    written = np.stack([probes.null_filled(slots, k, null) for k in keep])
    recipe = Recipe(steps=20)
    expected, found = (
        translator_fit.fit(features, actions, order, 64, spec, recipe)
        for features in (written, Prefixes.of(slots, keep, null))
    )
    jax.tree.map(np.testing.assert_array_equal, expected, found)


def test_the_statistics_of_many_prefixes_need_no_copy_for_each(monkeypatch):
    rng, keep = np.random.default_rng(0), tuple(range(1, 17))
    slots, null = rng.normal(3.0, 2.0, (5000, 16, 8)), np.linspace(-1, 1, 8)
    statistics = jax.jit(Prefixes.statistics)
    few = Prefixes.of(slots, keep, null)
    expected = statistics(few)
    monkeypatch.setattr(prefixes, "_WRITTEN_OUT", 0)
    many = jax.jit(lambda few: Prefixes(*few).statistics()).lower(few).compile()
    for found, value in zip(many(few), expected, strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-4)
    assert many.memory_analysis().temp_size_in_bytes < 1.5 * few.slots.nbytes


def test_many_rows_are_predicted_piece_by_piece(problem, monkeypatch):
    x, y, test_x, *_ = problem
    fitted = translator_fit.fit(x, y, probes.label_draws(len(x), 2, 0), 64, CLASSES)
    at_once = translator_fit.predict(fitted, test_x, CLASSES)
    monkeypatch.setattr(translator_fit, "_AT_ONCE", 300)
    pieces = translator_fit.predict(fitted, test_x, CLASSES)
    np.testing.assert_allclose(pieces, at_once, atol=1e-5)


def test_continuous_actions_are_scored_by_r_squared():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(800, 3)).astype(np.float32)
    action = np.stack([1000 + 50 * x[:, 0], 0.01 * x[:, 1]], 1).astype(np.float32)
    spec, episodes = ActionTarget.of(action), np.arange(200) // 10
    outputs = probes.probe(
        x[:600],
        action[:600],
        x[600:],
        labels=600,
        spec=spec,
        recipe=LINEAR,
        draws_LN=probes.label_draws(600, 2, 0),
    )
    number = probes.score(outputs, action[:600], action[600:], episodes, spec)
    assert number.unit == "R^2" and number.mean > 0.95
    constant = probes.constant_outputs(action[:600], 200, spec)
    blind = probes.score(constant, action[:600], action[600:], episodes, spec)
    assert abs(blind.mean) < 0.02


def test_majority_class_is_that_of_the_train_split():
    train, test = np.array([1, 1, 0]), np.array([0, 0, 0, 1])
    spec = ActionTarget(True, 2)
    outputs = probes.constant_outputs(train, len(test), spec)
    assert probes.score(outputs, train, test, np.array([0, 0, 1, 1]), spec).mean == 0.25


def test_a_draw_alone_is_the_same_as_among_others():
    np.testing.assert_array_equal(probes.label_draw(50, 2, 1), probes.label_draws(50, 3, 1)[2])


def test_scores_by_dataset_count_datasets_alike_and_resample_each_by_itself():
    """A dataset of 90 rows that is right, and one of 10 that is wrong."""
    dataset = np.repeat([0, 1], [90, 10])
    actions = np.zeros(100, np.int32)
    outputs = np.broadcast_to(np.eye(2)[dataset], (3, 100, 2))
    # The wrong dataset has one episode: resampled among the others, it would be lost at times.
    episodes = np.where(dataset == 1, 9, np.arange(100) // 10)
    scores = probes.scores_by_dataset(
        outputs, actions, actions, episodes, ActionTarget(True, 2), dataset, ("a", "b")
    )
    assert {name: score.mean for name, score in scores.items()} == {"a": 1, "b": 0, "mean": 0.5}
    assert (scores["mean"].low, scores["mean"].high) == (0.5, 0.5) and scores["mean"].n == 3


def test_scores_by_dataset_of_continuous_actions():
    rng = np.random.default_rng(0)
    actions = rng.normal(size=(60, 2))
    dataset = np.arange(60) // 30
    outputs = (actions + dataset[:, None] * rng.normal(scale=0.7, size=(60, 2)))[None]
    spec = ActionTarget(False, 2)
    scores = probes.scores_by_dataset(
        outputs, actions, actions, np.arange(60) // 5, spec, dataset, ("a", "b")
    )
    assert scores["a"].mean == 1 and 0.2 < scores["b"].mean < 0.8
    assert scores["mean"].mean == pytest.approx((1 + scores["b"].mean) / 2)
    assert scores["mean"].low < scores["mean"].mean < scores["mean"].high


def test_pooled_pixels_average_blocks():
    frames = np.zeros((1, 32, 48, 1), np.uint8)
    frames[0, :2, :3] = 255
    pooled = probes.pooled_pixels(frames).reshape(16, 16)
    assert pooled[0, 0] == 1 and pooled.sum() == 1
    with pytest.raises(ValueError, match="8x8.*16 px"):
        probes.pooled_pixels(np.zeros((1, 8, 8, 3), np.uint8))


def test_null_filled_features_are_those_of_the_model():
    from flexlam_jax.models.bottleneck import null_fill

    slots, null = np.random.default_rng(0).normal(size=(5, 4, 2)), np.array([7.0, 8.0])
    expected = np.asarray(null_fill(slots, np.full(5, 3), null)).reshape(5, -1)
    np.testing.assert_allclose(probes.null_filled(slots, 3, null), expected, rtol=1e-6)


def test_shuffling_leaves_nothing_in_place():
    for count in (2, 3, 50):
        rows = probes.shuffled_rows(count, 0)
        assert sorted(rows) == list(range(count)) and (rows != np.arange(count)).all()


@pytest.mark.parametrize(
    "actions", [np.array([[1, 2]]), np.array([-1, 0]), np.array([1.0, 2.0]), np.array([[np.nan]])]
)
def test_actions_of_no_known_kind_are_refused(actions):
    with pytest.raises(ValueError, match="actions must be"):
        ActionTarget.of(actions)
