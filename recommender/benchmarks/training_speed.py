"""Training speed of the packed loop, rows behind one shared instruction, beside a plain `Trainer` of transformers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PrinterCallback, Trainer, TrainingArguments

from recommender.adapters.lora import RANK
from recommender.benchmarks.measuring import measured
from recommender.config import StageConfig
from recommender.data.histories import Histories, leave_one_out
from recommender.model import RecommenderModel
from recommender.model.checkpoint import from_pretrained
from recommender.progress import Progress
from recommender.prompting.example import Example
from recommender.prompting.packing import Batch, collate
from recommender.prompting.row_mask import RowMask
from recommender.training import epochs

PACKED, PLAIN = "packed loop", "transformers Trainer"
BETAS = (0.9, 0.98)
_MASK = "segments", "anchors", "branches"


def bench_train(
    source: str, examples: int = 64, rounds: int = 3, seed: int = 0, progress: Progress | None = None
) -> list[dict[str, Any]]:
    """Train the checkpoint `source` on the same `examples` parts of histories in both ways; returns a row for each.

    Both take the same number of optimiser steps, with the same loss over the same parameters. Raises CheckpointError,
    AssetError or DataError.
    """
    checkpoint = from_pretrained(source, None, progress)
    config, model, builder = checkpoint.config, checkpoint.model, checkpoint.builder
    stage = next((s for s in config.training.stages if s.stage == "rank"), StageConfig(stage="rank"))
    histories = Histories.load(
        config.data.interactions, checkpoint.catalogue, config.data, minimum_rating=config.data.minimum_rating
    )
    data = epochs.TrainingData(builder, leave_one_out(histories))
    sample = epochs.examples(data, stage, epochs.generator(seed, 0, 0))[:examples]
    batches = epochs.batches(sample, stage, builder.prefix)
    model.use_adapter(RANK)
    timings = measured(
        {
            PACKED: _packed(model, batches, stage, builder.prefix),
            PLAIN: _plain(model, sample, -(-len(sample) // len(batches)), stage, builder.prefix),
        },
        rounds,
    )
    return [
        {
            "method": name,
            "examples a second": len(sample) / timing.median,
            "spread": timing.spread,
            "of the Trainer": timings[PLAIN].median / timing.median,
            "by CPU time": timings[PLAIN].busy / timing.busy,
            "MB": timing.megabytes,
        }
        for name, timing in timings.items()
    ]


def _packed(
    model: RecommenderModel, batches: Sequence[Sequence[Sequence[Example]]], stage: StageConfig, prefix: np.ndarray
) -> Callable[[], None]:
    """Return one epoch over the batches as the packed loop runs it."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=stage.learning_rate, betas=BETAS, weight_decay=stage.weight_decay)

    def run() -> None:
        model.train()
        for rows in batches:
            loss = _loss(model, epochs.as_batch(rows, prefix).to(model.device), stage)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, stage.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad()

    return run


def _plain(
    model: RecommenderModel, examples: Sequence[Example], size: int, stage: StageConfig, prefix: np.ndarray
) -> Callable[[], None]:
    """Return one epoch of a `Trainer` with `size` examples a step, each with its own instruction and padding."""

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                output_dir=folder,
                num_train_epochs=1,
                per_device_train_batch_size=size,
                learning_rate=stage.learning_rate,
                weight_decay=stage.weight_decay,
                adam_beta2=BETAS[1],
                max_grad_norm=stage.max_grad_norm,
                use_cpu=model.device.type == "cpu",
                save_strategy="no",
                logging_strategy="no",
                report_to=[],
                disable_tqdm=True,
                remove_unused_columns=False,
            )
            trainer = Trainer(
                _TrainerModel(model, stage), arguments, lambda rows: _columns(rows, prefix), list(examples)
            )
            trainer.remove_callback(PrinterCallback)  # it writes to standard output
            trainer.train()

    return run


class _TrainerModel(nn.Module):
    """The model with the outputs that a `Trainer` reads: a mapping with the loss."""

    def __init__(self, model: RecommenderModel, stage: StageConfig) -> None:
        super().__init__()
        self.model, self.stage = model, stage

    def forward(self, num_items_in_batch: Any = None, **columns: Tensor) -> dict[str, Tensor]:
        """Return the mean loss per label of a batch with the columns of `Batch`; a `Trainer` passes a count of items too."""
        mask = RowMask(*(columns.pop(name) for name in _MASK))
        return {"loss": _loss(self.model, Batch(**columns, mask=mask, writes=False), self.stage)}


def _columns(examples: Sequence[Example], prefix: np.ndarray) -> dict[str, Tensor]:
    batch = collate([[example] for example in examples], prefix)
    columns = {name: value for name, value in vars(batch).items() if isinstance(value, Tensor)}
    return columns | {name: getattr(batch.mask, name) for name in _MASK}


def _loss(model: RecommenderModel, batch: Batch, stage: StageConfig) -> Tensor:
    total, count = model(batch, stage.modality_dropout, stage.row_dropout, stage.label_smoothing)
    return total / count
