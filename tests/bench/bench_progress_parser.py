"""How long reading a log takes, and that the time grows no faster than the log.

Run as `python -m tests.bench.bench_progress_parser`, or as part of `make bench`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping

from shared.progress import loss_history, read_progress

SIZES = {"64 kB": 65_536, "256 kB": 262_144, "1 MB": 1_048_576}
ROUNDS = 7
BARS_MS = 5.0
ANY_MS = 50.0

BARS = "".join(
    f"Epoch {step // 1000 + 1}/20, Steps:  {step // 200:2d}%|{'█' * 8:30}| {step}/20000 "
    f"[05:27<38:12,  1.31s/it, lr=0.0001, step_loss={step % 97 / 100:.3f}]\n"
    for step in range(10_500)
)


def repeated(piece: str) -> str:
    return piece * (SIZES["1 MB"] // len(piece) + 1)


PIECES: Mapping[str, str] = {
    "log text": "2024-01-23 21:10:16 [INFO] (validation) Precomputing the embed for validations of the text.\n",
    "text steps": "step 1500/5000 - loss: 0.0234\n",
    "shortest steps": "step 1/2\n",
    "steps without a break": "step 1/2 ",
    "every word": "step 1/2 loss: 1 checkpoint warmup validat load\n",
    "batches": "Epoch [1/3] Batch [10/50] Loss: 4.6\n",
    "epochs of many kinds": "begin epoch 1/2 train: 1/2 ( 1%)starting best epoch: \n",
    "epochs in brackets": "starting from checkpoint epoch [1/1](epoch(train) [1]\n",
    "saved tests": "test: saving image episode epoch [1/1](\n",
    "counters without a number": "step none of it\n",
    "one giant line": "a",
    "digits": "1",
    "spaces": " ",
    "line ends": "\n",
    "carriage returns": "\r",
    "epochs, one line": "epoch ",
    "losses, one line": "loss ",
    "brackets": "[ ",
    "commas": "step 1,",
    "Keras bars": "1/1 [=",
    "half bars": "1%|",
    "percent bars": "%|",
    "bars without a break": "steps:  1%|█   | 1/100 [00:01<00:02, 1.0s/it, loss=0.1]",
    "terminal escapes": "\x1b[",
    "open titles": "\x1b]",
    "backspaces": "a\x08",
    "surrogates": "\ud800",
    "bidi marks": "\u202e",
    "tracebacks": 'Traceback (most recent call last):\n  File "a.py", line 1\n    step()\n',
    "from a checkpoint": "from checkpoint ",
}
SHAPES: Mapping[str, str] = {
    "tqdm bars": BARS,
    "tqdm bars, one line": BARS.replace("\n", "\r"),
    **{name: repeated(piece) for name, piece in PIECES.items()},
}


def milliseconds(read: Callable[[str], object], log: str, rounds: int = ROUNDS) -> float:
    """The best of some rounds, in milliseconds of this process's own time."""
    best = float("inf")
    for _ in range(rounds):
        started = time.process_time()
        read(log)
        best = min(best, time.process_time() - started)
    return best * 1000


def measure() -> dict[str, dict[str, float]]:
    """Milliseconds of `read_progress` by shape and size."""
    return {
        shape: {size: milliseconds(read_progress, log[-characters:]) for size, characters in SIZES.items()}
        for shape, log in SHAPES.items()
    }


def report(table: Mapping[str, Mapping[str, float]]) -> str:
    """The table as text."""
    head = f"{'read_progress, ms':24}" + "".join(f"{size:>10}" for size in SIZES)
    rows = [f"{shape:24}" + "".join(f"{table[shape][size]:10.2f}" for size in SIZES) for shape in table]
    whole = [
        f"{'loss_history of bars':24}"
        + "".join(f"{milliseconds(loss_history, BARS[:characters], 2):10.2f}" for characters in SIZES.values())
    ]
    return "\n".join([head, *rows, *whole])


def main() -> None:
    """Prints the table, and fails if a limit does not hold."""
    table = measure()
    bars, worst = table["tqdm bars"]["64 kB"], max(times["1 MB"] for times in table.values())
    sys.stdout.write(f"{report(table)}\n")
    sys.stdout.write(
        f"64 kB of bars: {bars:.2f} ms (limit {BARS_MS:.0f}), worst 1 MB: {worst:.2f} ms (limit {ANY_MS:.0f})\n"
    )
    if bars > BARS_MS or worst > ANY_MS:
        raise SystemExit("a limit does not hold: the machine is busy, or the reader has become slower")


if __name__ == "__main__":
    main()
