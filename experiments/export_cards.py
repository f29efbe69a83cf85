"""The cards that travel with latent actions: model_card.md and data_card.md.

Front matter as Hugging Face's cards have it; what nobody but the publisher can know (the licence) is
left to them, and said to be.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
from etils import epath

from data_pipelines.exporters.columns import CODES, IDS, IS_PAD, KEEP, LatentFacts
from data_pipelines.format.manifest import DatasetInfo
from flexlam_jax.files import json_object
from flexlam_jax.loading.action_card import card_path, read_card

MODEL, DATA = "model_card.md", "data_card.md"
_LICENSE = "license: unknown  # to be filled in by whoever publishes this"
_LIMITS = (
    "A latent action is what a model found useful to predict the next frame. It is no action of the "
    "agent and no validated intervention: a code that goes with an action in these data need not "
    "cause it elsewhere, and codes also hold what the agent does not control. What the codes of this "
    "model were shown to do stands under *Measured*; where nothing stands there, nothing was shown."
)


class Rows(NamedTuple):
    """One split: how much of it there is, and the sha256 of its records."""

    dataset: str
    split: str
    transitions: int
    data: str


def model_card(lam: Any, checkpoint: str, name: str, command: str, versions: str) -> str:
    """The card of a loaded model. name: of its work directory; command: what wrote the card.

    Raises DamagedFile for an action card beside the checkpoint that was edited.
    """
    workdir = card_path(checkpoint).parent
    front = [_LICENSE, "library_name: flexlam_jax", "tags:", "- latent-action-model", "- video"]
    config = lam.config
    model = config.get("model", {})
    rows = {
        "kind": str(config.get("kind", "lam")),
        "frames": "{} x {} x {}".format(*lam.frame_shape),
        "slots": f"{lam.slots} of width {lam.slot_width}",
        "codes": _codes(lam.codebook_size),
        "budgets": f"{_listed(lam.budgets)} (prefix lengths that training drew)",
        "encoder, decoder": f"{_kind(model, 'encoder')}, {_kind(model, 'decoder')}",
        "parameters": f"{_parameters(lam):,}",
        "training step": f"{lam.step}" + _of_total(config),
        "seed": str(config.get("seed", "unknown")),
        "fingerprint": f"`{lam.fingerprint()}`",
    }
    parts = [
        _front(front),
        f"# {name}: a latent action model\n",
        "It reads two frames and says in a few slots what happened between them. Any prefix of the "
        "slots is a code by itself; slots that are not kept are the null latent.\n",
        _table(("", ""), rows.items()),
        "## Trained on\n",
        _trained_on(config, json_object(workdir / "run.json")),
        "## Measured\n",
        _measured(lam, checkpoint, workdir),
        f"## Limits\n\n{_LIMITS}\n",
        _made(command, versions),
    ]
    return "\n".join(parts)


def data_card(
    facts: LatentFacts,
    info: DatasetInfo,
    rows: Sequence[Rows],
    *,
    title: str,
    layout: str,
    columns: Mapping[str, str],
    codes: str = CODES,
    front: Sequence[str] = (),
    command: str,
    versions: str,
) -> str:
    """The card of latents of datasets.

    Args:
      facts: whose latents.  info: the folder they are of.  rows: the splits.
      layout: what the files are, in sentences.  columns: name -> type and meaning.  codes: what
        the slots of a row are called.
      front: lines of the front matter beside the licence.
    """
    manifest = info.manifest
    about = {
        "made by": f"recipe `{manifest['recipe']}`",
        "content": f"`{manifest.get('content_hash', 'not recorded')}`",
        "episodes": str(manifest["episodes"]),
    }
    names = dict.fromkeys(row.dataset for row in rows)
    parts = [
        _front([_LICENSE, "task_categories:", "- robotics", *(front or _tags())]),
        f"# {title}\n",
        f"{layout}\n",
        "## Where they come from\n",
        "The licence of the original data holds for what is copied of them here.\n",
        _table(("source", ""), about.items()),
        *(_dataset(info, name) for name in names),
        _table(
            ("dataset", "split", "transitions", "sha256 of its records"),
            [(r.dataset, r.split, str(r.transitions), f"`{r.data}`") for r in rows],
        ),
        f"Latents by the model `{facts.model}`, training step {facts.step} (model_card.md).\n",
        "## Columns\n",
        _table(("column", "what it is"), columns.items()),
        _how_to_keep(facts, codes),
        f"## Limits\n\n{_LIMITS}\n",
        _made(command, versions),
    ]
    return "\n".join(parts)


def latent_meanings(facts: LatentFacts) -> dict[str, str]:
    """Latent column -> type and meaning, of formats with a row per frame."""
    k, d = facts.slots, facts.slot_width
    keep = f"here {facts.keep}"
    if facts.keep is None:
        keep = f"chosen for each transition by a tolerance of {facts.tolerance:g} dB of PSNR"
    told = {
        CODES: f"float ({k}, {d}): the slots of frames t and t + {facts.gap}, before null-fill",
        IDS: f"int ({k},): their codes, 0..{(facts.null_id or 1) - 1}; {facts.null_id} is the null id",
        KEEP: f"int: how many slots to use, {keep}; 0 where no transition begins",
        IS_PAD: f"bool: no transition begins here (the last {facts.gap} of an episode, and rows "
        "that were not extracted): the row holds the empty prefix",
    }
    return {name: told[name] for name in facts.columns}


def _how_to_keep(facts: LatentFacts, codes: str) -> str:
    null = _numbers(facts.null)
    return (
        "## Applying keep and null\n\n"
        "A code of k slots is the first k, and the null latent in the place of the others; k is "
        f"any number of them ({_listed(facts.budgets)} were trained):\n\n"
        "```python\n"
        f"null = np.float32({null})\n"
        f"code = np.where(np.arange({facts.slots})[:, None] < k, {codes}, null)  # "
        f"({facts.slots}, {facts.slot_width})\n"
        "```\n"
    )


def _dataset(info: DatasetInfo, name: str) -> str:
    spec = info.spec(name)
    action = "none"
    if spec.action is not None:
        action = f"{spec.action.kind}: {', '.join(spec.action.names)}"
    height, width, channels = spec.image_shape
    rows = {
        "frames": f"{height} x {width} x {channels}, {spec.codec}, {spec.fps or 'unknown'} per second",
        "action": action,
        "state": ", ".join(spec.state_names) or "none",
        "behaviour": spec.behaviour or "unknown",
    }
    return _table((f"`{name}`", ""), rows.items())


def _trained_on(config: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    data = config.get("data") or {}
    named = data.get("datasets") or "all datasets of its folder"
    gap = data.get("gap", 1)
    text = f"{_listed(named)}, frames {gap} apart, split {data.get('split', 'train')}.\n"
    hashes = run.get("data")
    if isinstance(hashes, Mapping) and hashes:
        rows = [(key, f"`{value}`") for key, value in hashes.items()]
        return text + "\n" + _table(("data", "sha256 of its records"), rows)
    return text + "The run recorded no hashes of its data.\n"


def _measured(lam: Any, checkpoint: str, workdir: epath.Path) -> str:
    told: list[str] = []
    report = json_object(workdir / "evaluation" / "report.json")
    models = report.get("models")
    if isinstance(models, list) and models and isinstance(models[0], Mapping):
        if models[0].get("step") == lam.step:
            told += [str(line) for line in report.get("summary", ())]
        else:
            told.append(f"evaluation/report.json is of another step ({models[0].get('step')}).")
    card = read_card(checkpoint)
    if card is not None and lam.fingerprint() in (card.lam.fingerprint, card.world.fingerprint):
        for budget in card.budgets:
            codes = card.at(budget)
            good = [code for code in codes if code.validated]
            names = _listed(sorted({code.action for code in good})) if good else "none"
            told.append(
                f"action_card.json: of {len(codes)} codes of {budget} slots {len(good)} were shown "
                f"to stand for an action ({names})."
            )
    if not told:
        return "Nothing yet; `experiments.evaluate_lam` measures it.\n"
    return "\n".join(f"- {line}" for line in told) + "\n"


def _parameters(lam: Any) -> int:
    return sum(math.prod(x.shape) for x in jax.tree.leaves(lam.variables["params"]))


def _of_total(config: Mapping[str, Any]) -> str:
    total = config.get("total_steps")
    return f" of {total}" if total else ""


def _codes(codebook_size: int | None) -> str:
    return "continuous" if codebook_size is None else f"{codebook_size} per slot"


def _kind(model: Mapping[str, Any], part: str) -> str:
    section = model.get(part) or {}
    return str(section.get("kind", "unknown")) if isinstance(section, Mapping) else str(section)


def _listed(values: Any) -> str:
    return values if isinstance(values, str) else ", ".join(map(str, values))


def _numbers(values: Any) -> str:
    return "[" + ", ".join(f"{float(value):.9g}" for value in values) + "]"


def _tags() -> list[str]:
    return ["tags:", "- latent-actions"]


def _front(lines: Sequence[str]) -> str:
    return "\n".join(["---", *lines, "---", ""])


def _table(head: Sequence[str], rows: Any) -> str:
    lines = [head, ["---"] * len(head), *rows]
    cells = ([str(cell).replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells) + "\n"


def _made(command: str, versions: str) -> str:
    return f"Written by `{command}`; {versions}.\n"
