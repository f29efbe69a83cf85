"""Where the order of the slots turns: what the agent does before what the world does.

Of an Ex-BMDP whose action moves orthonormal directions by `scale`, with isotropic action innovation
and isotropic w. mu = scale^2 action_variance is the variance of a controllable direction, nu =
noise_variance that of an exogenous one. docs/exogenous/linear.md derives them; they are ours.
"""

import numpy as np

from flexlam_jax.linear.checks import as_number


def supervision_threshold(noise_variance: float, action_variance: float, scale: float) -> float:
    """The weight of action prediction above which slots hold the action: nu / sa^2 - scale^2.

    An action slot gains mu by reconstruction and weight sa^2 by the head, an exogenous one nu. Negative
    where reconstruction alone prefers the action. With a share p of labels, p times the weight counts.

    Args:
      noise_variance: of w, per dimension.   action_variance: sa^2, of a - E[a | o], per dimension.
      scale: length of the change by an action of size 1.

    Raises:
      UserError: numbers that are not finite, or not positive.
    """
    noise = as_number(noise_variance, "noise_variance")
    action = as_number(action_variance, "action_variance", above=True)
    return noise / action - as_number(scale, "scale", above=True) ** 2


def own_frame_threshold(
    noise_variance: float, action_variance: float, scale: float, *, shared: bool = False
) -> float:
    """The weight beta of one's own frame beside the partner's, below which the action comes first.

    With a decoder for each, an action slot gains (1 + beta) mu and an exogenous one beta nu: beta < mu /
    (nu - mu). With one decoder for both (`shared`) an exogenous slot gains beta^2 nu / (1 + beta), which
    gives beta < 1 / (sqrt(nu / mu) - 1), but decodes it at beta / (1 + beta) of its size.

    Returns:
      The threshold; inf where nu <= mu, as then any weight will do.   Raises: as above.
    """
    noise = as_number(noise_variance, "noise_variance")
    action = as_number(action_variance, "action_variance", above=True)
    controllable = action * as_number(scale, "scale", above=True) ** 2
    if noise <= controllable:
        return float("inf")
    if shared:
        return float(1 / (np.sqrt(noise / controllable) - 1))
    return controllable / (noise - controllable)
