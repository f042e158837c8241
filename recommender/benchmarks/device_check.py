"""A device beside float32 on the CPU: the same scores, losses and gradients, how fast, and with how much memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recommender.adapters.lora import RANK
from recommender.benchmarks import BFLOAT16, FLOAT32
from recommender.benchmarks.measuring import measured
from recommender.benchmarks.number_formats import in_format, prompts_of, scores_of
from recommender.config import StageConfig
from recommender.data.histories import Histories, leave_one_out
from recommender.inference.weight_cache import WeightCache
from recommender.model import RecommenderModel
from recommender.model.checkpoint import Checkpoint, from_pretrained
from recommender.model.devices import training_device
from recommender.progress import Progress
from recommender.prompting.packing import Batch
from recommender.training import epochs
from recommender.training.gradients import checkpoint_gradients

K = 10
_RANK, _TRAIN = "rank", "train"
_SAMPLED = {"training.softmax": "sampled", "training.negatives": 64, "training.rows_device": "cpu"}


def bench_device(
    source: str,
    device: str = "cuda",
    users: int = 64,
    examples: int = 64,
    rounds: int = 3,
    gradient_checkpointing: bool = False,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Rank for `users` and train on `examples` on a device, in float32 and in bfloat16; returns a row for each.

    `top 10`: share of the best ten of float32 on the CPU that is in the list. `loss apart`, `gradients apart`: relative
    difference from there, of the gradients by norm over all that is trained. `rows apart`: the same of the gradients of
    token rows in steps that sample, with the rows in the host's memory; of models of one level. `MB`: peak memory beyond
    the weights. Raises ConfigError if the device is not there, CheckpointError, AssetError or DataError.
    """
    chosen = training_device(device)
    checkpoint = from_pretrained(source, None, progress)
    prompts, allowed = prompts_of(checkpoint, users)
    batches = _batches(checkpoint, examples)
    prefix = checkpoint.builder.prefix
    exact = _trainable(checkpoint.model, FLOAT32, torch.device("cpu"), False)
    best = _best(scores_of(WeightCache(exact.eval()), prompts, allowed, prefix))
    expected = _gradients(exact, batches)
    one_level = checkpoint.model.ids.levels == 1
    expected_rows = _sampled_gradients(checkpoint.model, FLOAT32, torch.device("cpu"), batches) if one_level else {}
    rows = []
    for number, name in enumerate((FLOAT32, BFLOAT16)):
        if progress:
            progress(f"{device} in {name}", number, 2)
        model = _trainable(checkpoint.model, name, chosen, gradient_checkpointing)
        loss, gradients = _gradients(model, batches)
        step = _step(model, batches)
        weights = WeightCache(model)

        def rank(model: RecommenderModel = model, weights: WeightCache = weights) -> np.ndarray:
            model.eval()
            return scores_of(weights, prompts, allowed, prefix)

        found = _best(rank())
        # one after the other: each step makes the weights that ranking has laid out stale
        timings = measured({_RANK: rank}, rounds) | measured({_TRAIN: step}, rounds)
        rows.append(
            {
                "device": str(chosen),
                "format": name,
                f"top {K}": float(
                    np.mean([len(np.intersect1d(a, b)) / len(a) for a, b in zip(best, found, strict=True)])
                ),
                "loss apart": abs(loss - expected[0]) / abs(expected[0]),
                "gradients apart": _apart(gradients, expected[1]),
                **_rows_apart(checkpoint.model, name, chosen, batches, expected_rows),
                "lists a second": len(prompts) / timings[_RANK].median,
                "tokens a second": sum(batch.tokens.numel() for batch in batches) / timings[_TRAIN].median,
                "MB ranking": timings[_RANK].megabytes,
                "MB training": timings[_TRAIN].megabytes,
            }
        )
    return rows


def _best(scores: np.ndarray) -> np.ndarray:
    """Return the best items [users, K] by scores [users, items]."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :K]


def _batches(checkpoint: Checkpoint, examples: int) -> list[Batch]:
    """Return the first examples of an epoch, packed as its stage `rank` packs them."""
    config, builder = checkpoint.config, checkpoint.builder
    stage = next((s for s in config.training.stages if s.stage == "rank"), StageConfig(stage="rank"))
    data = config.data
    histories = Histories.load(data.interactions, checkpoint.catalogue, data, minimum_rating=data.minimum_rating)
    training = epochs.TrainingData(builder, leave_one_out(histories))
    sample = epochs.examples(training, stage, epochs.generator(config.seed, 0, 0))[:examples]
    return [epochs.as_batch(rows, builder.prefix) for rows in epochs.batches(sample, stage, builder.prefix)]


def _trainable(model: RecommenderModel, name: str, device: torch.device, checkpointing: bool) -> RecommenderModel:
    """Return a copy of a model in a number format on a device, without dropout, whose ranking can be trained."""
    copied = in_format(model, name).to(device)
    copied.use_adapter(RANK)
    _without_dropout(copied)
    for parameter_name, parameter in copied.named_parameters():
        parameter.requires_grad_(f".{RANK}." in parameter_name or not parameter_name.startswith("peft."))
    checkpoint_gradients(copied, checkpointing)
    return copied


def _without_dropout(model: RecommenderModel) -> RecommenderModel:
    """Return a model whose dropout layers drop nothing from now on."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


def _gradients(model: RecommenderModel, batches: Sequence[Batch]) -> tuple[float, dict[str, Tensor]]:
    """Return the mean loss of a label and the gradients of all that is trained, on the CPU."""
    model.train().zero_grad()
    totals = [model(batch.to(model.device)) for batch in batches]
    count = sum(int(labels) for _, labels in totals)
    loss = torch.stack([total for total, _ in totals]).sum() / count
    loss.backward()
    gradients = {n: p.grad.float().cpu() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return float(loss.detach()), gradients


def _rows_apart(
    model: RecommenderModel, name: str, device: torch.device, batches: Sequence[Batch], expected: dict[str, Tensor]
) -> dict[str, float]:
    """Return how far the gradients of sampled rows are from the expected ones; nothing if none are expected."""
    return {"rows apart": _apart(_sampled_gradients(model, name, device, batches), expected)} if expected else {}


def _sampled_gradients(
    model: RecommenderModel, name: str, device: torch.device, batches: Sequence[Batch]
) -> dict[str, Tensor]:
    """Return the gradients of the token rows that steps look at which sample, with rows that stay in the host's memory.

    Negatives are drawn on the host, so a device draws the same ones.
    """
    copied = in_format(model, name)
    copied.config = copied.config.updated(_SAMPLED)
    copied.move_to(device)
    copied.use_adapter(RANK)
    _without_dropout(copied.train())
    torch.manual_seed(0)
    found = {}
    for number, batch in enumerate(batches):
        total, count = copied(batch.to(copied.device))
        (total / count).backward()
        window = copied.take_window()
        assert window is not None and window.rows.grad is not None
        whole = torch.zeros(copied.rows.shape)
        whole[window.codes.cpu()] = window.rows.grad.float().cpu()
        found[f"rows of batch {number}"] = whole
    return found


def _apart(gradients: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """Return the norm of the difference of gradients, as a share of the norm of the expected ones."""
    difference = sum(float((gradients[name] - value).square().sum()) for name, value in expected.items())
    return float((difference / sum(float(value.square().sum()) for value in expected.values())) ** 0.5)


def _step(model: RecommenderModel, batches: Sequence[Batch]) -> Callable[[], None]:
    """Return a call that takes a step with each batch and leaves the weights nearly as they are."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-9)

    def run() -> None:
        model.train()
        for batch in batches:
            total, count = model(batch.to(model.device))
            (total / count).backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad()

    return run
