"""The plant of three tanks: physics, an operator, disturbances, and what a model may see of them."""

import numpy as np
import pytest

from data_pipelines.conversion.build import Engine, prepare
from data_pipelines.errors import DataError
from data_pipelines.format.manifest import open_dataset
from data_pipelines.format.vectors import observed_columns
from data_pipelines.loading.windows import ClipReader
from data_pipelines.prepare import main
from data_pipelines.registry import recipe_options
from data_pipelines.simulators.plant import csv_table, recipe, tanks
from data_pipelines.simulators.plant.tanks import Settings

SMALL = ("--episodes=4", "--length=60")


def options(*arguments):
    return recipe_options("plant", *SMALL, *arguments)


def built(out, *arguments):
    assert prepare("plant", out, options(*arguments))
    return open_dataset(out)


def volume(levels):
    """Litres in all tanks."""
    return levels.sum(axis=-1) * tanks.AREA / tanks.LITRE


def test_water_comes_and_goes_by_pumps_inflow_demand_and_outlet_only():
    level, none = np.array([1.2, 0.0, 1.2]), np.zeros(2)
    # Tank 2 is empty: nothing leaves by the outlet in the first instant, much less than elsewhere.
    still = tanks.advance(np.array([1.0, 0.0, 0.0]), none, none)
    assert volume(still) == pytest.approx(1000 * tanks.AREA * 1.0, rel=1e-2)
    fed = tanks.advance(level, np.array([1.0, 0.0]), none)
    more = tanks.advance(level, none, none)
    assert volume(fed) - volume(more) == pytest.approx(tanks.PUMP * tanks.PERIOD, rel=0.01)
    drawn = tanks.advance(level, none, np.array([4.0, 0.0]))
    assert volume(drawn) - volume(more) == pytest.approx(-4.0 * tanks.PERIOD, rel=0.01)


def test_levels_settle_where_inflow_is_outflow_and_stay_in_the_tanks():
    level = np.array([0.5, 1.5, 0.1])
    for _ in range(3000):
        level = tanks.advance(level, np.array([0.5, 0.5]), np.array([3.0, 1.0]))
    flow = (8.0 + 1.0 - 3.0) * tanks.LITRE  # leaves by the outlet of tank 2
    # Torricelli's root has no slope at equal levels, about which Euler's steps keep trembling.
    assert level[1] == pytest.approx((flow / tanks.OPENING) ** 2 / (2 * tanks.GRAVITY), rel=1e-4)
    assert level[0] > level[2]  # towards the demand
    for power, demand in ((1.0, -50.0), (0.0, 50.0)):
        for _ in range(200):
            level = tanks.advance(level, np.full(2, power), np.array([demand, 0.0]))
        assert (level >= 0).all() and (level <= tanks.TOP).all()


def test_inflow_looks_like_pump_1_and_demand_like_no_pump():
    """What the docs say can and cannot be told from the levels."""
    level, off = np.array([1.2, 0.8, 1.0]), np.zeros(2)
    base = tanks.advance(level, off, off)
    pump1, pump2 = (tanks.advance(level, np.eye(2)[i] * 0.5, off) - base for i in (0, 1))
    inflow, demand = (
        tanks.advance(level, off, flow) - base
        for flow in (np.array([0.0, 4.0]), np.array([4.0, 0.0]))
    )
    np.testing.assert_allclose(inflow, pump1, rtol=1e-9)
    basis = np.linalg.qr(np.stack([pump1, pump2], 1))[0]
    left = demand - basis @ (basis.T @ demand)
    assert np.linalg.norm(left) > 0.8 * np.linalg.norm(demand)


def test_disturbances_have_the_strength_and_memory_that_are_asked_for():
    for strength, correlation in ((1.0, 120.0), (0.5, 30.0)):
        settings = Settings(disturbance=strength, correlation=correlation)
        demand = tanks.disturbances_of(np.random.default_rng(0), 50_000, settings)[:, 0]
        assert demand.mean() == pytest.approx(tanks.MEAN_DEMAND, abs=0.15)
        assert demand.std() == pytest.approx(strength * tanks.STD_DEMAND, rel=0.05)
        lag = np.corrcoef(demand[:-1], demand[1:])[0, 1]
        assert lag == pytest.approx(np.exp(-tanks.PERIOD / correlation), abs=0.02)
    still = tanks.disturbances_of(np.random.default_rng(0), 9, Settings(disturbance=0.0))
    assert (still == [tanks.MEAN_DEMAND, tanks.MEAN_INFLOW]).all()


def test_disturbances_do_not_depend_on_what_the_operator_does():
    one, other = (
        tanks.simulate(np.random.default_rng(0), 50, Settings(switched=switched))
        for switched in (True, False)
    )
    assert np.array_equal(one.disturbances, other.disturbances)
    assert not np.array_equal(one.powers, other.powers)


@pytest.mark.parametrize(("reaction", "mean"), [(1.0, 1.0), (0.0, 0.5)])
def test_an_operator_who_reacts_feeds_an_empty_tank(reaction, mean):
    """One who does not draws any power; both touch a pump once in HOLD periods."""
    rng, settings = np.random.default_rng(0), Settings(reaction=reaction)
    powers = [tanks.decide(rng, np.zeros(2), np.zeros(2), settings) for _ in range(3000)]
    assert np.mean(powers) == pytest.approx(mean / tanks.HOLD, rel=0.1)


@pytest.mark.parametrize(
    ("arguments", "names", "seen", "labels"),
    [
        ((), (*tanks.LEVELS, *tanks.DISTURBANCES), 3, ("action", "state")),
        (("--measure-disturbances",), (*tanks.LEVELS, *tanks.DISTURBANCES), 5, ("action", "state")),
        (("--hide-actions",), (*tanks.LEVELS, *tanks.DISTURBANCES, *tanks.PUMPS), 3, ("state",)),
    ],
)
def test_what_a_model_may_see(tmp_path, arguments, names, seen, labels):
    spec = built(tmp_path / "out", *arguments).spec("tanks")
    assert spec.state_names == names and spec.exogenous_state == tanks.DISTURBANCES
    assert observed_columns(spec) == tuple(range(seen)) and spec.labels == labels


@pytest.mark.parametrize("kind", ["discrete", "continuous"])
def test_the_action_of_a_row_leads_to_the_next(kind):
    """The plant without noise, advanced by the recorded actions, gives the recorded levels."""
    chosen = options(f"--actions={kind}", "--sensor-noise=0", "--disturbance=0")
    played = recipe.shift(chosen, 0)
    actions = recipe.actions_of(chosen, played.powers)
    if kind == "discrete":
        words = [recipe.SETTINGS[action].split("_") for action in actions]
        power = {word: value for value, word in recipe.WORDS.items()}
        actions = np.array([[power[word] for word in pair] for pair in words])
    for t in range(20):
        reached = tanks.advance(played.levels[t], actions[t], played.disturbances[t])
        np.testing.assert_allclose(reached, played.levels[t + 1], atol=1e-6)


def test_the_log_as_csv_gives_the_same_dataset_by_the_reader_of_tables(tmp_path):
    plant = built(tmp_path / "plant")
    file = tmp_path / "plant.csv"
    assert csv_table.main([f"--out={file}", *SMALL]) == 0
    table = recipe_options(
        "table",
        *(f"--source={file}", "--time=time", "--episode=shift", "--actions=setting"),
        *("--hidden=demand,inflow", "--exogenous=demand,inflow"),
    )
    assert prepare("table", tmp_path / "table", table, engine=Engine("local", 1))
    read = open_dataset(tmp_path / "table")
    one, other = plant.spec("tanks"), read.spec("table")
    for field in ("state_names", "exogenous_state", "fps", "clip_stride"):
        assert getattr(one, field) == getattr(other, field)
    assert observed_columns(one) == observed_columns(other)
    assert one.details["state_statistics"] == other.details["state_statistics"]
    for split in ("train", "validation", "test"):
        first, second = ClipReader(plant, "tanks", split), ClipReader(read, "table", split)
        assert len(first) == len(second)
        for record in range(len(first)):
            a, b = first.clip(record), second.clip(record)
            assert np.array_equal(a.decode_label("state"), b.decode_label("state"))
            names = [
                [spec.action.names[i] for i in clip.decode_label("action")]
                for spec, clip in ((one, a), (other, b))
            ]
            assert names[0] == names[1]


def test_a_log_without_actions_keeps_the_truth_in_columns(tmp_path):
    file = tmp_path / "plant.csv"
    assert csv_table.main([f"--out={file}", *SMALL, "--hide-actions"]) == 0
    header = file.read_text().splitlines()[0]
    assert header == "time,shift,level_1,level_2,level_3,demand,inflow,pump_1,pump_2"
    assert csv_table.main([f"--out={tmp_path / 'no' / 'plant.csv'}", *SMALL]) == 1


def test_folders_of_vectors_are_inspected_and_validated(tmp_path, capsys):
    built(tmp_path / "out", "--hide-actions")
    assert main(["validate", str(tmp_path / "out")]) == 0
    assert main(["inspect", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert "valid: 4 records, 236 transitions, 0 blank_frames" in text
    assert "tanks: no pictures, vectors of 3 numbers, 0.1 frames/s, labels state" in text
    assert "column demand: not observed, exogenous, " in text
    assert "column level_1: " in text and "no actions" in text


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--episodes=2", "three are needed"),
        ("--disturbance=-1", "--disturbance is -1.0"),
        ("--correlation=0", "--correlation is 0.0"),
        ("--reaction=nan", "--reaction is nan"),
        ("--sensor-noise=2", "--sensor-noise is 2.0"),
    ],
)
def test_options_out_of_range(tmp_path, argument, message):
    with pytest.raises(DataError, match=message):
        prepare("plant", tmp_path / "out", options(argument))
