"""Every key of a config: what the loop, the model, its loss and the loader read, joined in one place.

Each key is a field of the dataclass that reads it, with its default, its range and what it is for;
`python -m experiments.train --config=FILE --help` prints them.
"""

import dataclasses

from data_pipelines.loading.options import LoaderOptions
from flexlam_jax.config.ranges import TEXT
from flexlam_jax.config.settings import section, setting
from flexlam_jax.models.baku import ChunkPolicySettings, PredictsSettings, ReadsSettings
from flexlam_jax.models.behaviour_cloning import BehaviourCloningSettings
from flexlam_jax.models.dynamics_settings import (
    ActionSettings,
    DynamicsSettings,
    SamplingSettings,
    TokenizerSource,
    TokenSettings,
)
from flexlam_jax.models.hilam import HiLamSettings, LatentStatistics
from flexlam_jax.models.lam import LamSettings
from flexlam_jax.models.token_policy import CodeSettings, LamSource, TokenPolicySettings
from flexlam_jax.models.tokenizer import TokenizerSettings
from flexlam_jax.models.vectors import VectorSettings
from flexlam_jax.objectives.cotraining import DynamicsLamSettings
from flexlam_jax.objectives.dynamics import DynamicsLossSettings
from flexlam_jax.objectives.hilam import HiLamLossSettings
from flexlam_jax.objectives.lam import LossSettings
from flexlam_jax.objectives.tokenizer import TokenizerLossSettings
from flexlam_jax.training.settings import RunSettings


@dataclasses.dataclass(frozen=True)
class TaskSettings(RunSettings):
    """What the binaries read of the config of any kind of model."""

    kind: str = setting("lam", range=TEXT, help="of the model; see experiments/tasks")
    compilation_cache: str = setting(
        "",
        range=TEXT,
        help='folder of compiled programs; "" for one in the work directory',
        required=True,
    )


@dataclasses.dataclass(frozen=True)
class LamConfig(TaskSettings):
    """The config of a latent action model."""

    data: LoaderOptions = section(LoaderOptions, required=True)
    model: LamSettings = section(LamSettings, required=True)
    loss: LossSettings = section(LossSettings, required=True)


@dataclasses.dataclass(frozen=True)
class VectorLamConfig(LamConfig):
    """The config of a latent action model on vectors."""

    kind: str = setting("vector_lam", range=TEXT, help="of the model")
    vectors: VectorSettings = section(VectorSettings)


@dataclasses.dataclass(frozen=True)
class BehaviourCloningConfig(TaskSettings):
    """The config of behaviour cloning."""

    kind: str = setting("behaviour_cloning", range=TEXT, help="of the model")
    data: LoaderOptions = section(LoaderOptions, required=True)
    model: BehaviourCloningSettings = section(BehaviourCloningSettings, required=True)


@dataclasses.dataclass(frozen=True)
class TokenPolicyConfig(TaskSettings):
    """The config of a latent-token policy."""

    kind: str = setting("token_policy", range=TEXT, help="of the model")
    data: LoaderOptions = section(LoaderOptions, required=True)
    model: TokenPolicySettings = section(TokenPolicySettings, required=True)
    codes: CodeSettings = section(CodeSettings)
    lam: LamSource = section(LamSource)


@dataclasses.dataclass(frozen=True)
class HiLamConfig(TaskSettings):
    """The config of skills of variable length."""

    kind: str = setting("hilam", range=TEXT, help="of the model")
    data: LoaderOptions = section(LoaderOptions, required=True)
    model: HiLamSettings = section(HiLamSettings, required=True)
    loss: HiLamLossSettings = section(HiLamLossSettings)
    codes: CodeSettings = section(CodeSettings)
    latents: LatentStatistics = section(LatentStatistics)
    lam: LamSource = section(LamSource)


@dataclasses.dataclass(frozen=True)
class PolicyConfig(TaskSettings):
    """The config of a chunk policy."""

    kind: str = setting("policy", range=TEXT, help="of the model")
    data: LoaderOptions = section(LoaderOptions, required=True)
    model: ChunkPolicySettings = section(ChunkPolicySettings, required=True)
    reads: ReadsSettings = section(ReadsSettings)
    predicts: PredictsSettings = section(PredictsSettings)


@dataclasses.dataclass(frozen=True)
class TokenizerConfig(TaskSettings):
    """The config of a video tokenizer."""

    kind: str = setting("tokenizer", range=TEXT, help="of the model")
    data: LoaderOptions = section(LoaderOptions, required=True)
    model: TokenizerSettings = section(TokenizerSettings, required=True)
    loss: TokenizerLossSettings = section(TokenizerLossSettings)


@dataclasses.dataclass(frozen=True)
class DynamicsConfig(TaskSettings):
    """The config of the dynamics of a world."""

    kind: str = setting("dynamics", range=TEXT, help="of the model")
    data: LoaderOptions = section(LoaderOptions, required=True)
    model: DynamicsSettings = section(DynamicsSettings, required=True)
    loss: DynamicsLossSettings = section(DynamicsLossSettings)
    tokenizer: TokenizerSource = section(TokenizerSource)
    tokens: TokenSettings = section(TokenSettings)
    lam: DynamicsLamSettings = section(DynamicsLamSettings)
    actions: ActionSettings = section(ActionSettings)
    sampling: SamplingSettings = section(SamplingSettings)
