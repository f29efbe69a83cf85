"""A trained chunk policy as simulators and hierarchies use it."""

import jax
import numpy as np
import pytest

import flexlam_jax
from flexlam_jax.checkpoints.write import save_model
from flexlam_jax.errors import CheckpointError, UserError
from flexlam_jax.loading.chunk_policy import LoadedChunkPolicy, check_hierarchy
from flexlam_jax.models.baku import PredictsSettings, ReadsSettings, build_chunk_policy
from flexlam_jax.output_folder import Kind
from tests.models.test_baku import MODEL, OBSERVATION, PREDICTS, READS
from tests.models.tiny_lam import randomised

KIND = Kind("policy", "a policy", "--workdir", lambda folder: False)
TEXT = ["open the drawer", "close it"]


def section(kind, **values):
    return {**vars(kind()), **values}


CONFIG = {
    "model": MODEL,
    "reads": section(ReadsSettings, **READS, skill_source="z2 of model a"),
    "predicts": section(PredictsSettings, **PREDICTS, names=("x", "y")),
}
FRAMES = {name: OBSERVATION["frames"][:, 0, i] for i, name in enumerate(("top", "side"))}
PROPRIO, SKILL = OBSERVATION["proprio"][:, 0], OBSERVATION["skill"][:, 0]


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    """(loaded, its module, its variables)."""
    module = build_chunk_policy(*CONFIG.values())
    init = jax.jit(lambda: module.init(jax.random.key(0), OBSERVATION, SEEDS, method="act"))
    variables = randomised(init())
    folder = tmp_path_factory.mktemp("policy") / "run"
    save_model(folder, KIND, variables, CONFIG)
    return flexlam_jax.load(folder), module, variables


SEEDS = np.zeros(2, np.uint32)


def test_it_decides_what_the_network_says(policy):
    policy, module, variables = policy
    assert type(policy) is LoadedChunkPolicy and policy.step == 0
    assert policy.cameras == ("top", "side") and policy.reads_text
    assert (policy.history, policy.chunk, policy.width) == (3, 2, 2)
    assert policy.action_names == ("x", "y") and policy.columns == ()
    chunk = policy.decide(FRAMES, PROPRIO, TEXT, SKILL)
    now = {name: x[:, :1] for name, x in OBSERVATION.items() if name != "text"}
    now["text"] = policy.text.features(TEXT)
    expected = jax.jit(lambda: module.apply(variables, now, SEEDS, method="act"))()
    assert type(chunk) is np.ndarray and chunk.dtype == np.float32
    np.testing.assert_allclose(chunk, expected, rtol=1e-4, atol=1e-5)
    # The same steps, told as a history of one; cameras that it does not know are left alone.
    longer = {name: x[:, None] for name, x in FRAMES.items()} | {"wrist": None}
    given = policy.decide(longer, PROPRIO[:, None], TEXT, SKILL[:, None])
    np.testing.assert_array_equal(given, chunk)


def test_a_row_depends_on_itself_alone_and_on_all_that_is_read(policy):
    decide = policy[0].decide
    chunk = decide(FRAMES, PROPRIO, TEXT, SKILL)
    alone = decide({k: x[1:] for k, x in FRAMES.items()}, PROPRIO[1:], TEXT[1:], SKILL[1:])
    np.testing.assert_allclose(alone, chunk[1:], rtol=1e-4, atol=1e-5)
    others = (
        ({**FRAMES, "side": 255 - FRAMES["side"]}, PROPRIO, TEXT, SKILL),
        (FRAMES, PROPRIO + 1, TEXT, SKILL),
        (FRAMES, PROPRIO, TEXT[::-1], SKILL),
        (FRAMES, PROPRIO, TEXT, SKILL - 1),
    )
    for other in others:
        assert np.abs(decide(*other) - chunk).max() > 1e-3


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"frames": {"top": FRAMES["top"]}},
            "frames lack camera 'side'; this policy reads top, side",
        ),
        ({"frames": {**FRAMES, "top": FRAMES["top"] / 255}}, "'top' are float64 of shape"),
        ({"frames": {**FRAMES, "top": FRAMES["top"][:, :4]}}, r"\(B, 8, 8, 3\), or \(B, T, ...\)"),
        ({"frames": {**FRAMES, "side": FRAMES["side"][:1]}}, "'side' are 1 rows of 1 steps"),
        ({"proprio": None}, r"proprio is None; this policy reads \(2, 2\)"),
        ({"skill": SKILL[:, :2]}, r"skill is of shape \(2, 2\); this policy reads \(2, 3\)"),
        ({"text": "open"}, "text is 'open'; this policy reads a list of 2 sentences"),
        ({"text": None}, "text is None"),
        ({"seeds": np.zeros(3)}, r"seeds have shape \(3,\), not \(2,\)"),
    ],
)
def test_what_it_does_not_read(policy, change, message):
    given = {"frames": FRAMES, "proprio": PROPRIO, "text": TEXT, "skill": SKILL} | change
    with pytest.raises(ValueError, match=message):
        policy[0].decide(**given)


def loaded(reads=(), predicts=()):
    sections = {**CONFIG["reads"], **dict(reads)}, {**CONFIG["predicts"], **dict(predicts)}
    config = dict(zip(CONFIG, (MODEL, *sections), strict=True))
    return LoadedChunkPolicy(build_chunk_policy(*config.values()), {}, config, 0)


def test_a_hierarchy_speaks_of_one_kind_of_skill(policy):
    low = policy[0]
    skills = {"columns": ("z",), "width": 3, "low": (), "high": (), "source": low.skill_source}
    check_hierarchy(loaded({"skill": ""}, skills), low)
    refused = {
        "predicts actions \\(x, y\\), not skills": (loaded(), low),
        "the low level reads no skill": (low, loaded({"skill": ""})),
        "predicts 5 numbers, the low level reads 3": (loaded({}, {**skills, "width": 5}), low),
        "predicts z1 of model a, the low level was trained with z2 of model a": (
            loaded({}, {**skills, "source": "z1 of model a"}),
            low,
        ),
    }
    for message, pair in refused.items():
        with pytest.raises(UserError, match=f"no hierarchy: .*{message}"):
            check_hierarchy(*pair)
    with pytest.raises(UserError, match="swapped: the one given as the high level reads a skill"):
        check_hierarchy(low, loaded({"skill": ""}, skills))


def test_a_checkpoint_without_its_sections(tmp_path):
    save_model(tmp_path / "run", KIND, {"params": {"a": np.zeros(1)}}, {"model": MODEL})
    with pytest.raises(CheckpointError, match="lacks a section of model, reads, predicts; train"):
        flexlam_jax.load(tmp_path / "run")
