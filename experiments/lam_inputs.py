"""What the binaries that read a trained model share: opening it and the data it is applied to."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from absl import flags

from data_pipelines.format.manifest import DatasetInfo, open_dataset
from data_pipelines.format.spec import ActionSpec
from data_pipelines.loading.gaps import gap_frames
from data_pipelines.loading.loader import ordered_batches
from experiments.vector_inputs import VectorReader, check_alike
from flexlam_jax.checkpoints.files import FOLDER
from flexlam_jax.errors import CheckpointError, UserError
from flexlam_jax.evaluation.labels import Labels, read_labels
from flexlam_jax.loading.lam import LoadedLam
from flexlam_jax.loading.load import LAM, load_as, load_translator
from flexlam_jax.loading.translator import LoadedTranslator
from flexlam_jax.loading.vector_lam import LoadedVectorLam, NormalisedVectorLam
from flexlam_jax.typed_json import as_type

BATCH_SIZE = 256  # the largest batch that a loaded model runs in one piece
flags.disclaim_key_flags()  # Flags defined here belong to the binary that asks for them: --help.


@dataclasses.dataclass(frozen=True)
class Source:
    """Datasets of one folder, read as transitions `gap` frames apart.

    vectors: for a model of vectors, what makes frames of the state.
    """

    info: DatasetInfo
    names: tuple[str, ...]
    gap: int
    vectors: VectorReader | None = None

    def batches(
        self,
        split: str,
        *,
        actions: bool = False,
        names: Sequence[str] | None = None,
        spans: Sequence[range] | None = None,
        state: bool = False,
        views: Sequence[str] = (),
        sidecars: Mapping[str, str] | None = None,
    ) -> Iterator[dict]:
        """Every transition of a split once, in order; with `spans` those of these numbers.

        Actions, the state, other views (masks) and columns of sidecars come where they are asked for.
        """
        state = state or self.vectors is not None
        fields = (*(("action",) if actions else ()), *(("state",) if state else ()))

        def read(spans: Sequence[range] | None) -> Iterator[dict]:
            return ordered_batches(
                self.info.path,
                tuple(names or self.names),
                split,
                BATCH_SIZE,
                fields=fields,
                clip_length=2,
                gap=self.gap,
                spans=spans,
                views=tuple(views),
                sidecars=sidecars,
            )

        return self.vectors.framed(read, spans, self.gap) if self.vectors else read(spans)

    def count(self, split: str, name: str | None = None) -> int:
        """Transitions of a split, as the manifest counts them (gap 1)."""
        return sum(
            self.info.counts[key].get(split, {}).get("transitions", 0)
            for key in ([name] if name else self.names)
        )

    def check_splits(self, splits: Sequence[str]) -> None:
        """Raises DataError unless every dataset has these splits, with records and whole shards."""
        for name in self.names:
            for split in splits:
                self.info.shard_paths(name, split)

    def identity(self) -> str:
        """sha256 of the folder's manifest, which holds the hashes of all its shards."""
        text = json.dumps(self.info.manifest, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def actions(self) -> tuple[ActionSpec | None, str]:
        """(the one action specification of all datasets, or None; why there is none)."""
        specs = {name: self.info.spec(name).action for name in self.names}
        missing = [name for name, spec in specs.items() if spec is None]
        if missing:
            return None, f"the data of {', '.join(missing)} hold no actions"
        (first, spec), *others = specs.items()
        other = next((name for name, held in others if held != spec), None)
        if other:
            return None, (
                f"{first} ({_table(spec)}) and {other} ({_table(specs[other])}) have different "
                "action sets; name datasets that share one with --datasets"
            )
        return spec, ""

    def beside(self, other: "Source") -> "Source":
        """The datasets of both, each once."""
        return dataclasses.replace(self, names=tuple(dict.fromkeys(self.names + other.names)))


@dataclasses.dataclass(frozen=True)
class _TrainedOn:
    """What a checkpoint's config says of its data, as JSON holds it."""

    path: str | None = None
    datasets: list[str] | dict[str, float] | str | None = None
    gap: int | str | list[int | str] = 1


def open_source(lam, data: str, datasets: Sequence[str]) -> Source:
    """Opens --data and --datasets, by default those the model was trained on.

    Raises:
      UserError, DataError: no data folder known, unknown dataset, or frames of another size than
        the model's.
    """
    trained_on = as_type(
        lam.config.get("data") or {},
        _TrainedOn,
        where="the data section of the checkpoint's config",
        remedy="load a checkpoint that this package wrote",
        error=CheckpointError,
    )
    path = data or trained_on.path
    if not path:
        raise UserError("the checkpoint does not say which data it was trained on; give --data=DIR")
    info = open_dataset(path)
    known = trained_on.datasets or ()
    known = (known,) if isinstance(known, str) else tuple(known)
    absent = [name for name in known if name not in info.datasets]
    if absent and not datasets:
        raise UserError(
            f"{path} holds no dataset {absent[0]!r}, which the model was trained on; name some of "
            f"{', '.join(info.datasets)} with --datasets"
        )
    # Masks and depth are no frames, but stand beside them.
    names = tuple(datasets) or known
    names = names or tuple(n for n, spec in info.datasets.items() if not spec.is_map)
    vectors = None
    if isinstance(lam, NormalisedVectorLam):
        vectors = VectorReader.of(lam, info, names)
    for name in names if vectors is None else ():
        shape = tuple(info.spec(name).image_shape)
        if shape != lam.frame_shape:
            raise UserError(
                f"dataset {name} in {path} has frames of {_size(shape)}, the model reads "
                f"{_size(lam.frame_shape)}; prepare the data at that size "
                "or choose another checkpoint"
            )
    gap = trained_on.gap
    gap = tuple(gap) if isinstance(gap, list) else gap
    return Source(info, names, gap_frames(gap, info.spec(names[0]))[0], vectors)


def open_models(checkpoint: str, compare: Sequence[str], step: int | None) -> dict:
    """Loads --checkpoint and the NAME=WORKDIR or NAME=WORKDIR@STEP items of --compare, in this order;
    models of vectors as those that read and give frames, see `LoadedVectorLam.normalised`.

    Raises:
      UserError: an item that is neither, a name used twice, or models of other frame sizes.
    """
    lams = {model_name(checkpoint): load_as(LAM, checkpoint, step)}
    for item in compare:
        name, equals, path = item.partition("=")
        if not (name and equals and path):
            raise UserError(f"--compare item {item!r} is not NAME=WORKDIR or NAME=WORKDIR@STEP")
        if name in lams:
            raise UserError(
                f"--compare names two models {name!r} (--checkpoint takes its folder's name)"
            )
        lams[name] = load_as(LAM, *_with_step(path))
    lams = {
        name: lam.normalised() if isinstance(lam, LoadedVectorLam) else lam
        for name, lam in lams.items()
    }
    check_alike(lams)
    shapes = {name: lam.frame_shape for name, lam in lams.items()}
    if len(set(shapes.values())) > 1:
        sizes = ", ".join(f"{name} {_size(shape)}" for name, shape in shapes.items())
        raise UserError(
            f"the models read frames of different sizes ({sizes}); compare them separately"
        )
    return lams


def _with_step(text: str) -> tuple[str, int | None]:
    """WORKDIR@STEP -> (WORKDIR, STEP); WORKDIR -> (WORKDIR, None), the newest."""
    path, _, step = text.rpartition("@")
    number = whole_number(step)
    return (path, number) if path and number is not None else (text, None)


def open_translator(path: str, lam: LoadedLam, names: Sequence[str]) -> LoadedTranslator | None:
    """The translator of --translator for the codes of `lam`; None without a path.

    Args:
      names: of the actions of the data; () without.

    Raises:
      UserError: one for another latent action model, or for other actions than the data's.
    """
    if not path:
        return None
    translator = load_translator(path)
    made_by = str(translator.config.lam.get("fingerprint", "unknown"))
    if made_by != lam.fingerprint():
        raise UserError(
            f"--translator={path} reads the codes of another latent action model ({made_by[:12]}) than "
            f"this one ({lam.fingerprint()[:12]}, step {lam.step}); make one for this model with "
            "experiments.align_translator"
        )
    if names and tuple(translator.config.action_names) != tuple(names):
        raise UserError(
            f"--translator={path} gives the actions {', '.join(translator.config.action_names)}, and "
            f"the data have {', '.join(names)}; give the data that it was fitted on"
        )
    return translator


def check_budgets(
    budgets: Sequence[int], lam: LoadedLam, least: int = 0, name: str = "the model"
) -> None:
    """Raises UserError for prefix lengths of --budgets above the slots of the model."""
    outside = [k for k in budgets if k > lam.slots]
    if outside:
        raise UserError(
            f"--budgets: {outside} are outside {least}..{lam.slots}, the slots of {name}"
        )


def text(flag: flags.FlagHolder) -> str:
    """The value of a text flag; raises UserError for one that is given and empty."""
    if flag.present and not flag.value.strip():
        raise UserError(f"--{flag.name}= is empty; give a value, or leave the flag out")
    return flag.value


def listed(flag: flags.FlagHolder) -> list[str]:
    """The items of a list flag; those of its default, if it is not given.

    Raises:
      UserError: given without items, with an empty one, or with one twice.
    """
    items = [item.strip() for item in flag.value]
    if flag.present and not all(items or [""]):
        raise UserError(
            f"--{flag.name}={','.join(items)} has an empty item; name what is wanted, "
            "or leave the flag out"
        )
    twice = sorted({item for item in items if items.count(item) > 1})
    if twice:
        raise UserError(f"--{flag.name} names {', '.join(twice)} more than once")
    return items


def whole_number(text: str) -> int | None:
    """The number >= 0 that a text is, or None; no count has more than 18 digits."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def whole_numbers(flag: str, items: Sequence[str], least: int) -> tuple[int, ...]:
    """The values of a flag; raises UserError unless there are some, all whole and >= least."""
    numbers = [whole_number(text) for text in items]
    found = tuple(number for number in numbers if number is not None and number >= least)
    if not numbers or len(found) < len(numbers):
        raise UserError(f"--{flag}={','.join(items)}: give whole numbers, at least {least}")
    return found


def labels(flag: str, text: str) -> Labels:
    """The value of a flag for label counts; raises UserError for one that is none."""
    try:
        return read_labels(text)
    except ValueError as error:
        raise UserError(f"--{flag}: {error}") from error


def define_seed(help_text: str) -> flags.FlagHolder:
    """The flag --seed; every seed in its range is one of its own to NumPy and to JAX."""
    return flags.DEFINE_integer("seed", 0, help_text, lower_bound=0, upper_bound=2**32 - 1)


class InputFlags(NamedTuple):
    """The flags that say which model is read and which data it is applied to."""

    checkpoint: flags.FlagHolder
    step: flags.FlagHolder
    data: flags.FlagHolder
    datasets: flags.FlagHolder


def define_inputs(
    of: str = "the latent action model",
    datasets: str = "Datasets of the folder; default those of the training.",
) -> InputFlags:
    """The flags --checkpoint (required), --step, --data and --datasets, with what help says."""
    checkpoint = flags.DEFINE_string("checkpoint", None, f"Work directory of {of}.", required=True)
    step = flags.DEFINE_integer(
        "step", None, "Training step to load; default the newest.", lower_bound=0
    )
    data = flags.DEFINE_string(
        "data", "", "Dataset folder; default the one the model was trained on."
    )
    return InputFlags(checkpoint, step, data, flags.DEFINE_list("datasets", [], datasets))


def report_folder(out: flags.FlagHolder, checkpoint: str, name: str) -> str:
    """Where a report goes: --out, or the folder `name` in the work directory of the model.

    Raises:
      UserError: an empty --out, or none for a checkpoint in a bucket.
    """
    if out.present:
        return text(out)
    if "://" in checkpoint:
        raise UserError("--checkpoint is a bucket URL; give a local --out=DIR for the report")
    path = Path(checkpoint)
    return str((path.parent if path.name == FOLDER else path) / name)


def model_name(checkpoint: str) -> str:
    """Folder name of a work directory, also when its checkpoints folder was given."""
    path = PurePosixPath(checkpoint)
    return (path.parent if path.name == "checkpoints" else path).name or "model"


def _table(action: ActionSpec) -> str:
    names = ", ".join(action.names)
    return f"{action.kind}: {names if len(names) <= 60 else names[:57] + '...'}"


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
