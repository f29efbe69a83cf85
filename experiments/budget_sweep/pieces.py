"""A sweep as a list of commands, each of which writes a folder of its own: nothing runs here.

Fixed-K is the model of K slots, all of them kept: what one would train who knew the budget. It has
no slot that its decoder never sees, so that its policy spends nothing on predicting one. FlexLAM
has as many slots as the longest budget. All else is equal: architecture, steps, data, label draws,
episodes; FlexLAM alone decodes several prefixes per step, if its preset says so.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from experiments.budget_sweep.settings import JOINT, NARROW, SCARCE, Settings
from experiments.pieces.config_flags import listed, with_variants
from experiments.pieces.piece import Piece

DATA = "data"
FLEX, CLONING, RANDOM, EXPERT = "flexlam", "cloning", "random", "expert"
ACCURACY, RETURNS, REPORT = "accuracy", "returns", "report"
ALL_LABELS = "all"
# Where actions are drawn, the probabilities are squared first: a translator of few labels blurs
# them, and a policy that acts as it says would act at random too often.
POWER = 2


@dataclasses.dataclass(frozen=True)
class Cell:
    """Whose number it is. k: None where one result speaks of several budgets, or of none."""

    model: str
    seed: int | None = None
    protocol: str = ""
    labels: str = ""
    draw: int | None = None
    k: int | None = None


@dataclasses.dataclass(frozen=True)
class Model:
    """A LAM to compare. budgets: prefix lengths that it is used at."""

    name: str
    slots: int
    budgets: tuple[int, ...]

    @property
    def fixed(self) -> bool:
        return self.name != FLEX


def models(settings: Settings) -> list[Model]:
    """FlexLAM, and a Fixed-K for every budget."""
    fixed = [Model(f"fixed_{k}", k, (k,)) for k in settings.budgets]
    return [Model(FLEX, settings.slots, settings.budgets), *fixed]


def pieces(settings: Settings) -> list[Piece]:
    """Everything that a sweep runs, in an order in which each comes after what it reads."""
    found = [] if settings.data else [_data(settings)]
    for seed in settings.seeds:
        found += _of_seed(settings, seed)
    return [*found, *_anchors(settings)]


def _data(settings: Settings) -> Piece:
    plan = ",".join(f"{name}={count}" for name, count in settings.plan.items())
    flags = [settings.simulator, f"--out={settings.out / DATA}"]
    return Piece(DATA, "data_pipelines.prepare", (*flags, *([f"--plan={plan}"] if plan else [])))


def _of_seed(settings: Settings, seed: int) -> Iterator[Piece]:
    seeded = _Seed(settings, seed)
    lams = {model: seeded.lam(model) for model in models(settings)}
    yield from lams.values()
    yield from seeded.cloned()
    for model, lam in lams.items():
        yield from seeded.used(model, lam.name, [SCARCE, NARROW])
        if JOINT in settings.protocols:
            tuned = seeded.tuned(model, lam.name)
            yield tuned
            yield from seeded.used(model, tuned.name, [JOINT])
    yield seeded.report(list(lams.values()))


def _anchors(settings: Settings) -> Iterator[Piece]:
    """What random and expert play earn in these episodes."""
    for behaviour in (RANDOM, *([EXPERT] if settings.expert else [])):
        name = f"anchors/rollout/{behaviour}"
        flags = [f"--policy={behaviour}", *_played(settings, settings.tasks, name)]
        yield Piece(name, "experiments.rollout", tuple(flags), (), RETURNS, Cell(behaviour))


@dataclasses.dataclass(frozen=True)
class _Seed:
    """The pieces of one training seed."""

    settings: Settings
    seed: int

    def lam(self, model: Model) -> Piece:
        preset = self.settings.presets.lam
        variant = [f"fixed={model.slots}"] if model.fixed else []
        flags = [f"--config={with_variants(preset, variant)}"]
        flags += [f"--config.model.slots={model.slots}", *self._video()]
        return self._trained("lam", model.name, flags, "experiments.pretrain_lam", ())

    def _video(self) -> list[str]:
        video = self.settings.video
        return [] if video is None else [f"--config.data.datasets={listed(video)}"]

    def tuned(self, model: Model, lam: str) -> Piece:
        s = self.settings
        variant = [f"of={s.presets.lam.replace(',', '+')}"]
        variant += [f"fixed={model.slots}"] if model.fixed else []
        flags = [f"--config={with_variants(s.presets.finetune, variant)}"]
        flags += [f"--config.model.slots={model.slots}", *self._video()]
        flags += [f"--config.init_from.lam.path={s.out / lam}", "--config.init_from.lam.to=lam"]
        flags += [f"--config.translator.outputs={len(s.actions)}"]
        flags += [f"--config.labelled.datasets={listed(s.datasets)}"]
        flags += [f"--config.labelled.labels={s.joint_labels}"]
        return self._trained("tuned", model.name, flags, "experiments.train", (lam,))

    def cloned(self) -> Iterator[Piece]:
        s = self.settings
        flags = [f"--config={s.presets.cloning}", f"--config.data.datasets={listed(s.datasets)}"]
        flags += [f"--config.model.action_names={listed(s.actions)}"]
        trained = self._trained("cloning", CLONING, flags, "experiments.train", ())
        yield trained
        name = self._name("rollout", CLONING)
        flags = [f"--policy={s.out / trained.name}", *_played(s, s.tasks, name), *_chosen(s)]
        cell = Cell(CLONING, self.seed, labels=ALL_LABELS)
        yield Piece(name, "experiments.rollout", tuple(flags), (trained.name,), RETURNS, cell)

    def used(self, model: Model, lam: str, protocols: Sequence[str]) -> Iterator[Piece]:
        """Codes, policy, translators and rollouts of a LAM that stays as it is."""
        alignments = [one for one in _alignments(self.settings) if one.kind in protocols]
        if not alignments:
            return
        label = f"{model.name}_{JOINT}" if JOINT in protocols else model.name
        codes = self._codes(label, lam)
        policy = self._policy(label, codes.name, lam)
        yield from (codes, policy)
        rules, ruled = "", set()
        for one in alignments:
            translator = self._translator(model, label, lam, one)
            yield translator
            if not ruled >= set(one.tasks):
                rules = ""
            for k in reversed(model.budgets):
                rollout = self._rollout(label, (policy.name, translator, lam), one, k, rules)
                if not rules:  # The others of this LAM take actions by the same rules.
                    rules, ruled = rollout.name, set(one.tasks)
                yield rollout

    def _codes(self, label: str, lam: str) -> Piece:
        s, name = self.settings, self._name("codes", label)
        flags = [f"--checkpoint={s.out / lam}", f"--data={s.data_path}", f"--out={s.out / name}"]
        flags += [f"--datasets={','.join(s.datasets)}", "--splits=train,validation"]
        return Piece(name, "experiments.extract_latents", tuple(flags), (lam,))

    def _policy(self, label: str, codes: str, lam: str) -> Piece:
        s = self.settings
        column = "ids" if s.discrete else "slots"
        flags = [f"--config={s.presets.policy}", f"--config.data.datasets={listed(s.datasets)}"]
        flags += [f"--config.data.sidecars.{column}={s.out / codes}"]
        flags += [f"--config.lam.checkpoint={s.out / lam}"]
        return self._trained("policy", label, flags, "experiments.train", (codes,))

    def _translator(self, model: Model, label: str, lam: str, one: "_Alignment") -> Piece:
        s, name = self.settings, self._name("translator", f"{label}_{one.name}")
        flags = [f"--checkpoint={s.out / lam}", f"--data={s.data_path}"]
        flags += [f"--workdir={s.out / name}", f"--datasets={','.join(one.datasets)}"]
        flags += [f"--labels={one.labels}", f"--draw={one.draw}"]
        flags += [f"--codes_cache={s.out / 'codes'}"]
        flags += [f"--evaluate_on={','.join(one.measured)}"] if one.measured else []
        cell = Cell(model.name, self.seed, one.protocol, one.labels, one.draw)
        return Piece(name, "experiments.align_translator", tuple(flags), (lam,), ACCURACY, cell)

    def _rollout(self, label: str, parts, one: "_Alignment", k: int, rules: str) -> Piece:
        s, (policy, translator, lam) = self.settings, parts
        name = self._name("rollout", f"{label}_{one.name}_k{k}")
        flags = [f"--policy={s.out / policy}", f"--translator={s.out / translator.name}"]
        flags += [f"--lam={s.out / lam}", f"--keep={k}", *_played(s, one.tasks, name)]
        flags += [f"--rules_of={s.out / rules}"] if rules else _chosen(s)
        reads = (policy, translator.name, *([rules] if rules else []))
        cell = dataclasses.replace(translator.cell, k=k)
        return Piece(name, "experiments.rollout", tuple(flags), reads, RETURNS, cell)

    def report(self, lams: Sequence[Piece]) -> Piece:
        """Pictures' quality by k, and what accuracies are to be compared with."""
        s, name = self.settings, self._name("report", "")
        main, *others = [s.out / piece.name for piece in lams]
        flags = [f"--checkpoint={main}", f"--data={s.data_path}", f"--out={s.out / name}"]
        flags += [f"--compare={','.join(f'{path.name}={path}' for path in others)}"]
        flags += [f"--datasets={','.join(s.datasets)}", "--split=validation"]
        flags += ["--inverse_model"] if s.ceiling else []
        flags += [f"--budgets={','.join(map(str, s.budgets))}"]
        flags += [f"--label_counts={','.join(s.labels)}", f"--draws={max(s.labels.values())}"]
        reads = tuple(piece.name for piece in lams)
        cell = Cell("", self.seed, SCARCE)
        return Piece(name, "experiments.evaluate_lam", tuple(flags), reads, REPORT, cell)

    def _trained(
        self, stage: str, name: str, flags: Sequence[str], module: str, reads: tuple[str, ...]
    ) -> Piece:
        s, name = self.settings, self._name(stage, name)
        flags = [*flags, f"--config.data.path={s.data_path}", f"--config.seed={self.seed}"]
        flags += [f"--config.compilation_cache={s.out / 'compiled'}", f"--workdir={s.out / name}"]
        return Piece(name, module, tuple(flags), reads or (() if s.data else (DATA,)))

    def _name(self, stage: str, name: str) -> str:
        return "/".join(filter(None, (f"seed{self.seed}", stage, name)))


@dataclasses.dataclass(frozen=True)
class _Alignment:
    """Which labels a translator gets. measured: datasets it is told on, () for its own."""

    name: str
    protocol: str
    labels: str
    draw: int
    datasets: tuple[str, ...]
    tasks: tuple[str, ...]
    measured: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """One of PROTOCOLS; `protocol` also names the source of narrow labels."""
        return self.protocol.partition(":")[0]


def _alignments(settings: Settings) -> Iterator[_Alignment]:
    """Of all protocols, the most labels first."""
    s = settings
    if SCARCE in s.protocols:
        for labels, draws in reversed(s.labels.items()):
            for draw in range(draws):
                name = f"{_plain(labels)}_draw{draw}"
                yield _Alignment(name, SCARCE, labels, draw, s.datasets, s.tasks)
    if NARROW in s.protocols:
        for source in s.sources:
            beside = {
                name: task
                for name, task in zip(s.datasets, s.tasks, strict=True)
                if not source.startswith(f"{task}_")
            }
            yield _Alignment(
                source, f"{NARROW}:{source}", s.narrow_labels, 0, (source,), *_split(beside)
            )
    if JOINT in s.protocols:
        yield _Alignment(_plain(s.joint_labels), JOINT, s.joint_labels, 0, s.datasets, s.tasks)


def _split(beside: Mapping[str, str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(beside.values()), tuple(beside)


def _played(settings: Settings, tasks: Sequence[str], name: str) -> list[str]:
    """Flags of every rollout: all play the same episodes."""
    return [
        f"--simulator={settings.simulator}",
        f"--tasks={','.join(tasks)}",
        f"--episodes={settings.episodes}",
        "--workers=1",  # Pieces run side by side.
        f"--compilation_cache={settings.out / 'compiled'}",
        f"--out={settings.out / name}",
    ]


def _chosen(settings: Settings) -> list[str]:
    validation = f"--validation_episodes={settings.validation_episodes}"
    return ["--rule=auto", f"--power={POWER}", validation]


def _plain(labels: str) -> str:
    return labels.replace("%", "pct")
