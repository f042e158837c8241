"""The training loop: one for all stages, on accelerate, resumable to the same result.

Each step takes the loss from `RecommenderModel.forward`; it is computed in `model/loss.py`. The log is a CSV file of our
own: none of accelerate's trackers writes one, and none can drop the rows that a killed run logged after its last state.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recommender.adapters.lora import RANK
from recommender.config import Config, StageConfig
from recommender.errors import RecommenderError
from recommender.model import RecommenderModel
from recommender.progress import Progress
from recommender.prompting.example import IGNORE, Example
from recommender.prompting.packing import Batch
from recommender.training import epochs, run_state, streaming
from recommender.training.ahead import Ahead
from recommender.training.augmentation import augmenting_of
from recommender.training.distributing import distribute, gather, stepper_of
from recommender.training.epochs import TrainingData
from recommender.training.gradients import Stepper, checkpoint_gradients
from recommender.training.interruption import deferred, patient
from recommender.training.parameter_groups import ADAPTERS, parameter_groups
from recommender.training.private_plan import SECRET
from recommender.training.private_stage import open_private
from recommender.training.processes import Processes, join
from recommender.training.run_state import STATE
from recommender.training.schedule import learning_rate_share
from recommender.training.sharing import shared_parts
from recommender.training.sparse_rows import RowStepper, sparse_rows
from recommender.training.training_report import write_training_report
from recommender.training.validation import held_out_loss, validation_ndcg

logger = logging.getLogger(__name__)
LOG_EVERY = 5
TEACHER = "teacher.pt"


@dataclass(frozen=True)
class StageResult:
    """How a stage ended: its best validation (NDCG@10, or the negative held-out loss), steps and minutes."""

    stage: str
    validation: float | None
    steps: int
    minutes: float


def run_stages(
    model: RecommenderModel, data: TrainingData, config: Config, output: Path, progress: Progress | None = None
) -> list[StageResult]:
    """Run all stages in place. Writes `log.csv`, `loss.png`, `report.html` and the state of the run into `output`.

    Several processes, started by `accelerate launch` or torchrun, share every batch; the first one writes. A killed run
    resumes from its state and ends with the same weights as an uninterrupted one with the same numbers of processes and
    threads; with other numbers, with weights that differ by rounding and by what dropout drew. Ctrl-C and SIGTERM end it
    within a second, the state saved. Raises ConfigError if the device is not there, RecommenderError if the loss is not
    finite, or if `output` holds the state of a run with another configuration or other data.
    """
    output.mkdir(parents=True, exist_ok=True)
    run = _Run(model, data, config, output, progress)
    with _deterministic(), deferred() as run.stopped:
        results = [run.stage(number, stage) for number, stage in enumerate(config.training.stages)]
    model.eval()
    gather(model)
    if run.main:
        run_state.write_log(output / "log.csv", run.position.log)
        write_training_report(run.position.log, output, {"seed": config.seed, "base": config.base.llm})
    return results


def steps_of_stage(
    model: RecommenderModel, data: TrainingData, config: Config, stage: StageConfig, output: Path
) -> Iterator[float]:
    """Take the steps of one stage one by one, without validation; yields the loss of each. For measurements."""
    run = _Run(model, data, config, output, None)
    with _deterministic():
        steps = _Stage(run, 0, stage)
        for step in range(steps.total):
            yield float(steps._step(step, steps._parts(step))[0])


@contextmanager
def _deterministic() -> Iterator[None]:
    """Within the block torch uses deterministic algorithms, and warns where it has none.

    Without them the gradients of an item that occurs several times in a batch are added in the order of the threads.
    """
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    fill_before = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.utils.deterministic.fill_uninitialized_memory = fill_before


class _Run:
    """What the stages of one run share."""

    def __init__(
        self, model: RecommenderModel, data: TrainingData, config: Config, output: Path, progress: Progress | None
    ) -> None:
        self.processes = join(config.base.device)
        self.model, self.data, self.config, self.output = model, data, config, output
        self.progress = progress if self.main else None
        checkpoint_gradients(model, config.training.gradient_checkpointing)
        self.views = {m: torch.from_numpy(v).to(self.processes.device) for m, v in data.views.items()}
        self.stopped = threading.Event()
        self.facts = run_state.facts_of(config, data, model)
        self.saved = run_state.read(output, self.facts)
        self.position = run_state.Position(**self.saved["position"]) if self.saved else run_state.Position()
        if self.saved:
            run_state.restore(model, self.saved["model"])
            logger.info("resuming stage %d at step %d", self.position.stage + 1, self.position.step)
        distribute(model, self.processes)

    @property
    def main(self) -> bool:
        return self.processes.main

    def stage(self, number: int, config: StageConfig) -> StageResult:
        """Run one stage to its end, or return its result if the resumed run had finished it."""
        if number >= self.position.stage:
            _Stage(self, number, config).run()
            self.position.stage, self.position.step = number + 1, 0
            self.position.best, self.position.waited = None, 0
            self._keep(number)
        rows = [row for row in self.position.log if row["number"] == number]
        validations = [row["validation"] for row in rows if row["validation"] != ""]
        steps = int(rows[-1]["step"]) if rows else 0
        minutes = self.position.minutes.get(str(number), 0.0)
        return StageResult(config.stage, max(validations, default=None), steps, minutes)

    def _keep(self, number: int) -> None:
        """Save a finished stage, which stays finished if the settings of a later one change."""
        weights = run_state.trainable(self.model)
        if self.main:
            path = self.output / run_state.STAGE_ENDS.replace("*", str(number))
            run_state.write(path, self.facts, weights, None, self.position, {})


class _Stage:
    """One stage: its parameters, its optimiser, its steps."""

    def __init__(self, run: _Run, number: int, config: StageConfig) -> None:
        self.training_run, self.number, self.config = run, number, config
        self.processes: Processes = run.processes
        self.model = run.model
        self.model.use_adapter(ADAPTERS.get(config.stage, RANK))
        self.model.reads_layers = config.layers
        self.prefix = epochs.shared_prefix(run.data, config)
        self.private = open_private(
            run.data, config, run.config, number, self.prefix, run.output, run.saved is not None
        )
        trains = (lambda name: True) if self.private is None else self.private.trains
        self.groups = parameter_groups(self.model, config, trains)
        self.optimizer = torch.optim.AdamW(self.groups, betas=(0.9, 0.98), weight_decay=config.weight_decay)
        self.stepper = self._stepper()
        self.epochs: dict[int, list[list[list[Example]]]] = {}
        known = run.data.split.train.items
        self.augmenting = augmenting_of(config, self.model.features, known, run.processes.device)
        self.stream = None
        if self.private is None:
            self.stream = streaming.open_stream(run.data, config, run.config, number, self.prefix)
        self.per_epoch = self._steps_of_epoch()
        self.total = math.ceil(self.per_epoch * config.epochs) if self.private is None else self.private.steps
        if config.max_steps is not None:
            self.total = min(self.total, config.max_steps)
        self.every = max(round(self.per_epoch * config.evaluate_epochs), 1)
        self.held_out = epochs.held_out(run.data, config)
        self.best: dict[str, Tensor] = {}

    def _epoch(self, epoch: int) -> list[list[list[Example]]]:
        """Return the batches of an epoch, of which every process takes its share."""
        if epoch not in self.epochs:
            random = epochs.generator(self.training_run.config.seed, self.number, epoch)
            examples = epochs.examples(self.training_run.data, self.config, random)
            batches = epochs.batches(examples, self.config, self.prefix)
            self.epochs = {epoch: [batches[i] for i in random.permutation(len(batches))]}
        return self.epochs[epoch]

    def _stepper(self) -> Stepper:
        run, config = self.training_run, self.config
        if self.private is not None:
            return self.private.stepper(self.model, self.optimizer, run.processes)
        rows = sparse_rows(self.model, run.data, config)
        dense = stepper_of(self.model, self.optimizer, run.processes, config.max_grad_norm)
        return dense if rows is None else RowStepper(dense, rows)

    def _steps_of_epoch(self) -> int:
        if self.private is not None:
            return self.private.steps_of_epoch
        return max(len(self._epoch(0)), 1) if self.stream is None else self.stream.count()

    def _rows(self, step: int) -> list[list[Example]]:
        """Return the rows of a step's batch, of all processes."""
        if self.stream is not None:
            return self.stream.batch(step)
        batches = self._epoch(step // self.per_epoch)
        # later epochs may have a batch more or less than the first one
        return batches[step % self.per_epoch % len(batches)]

    def _parts(self, step: int) -> list[Batch]:
        """Return this process's share of the batch of a step, in the parts in which it is computed; on the host."""
        if self.private is not None:
            return self.private.parts(step)
        accumulated = self.training_run.config.training.gradient_accumulation
        return shared_parts(self._rows(step), self.processes, accumulated, self.prefix)

    def run(self) -> None:
        """Train from the saved step to the end or to the early stop; leaves the best weights in the model."""
        self._resume()
        position, clock = self.training_run.position, _Clock(self.training_run.config.training.checkpoint_minutes)
        before = position.minutes.get(str(self.number), 0.0)
        parts, loss = Ahead(self._parts), math.nan
        while position.step < self.total and position.waited < self.config.patience:
            ends = position.step + 1 == self.total
            share, positions = self._step(position.step, parts.take(position.step, last=ends))
            position.step += 1
            clock.count(positions)
            logged = position.step % LOG_EVERY == 0 or ends
            if logged or self.processes.device.type == "cpu":  # reading it on a GPU waits for the GPU
                loss = self._read(share, position.step)
            if logged:
                self._log(position, **self._said(loss, clock))
            if position.step % self.every == 0 or ends:
                self._validate(position)
            if self.training_run.progress:
                known = "" if math.isnan(loss) or self.private else f" loss {loss:.2f},"
                status = f"{self.config.stage},{known} {clock.rate():.0f} tokens/s"
                self.training_run.progress(status, position.step, self.total)
            position.minutes[str(self.number)] = before + clock.minutes()
            # the clocks of processes differ, and a signal reaches them at different steps
            stopped, due = self.processes.totals(
                self.training_run.stopped.is_set(), self.processes.main and clock.due()
            )
            if stopped and not self.processes.alone:
                patient()
            if due or stopped:
                self._read(share, position.step)  # a state that cannot be gone on from is not saved
                self._save(position)
            if stopped:
                raise KeyboardInterrupt
        if self.best:
            run_state.restore(self.model, self.best)
        self.model.reads_layers = True

    def _resume(self) -> None:
        saved = self.training_run.saved
        if saved and saved["position"]["stage"] == self.number and saved["optimizer"] is not None:
            self.stepper.load(saved["optimizer"])
            self.best = saved["best"]
            self.training_run.saved = None
            place = dict(self.training_run.position.stream)
            if self.stream is not None and place.pop("stage", None) == self.number:
                self.stream.seek(streaming.Place(**place))

    def _seed(self, step: int, part: int) -> None:
        """Seed torch from seed, stage, step and part of the step, so that a resumed run needs no state of a generator.

        Parts are numbered through all processes in the order in which one process would deal out the rows to as many
        parts: what is drawn does not depend on who computes a part.
        """
        number = self.processes.index + part * self.processes.count
        place = [self.training_run.config.seed, self.number, step, number]
        if self.private is not None:
            torch.manual_seed(self.private.seed(step, number))
            return
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1)[0]))

    def _step(self, step: int, parts: Sequence[Batch]) -> tuple[Tensor, int]:
        """Take one optimiser step; returns this process's share of the mean loss of a label, and all positions read."""
        config = self.config
        labels = [int((part.labels != IGNORE).sum()) for part in parts]
        all_labels, positions = self.processes.totals(sum(labels), sum(part.tokens.numel() for part in parts))
        self.model.train()
        for group, (_, rate) in zip(self.optimizer.param_groups, self._rates(step), strict=True):
            group["lr"] = rate
        self.stepper.schedule(learning_rate_share(step, self.total, config.warmup_ratio))
        teacher = self.training_run.data.teacher if config.stage == "rank" and config.teacher else None
        dropouts = config.modality_dropout, config.row_dropout, config.label_smoothing
        views = self.training_run.views if config.stage in ("align", "rank") else {}
        shares = []
        for number, part in enumerate(parts):
            if self.private is not None and self.training_run.stopped.is_set():  # a private step may take minutes
                self._save(self.training_run.position)
                raise KeyboardInterrupt
            self._seed(step, number)
            batch = part.to(self.processes.device)
            total, _ = self.stepper.loss(batch, *dropouts, teacher, config.cold_item_dropout, views, self.augmenting)
            loss = total / (max(all_labels, 1) if self.private is None else max(labels[number], 1))
            self.stepper.backward(loss, last=number + 1 == len(parts))
            shares.append(loss.detach())
        if self.private is not None:
            self.private.step = step
        self.stepper.step(config.max_grad_norm)
        return torch.stack(shares).sum() if shares else torch.zeros(()), int(positions)

    def _read(self, share: Tensor, step: int) -> float:
        """Return the mean loss of a label. Raises RecommenderError, in all processes, if it is not finite."""
        (loss,) = self.processes.totals(float(share))
        if not math.isfinite(loss):
            raise RecommenderError(
                f"stage {self.config.stage}: the loss is {loss} at step {step - 1}; training stopped",
                f"lower learning_rate and start anew: remove {self.training_run.output}",
            )
        return loss

    def _rates(self, step: int) -> list[tuple[str, float]]:
        """Return the name and learning rate of each parameter group at a step."""
        share = learning_rate_share(step, self.total, self.config.warmup_ratio)
        return [(group["name"], group["peak"] * share) for group in self.groups]

    def _validate(self, position: run_state.Position) -> None:
        """Validate, and keep the weights if they are the best so far; without validation data the last ones count."""
        value = self._measure()
        if value is None:
            return
        self._log(position, validation=round(value, 5))
        if position.best is None or value > position.best:
            position.best, position.waited = value, 0
            self.best = self.stepper.weights()
        else:
            position.waited += 1
        logger.info("%s step %d of %d: validation %.4f", self.config.stage, position.step, self.total, value)

    def _measure(self) -> float | None:
        if self.private is not None:
            return None
        self.model.eval()
        if self.config.stage == "rank":
            users, beam = self.config.validation_users, self.training_run.config.decoding.beam
            data = self.training_run.data
            with self.stepper.readable():
                return validation_ndcg(self.model, data.builder, data.split, users, beam, self.processes)
        loss = held_out_loss(self.model, self.held_out, self.config, self.prefix, self.processes)
        return None if loss is None else -loss

    def _said(self, loss: float, clock: _Clock) -> dict[str, float]:
        """Return what the log says of a step: nothing that tells of users, where they are private."""
        if self.private is not None:
            return {}
        return {"loss": round(loss, 5), "positions_per_second": round(clock.rate(), 1)}

    def _log(self, position: run_state.Position, **values: Any) -> None:
        row = dict.fromkeys(run_state.FIELDS, "") | values
        rates = dict(self._rates(position.step))
        rate = rates.get("lora", max(rates.values()))  # private training may leave LoRA out
        row |= {
            "number": self.number,
            "stage": self.config.stage,
            "step": position.step,
            "learning_rate": f"{rate:.3g}",
        }
        row["epoch"] = round(position.step / self.per_epoch, 3)
        position.log.append(row)

    def _save(self, position: run_state.Position) -> None:
        run, weights, optimizer = self.training_run, self.stepper.weights(), self.stepper.state()
        if run.main:
            if self.stream is not None:
                position.stream = {"stage": self.number, **vars(self.stream.place_of(position.step))}
            run_state.write(run.output / STATE, run.facts, weights, optimizer, position, self.best, self.total)
            run_state.write_log(run.output / "log.csv", position.log)


class _Clock:
    """Measures positions a second and says when the state is due to be saved again."""

    def __init__(self, minutes: float) -> None:
        self.seconds, self.saved_at, self.started, self.positions = minutes * 60, time.monotonic(), time.monotonic(), 0

    def count(self, positions: int) -> None:
        self.positions += positions

    def rate(self) -> float:
        return self.positions / max(time.monotonic() - self.started, 1e-9)

    def minutes(self) -> float:
        return (time.monotonic() - self.started) / 60

    def due(self) -> bool:
        if time.monotonic() - self.saved_at < self.seconds:
            return False
        self.saved_at = time.monotonic()
        return True


def clear_state(output: Path) -> None:
    """Delete the state of a finished run."""
    for path in (output / STATE, output / TEACHER, output / SECRET, *output.glob(run_state.STAGE_ENDS)):
        path.unlink(missing_ok=True)
