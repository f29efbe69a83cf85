"""Everything a run tells about itself while it trains: metric rows, speed, progress."""

import math
from collections.abc import Mapping
from typing import Any

import jax

from flexlam_jax.training.metric_writers import (
    JsonlWriter,
    TensorBoardWriter,
    WandbWriter,
    Writer,
    truncate_jsonl,
)
from flexlam_jax.training.performance import Chrono
from flexlam_jax.training.progress import Progress
from flexlam_jax.training.workdir import Workdir


class RunLog:
    """Reads metrics off the device one step late and writes them; process 0 writes, all read.

    Everything in metrics.jsonl is deterministic; clocks go to performance.jsonl and TensorBoard.
    """

    def __init__(
        self,
        run: Workdir,
        config: Mapping[str, Any],
        *,
        resumed_at: int | None,
        chrono: Chrono,
        advice: Mapping[str, str],
    ):
        """Args: `resumed_at`, the step that was restored (rows after it are dropped), or None;
        `advice`, see `Objective`."""
        log = config["log"]
        self._every, self._total = log["every"], config["total_steps"]
        self._chrono, self._advice = chrono, advice
        self._pending: tuple[int, Mapping[str, jax.Array]] | None = None
        self._metrics: list[Writer] = []
        self._performance: list[Writer] = []
        self._progress = None
        if jax.process_index() != 0:
            return
        start_step = resumed_at or 0
        for name in ("metrics.jsonl", "performance.jsonl"):
            truncate_jsonl(run.file(name), -1 if resumed_at is None else resumed_at)
        shared: list[Writer] = []
        if log["tensorboard"]:
            shared.append(TensorBoardWriter(run.path, start_step))
        if log["wandb"]:
            shared.append(WandbWriter(log["wandb"], run.path, run.config))
        self._metrics = [JsonlWriter(run.file("metrics.jsonl")), *shared]
        self._performance = [JsonlWriter(run.file("performance.jsonl")), *shared]
        self._progress = Progress(self._total, start_step)

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(self, *exc_info: Any) -> None:
        if self._progress is not None:
            self._progress.__exit__()
        for writer in {id(w): w for w in self._metrics + self._performance}.values():
            writer.close()

    def after_step(self, step: int, metrics: Mapping[str, jax.Array], waited: float) -> None:
        """Takes the metrics of update `step`, just dispatched, and reads those of the one before.

        Raises:
          FloatingPointError: the update before had a loss or gradient that is not finite.
        """
        before, self._pending = self._pending, (step, metrics)
        if before is not None:
            self._read(*before)
        self._chrono.tick(waited)

    def catch_up(self) -> None:
        """Waits for the newest update and writes its row: before its state is evaluated or saved.

        A state is therefore never saved whose loss was not seen to be finite, and rows come in one
        order, whatever was interrupted where.
        """
        before, self._pending = self._pending, None
        if before is not None:
            self._read(*before)
        self._chrono.stop()
        for writer in self._metrics:
            writer.sync()

    def evaluation(self, step: int, values: Mapping[str, float]) -> None:
        for writer in self._metrics:
            writer.write(step, values)
            writer.sync()

    def _read(self, step: int, metrics: Mapping[str, jax.Array]) -> None:
        logged = step % self._every == 0 or step == self._total
        told = ("finite", "loss", "grad_norm", *self._advice)
        wanted = metrics if logged else {k: metrics[k] for k in told}
        values = {name: value.item() for name, value in jax.device_get(dict(wanted)).items()}
        if not values.pop("finite"):
            remedies = [
                do for name, do in self._advice.items() if not math.isfinite(values[name])
            ] or ["lower config.optimizer.learning_rate or look at the data of this step"]
            raise FloatingPointError(
                f"training diverged at step {step}: loss {values['loss']}, gradient norm "
                f"{values['grad_norm']}. Nothing of this step was saved; {'; '.join(remedies)}."
            )
        if logged:
            self._write(step, values)
        if self._progress is not None:
            self._progress.update(step)

    def _write(self, step: int, values: Mapping[str, float]) -> None:
        performance = self._chrono.row()
        for writer in self._metrics:
            writer.write(step, values)
        if performance:
            for writer in self._performance:
                writer.write(step, {f"performance/{k}": v for k, v in performance.items()})
        if self._progress is not None:
            speed = performance.get("transitions_per_second")
            text = f"loss {values['loss']:.4g}"
            self._progress.update(step, text + (f"  {speed:.0f} transitions/s" if speed else ""))
