"""Whether a latent action does elsewhere what it does at home.

The code z of a source transition o_s -> o_s' is decoded on a frame o_x of another scene, camera or
body; the step from o_x to what was decoded is encoded again, z'; and z' is replayed on o_s. All frames
are compared with the true o_s':

  own scene         z decoded on o_s: what the model can do
  cycle             z' decoded on o_s
  cycle at home     the same with o_s for o_x: what reading a decoded frame costs, without moving
  shuffled          z of another transition decoded on o_s: nothing was carried over
  copy              o_s itself

Codes are null-filled prefixes of k slots throughout. The cycle is FlexLAM's test across bodies and
that of arXiv 2601.05230, which reports its error as a ratio to that in the own scene.

Dimension keys: N pairs, H W C frame, K slots, D slot width.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from flexlam_jax.evaluation import intervals
from flexlam_jax.evaluation.lam.code_agreement import relative as explained
from flexlam_jax.evaluation.lam.code_agreement import same_ids, strangers
from flexlam_jax.evaluation.lam.reconstruction import image_errors, psnr_difference, quality
from flexlam_jax.evaluation.world.obedience import Commanded, balanced, relative
from flexlam_jax.reports.pictures import to_bytes
from flexlam_jax.reports.results import Number

OWN, CYCLE, HOME, SHUFFLED, COPY = "own", "cycle", "home", "shuffled", "copy"
NAMES = {
    OWN: "own scene",
    CYCLE: "cycle",
    HOME: "cycle at home",
    SHUFFLED: "shuffled",
    COPY: "copy",
}


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Source transitions, each with a frame that its code is applied to.

    Attributes:
      o_s, o_next, o_x: uint8 (N, H, W, C); o_x may be of any other video of this size.
      episode: (N,) of the sources.
      action: int (N,), float (N, A), or None without labels.
    """

    o_s: np.ndarray
    o_next: np.ndarray
    o_x: np.ndarray
    episode: np.ndarray
    action: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.o_s)


@dataclasses.dataclass(frozen=True)
class Carried:
    """What becomes of the codes of k slots.

    Attributes:
      there: uint8 (N, H, W, C), o_x after the code.
      code, again: null-filled z and z', (N, K, D).      ids, ids_again: (N, K), None if continuous.
      replays: {of NAMES: frames in [0, 1] (N, H, W, C)}, copy as uint8.
    """

    there: np.ndarray
    code: np.ndarray
    again: np.ndarray
    ids: np.ndarray | None
    ids_again: np.ndarray | None
    replays: dict[str, np.ndarray]


def carry(
    lam: Any, pairs: Pairs, read: tuple, keep: int, partner: np.ndarray | None = None
) -> Carried:
    """Codes of `keep` slots, applied, read again and replayed.

    Args:
      read: `lam.encode_with_ids` of the sources, whole.
      partner: (N,) the transitions whose codes are the shuffled ones; without them there are none.
    """
    slots, ids = read
    code = np.asarray(lam.null_fill(slots, keep))
    own = np.asarray(lam.decode(pairs.o_s, code))
    there = to_bytes(np.asarray(lam.decode(pairs.o_x, code)))

    def read_again(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, Any]:
        slots, ids = lam.encode_with_ids(before, after)
        return np.asarray(lam.null_fill(slots, keep)), ids

    again, ids_again = read_again(pairs.o_x, there)
    home, _ = read_again(pairs.o_s, to_bytes(own))
    replayed = {CYCLE: again, HOME: home}
    if partner is not None:
        replayed[SHUFFLED] = code[partner]
    frames = {name: np.asarray(lam.decode(pairs.o_s, one)) for name, one in replayed.items()}
    if ids is not None:
        ids, ids_again = np.asarray(ids)[:, :keep], np.asarray(ids_again)[:, :keep]
    return Carried(there, code, again, ids, ids_again, {OWN: own, **frames, COPY: pairs.o_s})


def transfer(
    lam: Any,
    pairs: Pairs,
    budgets: Sequence[int],
    translator: Any = None,
    seed: int = 0,
    tick: Callable[[], object] = lambda: None,
) -> list[dict[str, Any]]:
    """A row per prefix length k.

    psnr_<name>, ssim_<name>      of NAMES, against o_s'
    lost, above                   dB by which the cycle is below the own scene, and above shuffled;
                                  paired over the same episodes
    kept                          (error shuffled - error cycle) / (error shuffled - error own):
                                  1 as in the own scene, 0 as another transition's code
    ratio                         error of the cycle over that in the own scene
    ids, ids_shuffled             share of slots whose id is read again; against another's: chance
    action_real, action_carried   what the translator reads of z and of z': balanced accuracy over the
                                  actions that occur, or the share of their variance
    action_shuffled               of z of another transition
    action_relative               carried over real, where actions are discrete

    Args:
      translator: a loaded one of this model; None without labels.

    Raises:
      ValueError: fewer than two pairs.
    """
    partner = strangers(pairs.episode, seed)
    read = lam.encode_with_ids(pairs.o_s, pairs.o_next)
    rows = []
    for keep in budgets:
        carried = carry(lam, pairs, read, keep, partner)
        row: dict[str, Any] = {"k": int(keep), **_errors(carried, pairs)}
        if carried.ids is not None and keep:
            row["ids"], row["ids_shuffled"] = same_ids(
                carried.ids, carried.ids_again, partner, pairs.episode
            )
        if translator is not None and pairs.action is not None:
            row |= _actions(carried, pairs, partner, translator)
        rows.append(row)
        tick()
    return rows


def nearer(row: dict[str, Any]) -> str:
    """Which of `OWN` and `SHUFFLED` the cycle is nearer to in dB; "" where the intervals of its
    distances overlap."""
    lost, above = row["lost"], row["above"]
    if lost.high < above.low:
        return OWN
    return SHUFFLED if above.high < lost.low else ""


def _errors(carried: Carried, pairs: Pairs) -> dict[str, Number]:
    errors = {name: image_errors(one, pairs.o_next) for name, one in carried.replays.items()}
    found: dict[str, Number] = {}
    for name, error in errors.items():
        of = quality(error, pairs.episode)
        found |= {f"{measure}_{name}": number for measure, number in of.items()}
    mse = {name: error["mse"] for name, error in errors.items()}
    found["lost"] = psnr_difference(mse[OWN], mse[CYCLE], pairs.episode)
    found["above"] = psnr_difference(mse[CYCLE], mse[SHUFFLED], pairs.episode)
    found["kept"] = intervals.over_episodes(mse, pairs.episode, _kept, unit="of the own scene's")
    found["ratio"] = intervals.over_episodes(
        mse, pairs.episode, lambda sums: _over(sums[CYCLE], sums[OWN]), unit="of the own scene's"
    )
    return found


def _kept(sums: dict[str, np.ndarray]) -> np.ndarray:
    return _over(sums[SHUFFLED] - sums[CYCLE], sums[SHUFFLED] - sums[OWN])


def _over(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """one / other, 0 where the other is 0: a code that says nothing has nothing to lose."""
    return np.where(other == 0, 0.0, one / np.where(other == 0, 1, other))


def _actions(
    carried: Carried, pairs: Pairs, partner: np.ndarray, translator: Any
) -> dict[str, Number]:
    codes = {"real": carried.code, "carried": carried.again, "shuffled": carried.code[partner]}
    read = {name: np.asarray(translator(code)) for name, code in codes.items()}
    wanted = np.asarray(pairs.action)
    if not translator.config.discrete:
        centred = np.square(wanted - wanted.mean(0)).sum(-1)
        return {
            f"action_{name}": explained(np.square(one - wanted).sum(-1), centred, pairs.episode)
            for name, one in read.items()
        }
    classes = int(max(translator.config.outputs, wanted.max() + 1))
    found = {
        f"action_{name}": balanced(one, wanted, pairs.episode, classes)
        for name, one in read.items()
    }
    true = Commanded(action=wanted, episode=pairs.episode)
    ratio = relative((read["carried"], true), (read["real"], true), classes)
    return found | ({"action_relative": ratio} if ratio else {})
