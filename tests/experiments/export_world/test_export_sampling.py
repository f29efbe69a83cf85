"""The page draws tokens as the package does, by node where it is installed."""

import json
import pathlib
import shutil
import subprocess

import jax
import numpy as np
import pytest

from flexlam_jax.models.maskgit import MOST_STEPS, hidden_after, sample_frame

HERE = pathlib.Path(__file__)
SCRIPT = HERE.parents[3] / "experiments" / "export_world" / "page" / "sampling.js"
pytestmark = pytest.mark.skipif(not shutil.which("node"), reason="needs node")
TOKENS, CODES, STEPS = 12, 5, 4
LOGITS, TEMPERATURE, DRAWS = [1.0, 0.0, 2.0, -1.0, 0.5], 1.5, 400


@pytest.fixture(scope="module")
def tables():
    """Logits (N, V) for each number of tokens that may be hidden."""
    rng = np.random.default_rng(0)
    counts = (TOKENS, *hidden_after(TOKENS, STEPS))
    return {n: rng.standard_normal((TOKENS, CODES)).astype(np.float32) for n in counts}


@pytest.fixture(scope="module")
def told(tables):
    pairs = [(tokens, steps) for tokens in (1, 4, 64, 256) for steps in range(1, MOST_STEPS + 1)]
    asked = {
        "schedules": pairs,
        "frame": {
            "tables": {str(n): table.tolist() for n, table in tables.items()},
            "tokens": TOKENS,
            "codes": CODES,
            "steps": STEPS,
        },
        "logits": LOGITS,
        "temperature": TEMPERATURE,
        "draws": DRAWS,
    }
    done = subprocess.run(
        ["node", HERE.with_name("sampling_driver.mjs"), SCRIPT],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["schedules"] == [list(hidden_after(*pair)) for pair in pairs]
    return found


def test_at_temperature_0_both_draw_the_same(told, tables):
    stacked = np.zeros((TOKENS + 1, TOKENS, CODES), np.float32)
    for count, table in tables.items():
        stacked[count] = table
    stacked = jax.numpy.asarray(stacked)
    keys = jax.random.split(jax.random.key(0), 1)
    ids = sample_frame(lambda ids, hidden: stacked[hidden.sum(-1)], keys, TOKENS, STEPS, 0.0)
    assert told["likeliest"]["ids"] == ids[0].tolist()
    assert told["likeliest"]["seen"] == [TOKENS, *hidden_after(TOKENS, STEPS)[:-1]]


def test_codes_come_as_often_as_their_probability(told):
    """In one step, as more of them keep the likelier ones; here all tokens have the same logits."""
    weights = np.exp(np.array(LOGITS) / TEMPERATURE)
    wanted = DRAWS * TOKENS * weights / weights.sum()
    # Chi-square with 4 degrees of freedom: 23.5 in one of 10,000 runs; seeds are fixed.
    assert np.sum((told["counts"] - wanted) ** 2 / wanted) < 23.5


def test_a_seed_draws_the_same_again_from_uniform_numbers(told):
    assert told["again"] == told["same"] and told["again"]["ids"] != told["likeliest"]["ids"]
    uniform = np.array(told["uniform"])
    assert 0 < uniform.min() and uniform.max() < 1
    counts = np.histogram(uniform, 20, (0, 1))[0]
    assert np.sum((counts - 1000) ** 2 / 1000) < 54  # 19 degrees of freedom, one in 30,000.
    assert abs(np.corrcoef(uniform[1:], uniform[:-1])[0, 1]) < 0.03
