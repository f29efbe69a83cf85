"""Where a command may write: a folder that is new, empty, or provably its own of the same kind.

    check(path, TRANSLATOR)                     # before any work; changes nothing
    with Claim(path, TRANSLATOR) as folder:     # checked, made, and locked until the block ends
        ...
    with Claim(path, LATENTS, shared=True):     # locked to all but others that share it too

Everything else is refused before anything is written, so that no command ever replaces or deletes
what somebody else put there. While a command writes, the lock file names it and the kind: that
proves the folder of one that was killed before it wrote the files that prove it otherwise.
"""

import contextlib
import dataclasses
import fcntl
import os
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from etils import epath

from flexlam_jax.errors import WorkdirError
from flexlam_jax.files import cannot_write, json_object, reachable, storage_error

LOCK = ".lock"
_PATIENCE = 5.0  # seconds that one who shares a folder waits for the first to share it
_OWNER = re.compile(r"pid \d+ on \S+(?:, (\w+))?")
# What systems put into folders by themselves.
_NOISE = {".DS_Store", "Thumbs.db", "desktop.ini", "lost+found", LOCK}


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of output.

    name: in the lock file.  noun: in messages.  flag: that names the folder.  proof: whether a
    folder holds files that only this package writes.  bucket: whether it may be a bucket URL.
    """

    name: str
    noun: str
    flag: str
    proof: Callable[[epath.Path], bool]
    bucket: bool = False


def _is_run(folder: epath.Path) -> bool:
    """config.json with the sections of ours beside run.json, of which one may be damaged; or beside
    the lock file of early versions, which wrote that first.
    """
    config = json_object(folder / "config.json")
    if {"seed", "total_steps", "optimizer", "mesh", "log"} <= config.keys():
        return (folder / "run.json").is_file() or _owner(folder) is not None
    starts = json_object(folder / "run.json").get("starts")
    return (
        not config
        and isinstance(starts, list)
        and bool(starts)
        and all(
            isinstance(start, dict) and {"argv", "versions", "devices"} <= start.keys()
            for start in starts
        )
    )


def _is_report(folder: epath.Path) -> bool:
    return {"title", "summary", "run", "models", "data"} <= json_object(
        folder / "report.json"
    ).keys()


def _is_translator(folder: epath.Path) -> bool:
    config = json_object(folder / "config.json")
    return config.get("kind") == "translator" and {"slots", "outputs", "lam"} <= config.keys()


def _is_latents(folder: epath.Path) -> bool:
    manifest = json_object(folder / "manifest.json")
    return {"format", "model", "gap", "data", "slots", "null", "files"} <= manifest.keys()


def _is_rollouts(folder: epath.Path) -> bool:
    settings = json_object(folder / "settings.json")
    return settings.get("kind") == "rollouts" and {"simulator", "policy", "seed"} <= settings.keys()


def _is_sweep(folder: epath.Path) -> bool:
    settings = json_object(folder / "settings.json")
    return settings.get("kind") == "sweep" and {"presets", "budgets", "labels"} <= settings.keys()


def _is_study(folder: epath.Path) -> bool:
    settings = json_object(folder / "settings.json")
    return settings.get("kind") == "lam_study" and {"config", "variants"} <= settings.keys()


def _is_skills(folder: epath.Path) -> bool:
    manifest = json_object(folder / "manifest.json")
    found = {"model", "lam", "stage", "cuts"} <= manifest.keys()
    return manifest.get("kind") == "skills" and (found or "predicted_by" in manifest)


def _is_segmentation(folder: epath.Path) -> bool:
    found = json_object(folder / "segmentation.json")
    return found.get("kind") == "segmentation" and {"model", "stages", "episodes"} <= found.keys()


def _is_policy_evaluation(folder: epath.Path) -> bool:
    settings = json_object(folder / "settings.json")
    named = {"suite", "protocol", "policy"} <= settings.keys()
    return settings.get("kind") == "policy_evaluation" and named


def _is_hierarchy(folder: epath.Path) -> bool:
    settings = json_object(folder / "settings.json")
    return settings.get("kind") == "hilam_study" and {"arms", "shares"} <= settings.keys()


def _is_skill_study(folder: epath.Path) -> bool:
    settings = json_object(folder / "settings.json")
    return settings.get("kind") == "skill_study" and {"changes", "sequences"} <= settings.keys()


def _is_skill_scores(folder: epath.Path) -> bool:
    found = json_object(folder / "scores.json")
    return found.get("kind") == "skill_scores" and {"change", "rows"} <= found.keys()


def _is_expert(folder: epath.Path) -> bool:
    settings = json_object(folder / "settings.json")
    return settings.get("kind") == "expert" and {"simulator", "replays"} <= settings.keys()


def _is_grid_world(folder: epath.Path) -> bool:
    settings = json_object(folder / "settings.json")
    return settings.get("kind") == "grid_world" and {"conditions", "budget"} <= settings.keys()


def _is_exogenous(folder: epath.Path) -> bool:
    settings = json_object(folder / "settings.json")
    return (
        settings.get("kind") == "exogenous_study" and {"strengths", "remedies"} <= settings.keys()
    )


def _is_linear_study(folder: epath.Path) -> bool:
    settings = json_object(folder / "settings.json")
    return settings.get("kind") == "linear_lam" and {"seeds", "fast"} <= settings.keys()


def _is_plant_study(folder: epath.Path) -> bool:
    settings = json_object(folder / "settings.json")
    return settings.get("kind") == "plant_study" and {"strengths", "budget"} <= settings.keys()


def _is_played(folder: epath.Path) -> bool:
    settings = json_object(folder / "settings.json")
    return settings.get("kind") == "played" and "checkpoint" in settings


def _is_export(folder: epath.Path) -> bool:
    found = json_object(folder / "export.json")
    return found.get("kind") == "export" and {"model", "functions"} <= found.keys()


def _is_pretrained(folder: epath.Path) -> bool:
    found = json_object(folder / "pretrained.json") or json_object(folder / "config.json")
    return found.get("kind") == "pretrained" and {"source", "part"} <= found.keys()


RUN = Kind("run", "a training run", "--workdir", _is_run)
REPORT = Kind("report", "a report", "--out", _is_report)
TRANSLATOR = Kind("translator", "a translator", "--workdir", _is_translator, bucket=True)
LATENTS = Kind("latents", "latent actions", "--out", _is_latents)
ROLLOUTS = Kind("rollouts", "rollouts", "--out", _is_rollouts)
SWEEP = Kind("sweep", "a budget sweep", "--out", _is_sweep)
STUDY = Kind("lam_study", "a study of latent action models", "--out", _is_study)
SKILLS = Kind("skills", "skills", "--out", _is_skills)
SEGMENTATION = Kind("segmentation", "segmented videos", "--out", _is_segmentation)
POLICY_EVALUATION = Kind(
    "policy_evaluation", "an evaluation of a policy", "--out", _is_policy_evaluation
)
HIERARCHY = Kind("hilam_study", "a study of the hierarchy", "--out", _is_hierarchy)
SKILL_STUDY = Kind("skill_study", "a study of boundaries", "--out", _is_skill_study)
SKILL_SCORES = Kind("skill_scores", "scores of boundaries", "--out", _is_skill_scores)
EXPERT = Kind("expert", "measurements of a scripted expert", "--out", _is_expert)
GRID_WORLD = Kind("grid_world", "a study of the grid world", "--out", _is_grid_world)
EXOGENOUS = Kind(
    "exogenous_study", "a study of what the agent does not control", "--out", _is_exogenous
)
LINEAR_STUDY = Kind(
    "linear_lam", "a study of linear latent action models", "--out", _is_linear_study
)
PLANT_STUDY = Kind("plant_study", "a study of a plant", "--out", _is_plant_study)
PLAYED = Kind("played", "recordings of a world", "--out", _is_played)
EXPORT = Kind("export", "an exported model", "--out", _is_export)
PRETRAINED = Kind("pretrained", "imported parameters", "--out", _is_pretrained)
_KINDS = (
    RUN,
    REPORT,
    TRANSLATOR,
    LATENTS,
    ROLLOUTS,
    SWEEP,
    STUDY,
    SKILLS,
    SEGMENTATION,
    POLICY_EVALUATION,
    HIERARCHY,
    SKILL_STUDY,
    SKILL_SCORES,
    EXPERT,
    GRID_WORLD,
    EXOGENOUS,
    LINEAR_STUDY,
    PLANT_STUDY,
    PLAYED,
    EXPORT,
    PRETRAINED,
)


def check(path: Any, kind: Kind, *, shared: bool = False) -> epath.Path:
    """The folder, absolute, if a command may write output of `kind` to it. Changes nothing.

    Args:
      shared: others may write to it at the same time; `Claim` tells whether they let us.

    Raises:
      WorkdirError: no name, a file, not writable, somebody else's, or in use.
    """
    if not str(path).strip():
        raise WorkdirError(f"{kind.flag}= is empty; give the folder to write {kind.noun} to")
    if "://" in str(path):
        if not kind.bucket:
            raise WorkdirError(
                f"{kind.flag}={path} is a bucket URL; {kind.noun} needs a local or "
                "mounted path (gcsfuse, s3fs, NFS)"
            )
        folder = reachable(path, WorkdirError)
        check_content(folder, kind)
        return folder
    try:
        folder = Path(path).expanduser().absolute()
        _check_place(folder, kind)
        check_content(epath.Path(folder), kind)
    except (OSError, RuntimeError) as error:  # Names too long, homes that nobody has.
        raise WorkdirError(
            f"{kind.flag}={path} cannot be looked into: "
            f"{getattr(error, 'strerror', None) or error}; give another "
            f"{kind.flag}"
        ) from error
    if not shared:
        _check_free(folder, kind)
    return epath.Path(folder)


def check_content(folder: epath.Path, kind: Kind) -> None:
    """Raises WorkdirError unless the folder is missing, empty, or holds output of `kind`."""
    if not folder.exists():
        return
    names = sorted(child.name for child in folder.iterdir())
    content = [name for name in names if name not in _NOISE]
    owner = _owner(folder)
    if owner == kind.name or kind.proof(folder):
        return
    if content or (LOCK in names and owner is None):
        raise WorkdirError(
            f"{_name(folder, kind)} holds {_what(folder, content or names)}, not {kind.noun} of "
            f"this package. Nothing was changed there; give {kind.flag} a new or empty folder"
        )


class Claim:
    """A context manager: the folder, checked, made, and closed to other writers until it ends.

    The lock is an flock, which the kernel drops however the process ends. Buckets know none: there
    two writers into one folder are not noticed.

    Args:
      shared: open to others that share it, whose files do not come into each other's way.

    Raises on entering:
      WorkdirError: see `check`.
    """

    def __init__(self, path: Any, kind: Kind, *, shared: bool = False):
        self._path, self._kind, self._shared = path, kind, shared
        self._file: TextIO | None = None

    def __enter__(self) -> epath.Path:
        folder = check(self._path, self._kind, shared=self._shared)
        if "://" in str(folder):
            return folder
        try:
            self._lock(Path(folder))
        except OSError as error:
            self.release()
            if storage_error(error):
                raise cannot_write(folder, error, kind=WorkdirError) from error
            raise WorkdirError(
                f"cannot write to {_name(folder, self._kind)}: {error.strerror}; "
                f"give another {self._kind.flag} or mend its permissions."
            ) from None
        except BaseException:
            self.release()
            raise
        return folder

    def __exit__(self, *exc_info: Any) -> None:
        self.release()

    def release(self) -> None:
        """Opens the folder to others. The lock file stays where it alone proves the kind."""
        if self._file is None:
            return
        file, self._file = self._file, None
        lock = Path(file.name)
        with file, contextlib.suppress(OSError):  # Somebody may have moved the folder.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # Fails while others share it.
            empty = all(child.name in _NOISE for child in lock.parent.iterdir())
            if empty or self._kind.proof(epath.Path(lock.parent)):
                lock.unlink(missing_ok=True)

    def _lock(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        lock = folder / LOCK
        for last in (False, False, True):  # Some file systems number a file anew at every look.
            file = open(lock, "a+")
            try:
                first = self._take(file)
            except BlockingIOError:
                file.close()
                raise _in_use(folder, self._kind) from None
            if last or _is_at(lock, file):
                break
            file.close()  # Its owner removed it between our two lines.
        self._file = file
        check_content(epath.Path(folder), self._kind)  # Another may have written since.
        if first:
            file.truncate(0)
            owner = f"pid {os.getpid()} on {socket.gethostname()}, {self._kind.name}"
            os.write(file.fileno(), owner.encode())
            if self._shared:
                fcntl.flock(file, fcntl.LOCK_SH)

    def _take(self, file: TextIO) -> bool:
        """Locks the file, for us alone (True) or beside others; BlockingIOError if it is in use."""
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if not self._shared:
                    raise
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return False
            except BlockingIOError:  # Whoever is first holds it alone for a moment.
                if time.monotonic() > end:
                    raise
            time.sleep(0.05)


def _is_at(path: Path, file: TextIO) -> bool:
    """Whether the open file is the one that lies at `path` now."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _check_place(folder: Path, kind: Kind) -> None:
    """Raises WorkdirError unless it is a folder that can be written to, or can be made."""
    if folder.is_symlink() and not folder.exists():
        raise WorkdirError(
            f"{_name(folder, kind)} is a link to {os.readlink(folder)}, which does "
            f"not exist; give another {kind.flag}"
        )
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not there.is_dir():
        raise WorkdirError(
            f"cannot write to {_name(folder, kind)}: {there} is a file (Not a "
            f"directory); give another {kind.flag}"
        )
    if not os.access(there, os.W_OK | os.X_OK):
        raise WorkdirError(
            f"cannot write to {_name(folder, kind)}: no permission to write in "
            f"{there}; give another {kind.flag} or mend its permissions."
        )


def _check_free(folder: Path, kind: Kind) -> None:
    """Raises WorkdirError if another process holds the lock; takes none itself."""
    try:
        with open(folder / LOCK) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _in_use(folder, kind) from None
    except OSError:  # No lock file, or a file system without locks: `Claim` will tell.
        pass


def _owner(folder: epath.Path) -> str | None:
    """The kind that the lock file names, "" if it names none, None if it is missing or not ours."""
    if not (folder / LOCK).is_file():
        return None
    try:
        text = (folder / LOCK).read_bytes()[:500].decode()
    except (OSError, ValueError):
        return None
    match = _OWNER.fullmatch(text)
    if not match:
        return None if text else ""
    return match[1] or ""


def _what(folder: epath.Path, names: list[str]) -> str:
    """What lies in a refused folder, in words where it is known."""
    found = [kind.noun for kind in _KINDS if kind.proof(folder)]
    if {"format_version", "datasets", "splits"} <= json_object(folder / "manifest.json").keys():
        found.append("a dataset")
    if ".git" in names:
        found.append("a git checkout")
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"{' and '.join(found)} ({shown})" if found else shown


def _name(folder: Any, kind: Kind) -> str:
    return f"work directory {folder}" if kind is RUN else f"{kind.flag}={folder}"


def _in_use(folder: Path, kind: Kind) -> WorkdirError:
    try:
        owner = (folder / LOCK).read_text(errors="replace").partition(",")[0].strip()
    except OSError:
        owner = ""
    return WorkdirError(
        f"{_name(folder, kind)} is in use by {owner or 'another process'}; wait "
        f"for that run, stop it, or give another {kind.flag}."
    )
