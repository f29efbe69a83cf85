"""A study as a list of commands, each of which writes a folder of its own: nothing runs here.

The LAM, its latents and the skills are learned from the video of all demonstrations; so is what
policies learn before they see an action. Actions are those of a share of the episodes, whole ones,
the same for all policies; smaller shares are part of larger ones. A high level learns skills from
all video and stays as it is; a low level learns by the skills that it predicts, and goes on from
latent actions to real ones.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments.hilam_study.arms import LEARNED, RANDOM, Arm, Latents
from experiments.hilam_study.settings import Settings
from experiments.pieces.config_flags import listed, with_variants
from experiments.pieces.piece import Piece

DATA, EVALUATION, GALLERY = "data", "evaluation", "gallery"
ALL = 100  # percent
_SPLITS = "train,validation"  # that are labelled, which the other commands go by
_TRAIN = "experiments.train"


@dataclasses.dataclass(frozen=True)
class Cell:
    """Whose result it is."""

    arm: str
    share: int
    seed: int


def pieces(settings: Settings) -> list[Piece]:
    """Everything that a study runs, in an order in which each comes after what it reads."""
    data = [] if settings.data else [_data(settings)]
    found = {piece.name: piece for piece in data}
    for seed, arm, share in settings.cells():
        for piece in _Seed(settings, seed).policy(arm, share):
            found.setdefault(piece.name, piece)  # Many arms read the same.
    return list(found.values())


def _data(settings: Settings) -> Piece:
    flags = [settings.simulator, f"--out={settings.data_path}"]
    flags += [f"--tasks={','.join(settings.tasks)}", f"--episodes={settings.demonstrations}"]
    flags += [f"--size={settings.size}"]
    flags += [f"--cameras={','.join(settings.cameras)}"] if settings.cameras else []
    return Piece(DATA, "data_pipelines.prepare", tuple(flags))


@dataclasses.dataclass(frozen=True)
class _Seed:
    """The pieces of one training seed; those that a piece reads come before it."""

    settings: Settings
    seed: int

    def policy(self, arm: Arm, share: int) -> Iterator[Piece]:
        """All that one policy is made of, and its evaluation."""
        if _stages(arm) or arm.pretrained is not None:
            yield from self._labels(arm)
        high, skill, before = None, None, None
        if arm.skill:
            high = self._high(arm, share)
            yield high
            skill = self._skills_name(arm.latents, arm.skill, arm.cuts)
        if high and arm.predicted:
            predicted = self._predicted(high)
            yield predicted
            skill = predicted.name
        if arm.pretrained is not None:
            before = self._from_video(arm, skill)
            yield before
        acting = self._acting(arm, share, skill, before)
        yield acting
        yield self._evaluation(acting, high, Cell(arm.name, share, self.seed))

    def _labels(self, arm: Arm) -> Iterator[Piece]:
        """LAM, latent actions, and the skills that an arm reads or predicts."""
        of, stages = arm.latents, _stages(arm)
        lam = self._lam(of)
        latents = self._latents(of, lam.name)
        yield from (lam, latents)
        if not stages:
            return
        skills = self._skill_model(of, latents.name)
        yield skills
        for stage, cuts in stages:
            yield self._skills(of, stage, cuts, (skills.name, latents.name))
        if arm.skill:
            yield self._gallery(of, (skills.name, latents.name))

    def _lam(self, of: Latents) -> Piece:
        """The Fixed-K model is one of K slots, all of them kept, as in the budget sweep."""
        variant = [f"fixed={of.slots}"] if of.slots else []
        flags = [f"--config={with_variants(self.settings.presets.lam, variant)}"]
        flags += [f"--config.model.slots={of.slots}"] if of.slots else []
        return self._trained("lam", of.lam, [*flags, *self._camera()], ())

    def _camera(self) -> list[str]:
        cameras = self.settings.cameras
        return [f"--config.data.cameras={listed(cameras[:1])}"] if cameras else []

    def _latents(self, of: Latents, lam: str) -> Piece:
        s, name = self.settings, self._name("latents", of.lam)
        flags = (f"--checkpoint={s.out / lam}", f"--data={s.data_path}", f"--out={s.out / name}")
        return Piece(name, "experiments.extract_latents", (*flags, f"--splits={_SPLITS}"), (lam,))

    def _skill_model(self, of: Latents, latents: str) -> Piece:
        flags = [f"--config={self.settings.presets.skills}", *self._camera()]
        flags += [f"--config.model.keep={of.keep}"] if of.keep else []
        flags += [_sidecars({"slots": self._path(latents)})]
        return self._trained("hilam", of.name, flags, (latents,))

    def _skills(self, of: Latents, stage: int, cuts: str, reads: tuple[str, str]) -> Piece:
        name = self._skills_name(of, stage, cuts)
        flags = [*self._cut(name, reads), f"--stage={stage}", f"--cuts={cuts}"]
        flags += [f"--seed={self.seed}"] if cuts == RANDOM else []
        return Piece(name, "experiments.extract_skills", tuple(flags), reads)

    def _gallery(self, of: Latents, reads: tuple[str, str]) -> Piece:
        name = self._name(GALLERY, of.name)
        flags = tuple(self._cut(name, reads))
        return Piece(name, "experiments.segment_video", flags, reads, GALLERY)

    def _cut(self, name: str, reads: tuple[str, str]) -> list[str]:
        skills, latents = map(self._path, reads)
        places = [f"--data={self.settings.data_path}", f"--out={self._path(name)}"]
        return [f"--checkpoint={skills}", f"--latents={latents}", *places]

    def _high(self, arm: Arm, share: int) -> Piece:
        """Without action-free video it knows the episodes of the share alone."""
        share = ALL if arm.pretrained is not None else share
        skills = self._skills_name(arm.latents, arm.skill, arm.cuts)
        label = skills.rpartition("/")[2] + ("" if share == ALL else f"_{share}")
        flags = [*self._policy(share, self.settings.presets.high)]
        flags += [f"--config.predicts.columns={listed(['skill'])}"]
        flags += [_sidecars({"skill": self._path(skills)})]
        return self._trained("high", label, flags, (skills,))

    def _predicted(self, high: Piece) -> Piece:
        """What the high level predicts for the labelled splits of all video."""
        name = self._name("predicted", high.name.rpartition("/")[2])
        flags = (f"--policy={self._path(high.name)}", f"--out={self._path(name)}")
        return Piece(
            name, "experiments.predict_skills", (*flags, f"--splits={_SPLITS}"), (high.name,)
        )

    def _from_video(self, arm: Arm, skill: str | None) -> Piece:
        """The acting policy before it sees an action: it predicts latent actions, or skills."""
        of, stage = arm.latents, arm.pretrained
        if stage:
            column, labels = "target", self._skills_name(of, stage, LEARNED)
            source = {"path": self._path(labels), "array": "skill"}
        else:
            column, labels = "slots", self._name("latents", of.lam)
            source = {"path": self._path(labels), "array": "slots"}
        flags = [*self._policy(ALL), f"--config.predicts.columns={listed([column])}"]
        flags += [f"--config.predicts.keep={of.keep}"] if of.keep and not stage else []
        told, columns, reads = self._read_skill(skill)
        flags += [*told, _sidecars(columns | {column: source})]
        label = f"{_name_of(arm, skill)}_to_z{stage}"
        return self._trained("from_video", label, flags, (*reads, labels))

    def _acting(self, arm: Arm, share: int, skill: str | None, before: Piece | None) -> Piece:
        """The policy of real actions."""
        told, columns, reads = self._read_skill(skill)
        flags = [*self._policy(share), *told, *([_sidecars(columns)] if columns else [])]
        if before:
            run = self._path(before.name)
            flags += [f"--config.init_from.low.path={run}", "--config.init_from.low.take=body"]
            flags += ["--config.init_from.low.to=body", f"--config.reads.like={run}"]
            reads = (*reads, before.name)
        return self._trained("acting", f"{arm.name}_{share}", flags, reads)

    def _read_skill(self, skill: str | None) -> tuple[list[str], dict[str, Any], tuple[str, ...]]:
        """(flags, column, piece) of the skills that a low level reads; nothing for a flat policy."""
        if not skill:
            return [], {}, ()
        flags = ["--config.reads.skill=skill", "--config.model.text.kind=none"]
        return flags, {"skill": {"path": self._path(skill), "array": "skill"}}, (skill,)

    def _policy(self, share: int, preset: str = "") -> list[str]:
        """Flags of every policy."""
        s = self.settings
        flags = [f"--config={preset or s.presets.policy}", f"--config.data.gap={s.gap}"]
        flags += [f"--config.reads.cameras={listed(s.cameras)}"]
        return flags + ([f"--config.data.episodes={share / 100}"] if share != ALL else [])

    def _evaluation(self, acting: Piece, high: Piece | None, cell: Cell) -> Piece:
        s = self.settings
        label = f"{cell.arm}_{cell.share}" + (f"_do{s.execute}" if s.execute else "")
        name = self._name(EVALUATION, label)
        levels = [high, acting] if high else [acting]
        flags = [
            f"--{flag}={self._path(piece.name)}"
            for flag, piece in zip(("policy", "low"), levels, strict=False)
        ]
        flags += [f"--suite={s.suite}", f"--tasks={','.join(s.tasks)}"]
        flags += [f"--protocol={s.protocol}"] if s.protocol else []
        flags += ["--noensemble", f"--execute={s.execute}"] if s.execute else []
        # Pieces run side by side, and all play the same episodes.
        flags += [f"--episodes={s.episodes}", "--workers=1", f"--out={self._path(name)}"]
        flags += [f"--compilation_cache={s.out / 'compiled'}"]
        reads = tuple(piece.name for piece in levels)
        return Piece(name, "experiments.evaluate_policy", tuple(flags), reads, EVALUATION, cell)

    def _trained(
        self, stage: str, label: str, flags: Sequence[str], reads: tuple[str, ...]
    ) -> Piece:
        s, name = self.settings, self._name(stage, label)
        flags = [*flags, f"--config.data.path={s.data_path}", f"--config.seed={self.seed}"]
        flags += [f"--config.compilation_cache={s.out / 'compiled'}", f"--workdir={s.out / name}"]
        return Piece(name, _TRAIN, tuple(flags), reads or (() if s.data else (DATA,)))

    def _skills_name(self, of: Latents, stage: int, cuts: str) -> str:
        return self._name("skills", f"{of.name}_z{stage}_{cuts}")

    def _name(self, stage: str, label: str) -> str:
        return f"seed{self.seed}/{stage}/{label}"

    def _path(self, name: str) -> str:
        return str(self.settings.out / name)


def _name_of(arm: Arm, skill: str | None) -> str:
    """Of what a policy reads: "skills/..." and "predicted/..." differ where their labels agree."""
    if not skill:
        return arm.latents.name
    _, stage, label = skill.split("/")
    return label if stage == "skills" else f"{stage}_{label}"


def _stages(arm: Arm) -> list[tuple[int, str]]:
    """(stage, cuts) of the skills that an arm needs."""
    found = [(arm.skill, arm.cuts)] if arm.skill else []
    return found + ([(arm.pretrained, LEARNED)] if arm.pretrained else [])


def _sidecars(columns: Mapping[str, Any]) -> str:
    """The flag of data.sidecars."""
    return f"--config.data.sidecars={columns}"
