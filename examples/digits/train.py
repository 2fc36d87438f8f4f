"""Learns to read handwritten digits with a small neural network; leaves the model, its metrics and a picture.

python train.py --epochs 30 --lr 0.001
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import time
from pathlib import Path

import matplotlib
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import ConfusionMatrixDisplay, accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

matplotlib.use("Agg")


def options() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=30, help="passes over the training set (default: 30)")
    parser.add_argument("--lr", type=float, default=0.0003, help="learning rate (default: 0.0003)")
    parser.add_argument("--hidden", type=int, default=256, help="neurons in each of two hidden layers (default: 256)")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same model (default: 0)")
    return parser.parse_args()


def train(wanted: argparse.Namespace, data: tuple[np.ndarray, ...]) -> MLPClassifier:
    """The trained network; prints one line an epoch."""
    train_x, test_x, train_y, test_y = data
    model = MLPClassifier(
        hidden_layer_sizes=(wanted.hidden, wanted.hidden),
        learning_rate_init=wanted.lr,
        batch_size=16,
        random_state=wanted.seed,
    )
    classes = np.unique(train_y)
    for epoch in range(1, wanted.epochs + 1):
        model.partial_fit(train_x, train_y, classes=classes)
        accuracy = model.score(test_x, test_y)
        print(f"epoch {epoch:3d}/{wanted.epochs}  loss {model.loss_:.4f}  accuracy {accuracy:.4f}", flush=True)
    return model


def main() -> None:
    """Trains, measures and writes everything to $OUTPUT_DIR."""
    wanted = options()
    began = time.monotonic()
    outputs = Path(os.environ.get("OUTPUT_DIR", "outputs/local"))
    outputs.mkdir(parents=True, exist_ok=True)

    images, digits = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(
        images, digits, test_size=0.25, stratify=digits, random_state=wanted.seed
    )
    scaler = StandardScaler().fit(train_x)
    print(f"{len(train_y)} digits to learn from, {len(test_y)} to be tested on", flush=True)
    model = train(wanted, (scaler.transform(train_x), scaler.transform(test_x), train_y, test_y))

    guessed = model.predict(scaler.transform(test_x))
    metrics = {
        "accuracy": round(accuracy_score(test_y, guessed), 4),
        "loss": round(model.loss_, 6),
        "seconds": round(time.monotonic() - began, 2),
        **vars(wanted),
    }
    (outputs / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    (outputs / "model.pickle").write_bytes(pickle.dumps(make_pipeline(scaler, model)))
    picture = ConfusionMatrixDisplay.from_predictions(test_y, guessed, colorbar=False).figure_
    picture.savefig(outputs / "confusion.png", dpi=120)
    print(f"accuracy {metrics['accuracy']:.2%} after {metrics['seconds']} s", flush=True)


if __name__ == "__main__":
    main()
