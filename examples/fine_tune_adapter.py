"""Fine-tune a trained adapter on the data of another domain, and measure what came of it.

Few users are too few to learn how to read a history. So training starts from the adapter `movielens-1m`: its LoRA is taken
over, while items and users are those of the new data. Here the new data is a sample of MovieLens-100K.

Run it with `python examples/fine_tune_adapter.py`. It needs about two minutes. For the real thing, give
`--users 943 --steps 1000`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from recommender import Config, evaluate, train
from recommender.studies.comparison import EvaluationOptions


def recipe(users: int, steps: int) -> Config:
    """Return the configuration. `base.rank_layers` and `lora` must be those of the adapter that training starts from."""
    return Config.parse(
        {
            "data": {"items": "movielens-100k", "interactions": "movielens-100k", "users": users},
            "encoders": {"image": None, "audio": None},
            "base": {"rank_layers": 4, "adapter": "movielens-1m"},
            "lora": {"r": 24, "lora_alpha": 48},
            "prompt": {"noun": "films", "titled": 0},
            "training": {
                "stages": [
                    {
                        "stage": "rank",
                        "max_steps": steps,
                        "learning_rate": 5e-4,
                        "rows_learning_rate": 1e-3,
                        "batch_tokens": 512,
                        "row_tokens": 512,
                        "validation_users": 100,
                    }
                ]
            },
        }
    )


def main(folder: Path, users: int, steps: int, evaluated: int) -> None:
    """Train, then compare with two baselines on the last film of each user."""
    result = train(recipe(users, steps), folder)
    for stage in result.stages:
        print(f"stage {stage.stage}: {stage.steps} steps")

    names = [str(result.checkpoint), "popularity", "sequential-item-knn"]
    evaluation = evaluate(names, options=EvaluationOptions(users=evaluated))
    recall = evaluation.summary.query("metric == 'recall' and k == 10")
    print(recall[["model", "mean", "low", "high"]].round(3).to_string(index=False))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("runs/fine_tuned"), help="the checkpoint to write")
    parser.add_argument("--users", type=int, default=200, help="learn from so many users")
    parser.add_argument("--steps", type=int, default=50, help="steps of training")
    parser.add_argument("--evaluated", type=int, default=200, help="evaluate so many users")
    arguments = parser.parse_args()
    main(arguments.folder, arguments.users, arguments.steps, arguments.evaluated)
