"""Multi-step inverse dynamics: a feature space that holds what tells actions apart, and little else.

    L = -log p(a_t | phi(o_t) + e, phi(o_{t+n}) + e', n) + bottleneck / 2 |phi|^2,
    n ~ U{1..N},   e, e' ~ N(0, I)

Several steps, because what an action does may show late, and one step confuses states that look
alike (AC-State, arXiv 2207.08229; multi-step inverse, Levine et al. 2403.11940). Exogenous noise
does not help to tell actions apart, so nothing rewards keeping it; the cost of a nat (phi is the mean
of a Gaussian of variance 1, and |phi|^2 / 2 its divergence from N(0, I): Alemi et al., arXiv
1612.00410) is what makes features drop it, in the place of AC-State's discrete bottleneck. It needs
labels; where noise tells of actions (both follow a third thing) it is kept.

Dimension keys: B rows, N steps, F features, A actions, H W C image.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from flexlam_jax.errors import ConfigError
from flexlam_jax.frames import to_float
from flexlam_jax.models.feature_head import FeatureEncoder, InverseHead
from flexlam_jax.objectives.objective import Batch, Mean
from flexlam_jax.random import fold_name

FRAMES = "frame_chunk"  # Frames from the labelled one on, a frame apart.
TERM = "inverse"


@dataclasses.dataclass(frozen=True)
class InverseDynamics:
    """Attributes:
    outputs: actions to tell apart, or dimensions of one.
    discrete: which of the two.
    steps: N.
    width: F.
    bottleneck: what a nat of the features costs.
    """

    outputs: int
    discrete: bool
    steps: int
    width: int
    bottleneck: float

    def init(self, key: jax.Array) -> Any:
        """Parameters of the head."""
        features = jnp.zeros((1, self.width))
        return self._head.init(key, features, features, jnp.ones(1, jnp.int32))["params"]

    def error(self, head: Any, encoder: Any, batch: Batch, key: jax.Array) -> Mean:
        """The loss of a labelled batch; gradients reach the parameters of head and encoder.

        Args:
          batch: frame_chunk uint8 (B, N + 1, H, W, C), frame_chunk_mask bool (B, N + 1), action
            int32 (B, 1) or float32 (B, 1, A), that at the first frame.

        Raises:
          ConfigError: no such frames in the batch.
        """
        if FRAMES not in batch:
            raise ConfigError(
                f"config.translator.steps={self.steps} reads the frames after labelled ones, "
                f"data.frame_chunk={self.steps + 1}, and the labelled rows have none"
            )
        frames, held = batch[FRAMES], batch[f"{FRAMES}_mask"]
        most = jnp.maximum(held.sum(1, dtype=jnp.int32) - 1, 1)
        drawn = jax.random.uniform(fold_name(key, "between"), most.shape)
        between = jnp.minimum(1 + (drawn * most).astype(jnp.int32), most)
        later = jax.vmap(lambda row, place: row[place])(frames, between)
        both = to_float(jnp.stack([frames[:, 0], later], axis=1))
        mean = FeatureEncoder(self.width).apply({"params": encoder}, both)
        noisy = mean + jax.random.normal(fold_name(key, "noise"), mean.shape)
        found = self._head.apply({"params": head}, noisy[:, 0], noisy[:, 1], between)
        action = batch["action"][:, 0]
        if self.discrete:
            error = optax.softmax_cross_entropy_with_integer_labels(found, action)
        else:
            error = jnp.square(found - action).mean(-1)
        rate = 0.5 * jnp.square(mean).sum(-1).mean(-1)
        return Mean.of(error + self.bottleneck * rate, held[:, 1])

    @property
    def _head(self) -> InverseHead:
        return InverseHead(self.outputs, self.steps)
