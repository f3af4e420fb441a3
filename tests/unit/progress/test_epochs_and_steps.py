"""Which of several counters tells how far the job is: epochs, the steps within one, and those of the whole job."""

from __future__ import annotations

import pytest

from shared.progress import read_progress
from shared.progress.progress import Progress, Stage

WITHIN_AN_EPOCH = {
    "Epoch [1/1] Batch [10/50] Loss: 4.6": 20.0,
    "Epoch:[1/1](17410/39695), loss: 2.5": 43.9,
    "Epoch 1/3 batch 20/100 loss 0.3": 6.7,
    "[1/3][20/100] Loss_D: 0.3": 6.7,
    "[Epoch 2/3] [Batch 20/100] [D loss: 0.3] [G loss: 0.2]": 40.0,
    "Epoch: 2/3, Iteration: 20/100, Loss: 0.3": 40.0,
    "epoch [2/3] batch [20/100] time 0.1 (0.2) data 0.0 (0.1) loss 1.2 (1.3) lr 1e-5": 40.0,
    "epoch: [2/3][20/100]\ttime 0.1 (0.2)\tdata 0.0 (0.1)\tloss 1.2\tlr 0.0003": 40.0,
    "INFO | core.trainer:258 - epoch: 2/3, iter: 20/100, mem: 1000Mb, iter_time: 0.5s, total_loss: 12.1": 40.0,
    "Train Epoch: 2/3 [20/100 (20%)]\tLoss: 0.301": 40.0,
    "Epoch 2/3 | Batch 20/100 | Loss: 0.3": 40.0,
    "Epoch 2/3 - Batch 20 of 100 - Loss: 0.3": 40.0,
    "Epoch 2 of 3, minibatch 20 of 100: loss 0.3": 40.0,
    "Epoch [2/3][20/100] loss: 0.3": 40.0,
    "INFO Train: [2/3][20/100]\teta 0:10:10 lr 0.000100\ttime 0.8123 (0.8)\tloss 6.1 (6.2)": 40.0,
    "[Train][Epoch 2/3][Iter: 20/100]lr(LinearWarmup): 0.001, CELoss: 6.9, loss: 6.9, ips: 100 samples/s": 40.0,
    "Epoch 2/3 (20/100) loss: 0.3": 40.0,
    "Epoch 2/3: 20/100, loss = 0.3": 40.0,
    "INFO  Train:    2/3 ( 66%) [  20/100 ( 20%)]  Loss: 0.5 (0.6)  LR: 3.0e-04": 40.0,
    "Epoch 2/3 iter 20/100 loss 0.3": 40.0,
    "Ep 2/3 it 20/100 loss 0.3": 40.0,
    "epoch=2/3 batch=20/100 loss=0.3": 40.0,
    "epoch:2/3,batch:20/100,lr:0.000100,train loss:5.83719,train acc:3.52%": 40.0,
    "Epoch 2/3, 20/100 batches, loss 0.3": 40.0,
    "Epoch 2/3 [====>     ] 20/100 loss: 0.3": 40.0,
    "[epoch 2/3, batch 20/100] loss: 0.3": 40.0,
    "Epoch: 2/3 Batch: 20/100 (20.00%) Loss: 0.3": 40.0,
    "Epoch 2/3, Loss: 0.3, Batch 20/100": 40.0,
    "step 20/100 of epoch 2/3: loss 0.3": 40.0,
    "Batch 20/100 Epoch 2/3 loss 0.3": 40.0,
    "Epoch 2/3 : |████--------| 20.00% [20/100 00:12<00:48 0.4312]": 40.0,
    "Epoch 2/3, Batch 20: Loss 0.3": 33.3,
    "Epoch 3/10: 45%": 24.5,
    "Starting epoch 3/10": 20.0,
    "Beginning of Epoch 1/2, Total Micro Batches 1000": 0.0,
    "[Epoch 0/3] [Batch 20/100] [D loss: 0.3]\n[Epoch 1/3] [Batch 20/100] [D loss: 0.2]": 40.0,
    "Epoch 4/5\n  Batch 200/215 | Loss: 1.2662\n  Batch 210/215 | Loss: 1.1617": 79.5,
    "Epoch 6/50 | Loss: 0.0762 | Time: 13397.17s\nEpoch 7 | Batch 1455/2911 | Loss: 0.0728": 13.0,
    ' - max_epochs: "10"\n2021-01-01 epoch 3 - iter 40/100 - loss 0.5 - samples/sec: 100 - lr: 0.1': 24.0,
    " > EPOCH: 0/1000\n > TRAINING (2022-01-01)\n   --> STEP: 24/406 -- GLOBAL_STEP: 24\n     | > loss: 3.1": 0.0,
    "num_epochs: 2\nEpoch 0 | Step 6500/6501 | loss 0.5\nEpoch 1 | Step 10/6501 | loss 0.4": 50.1,
}
A_WHOLE_EPOCH = {
    "Epoch 3/10": 30.0,
    "Finished epoch 3/10": 30.0,
    "INFO: Epoch: 3/10 (30%)": 30.0,
    "Epoch 3/10, Loss: 0.5, val_loss: 0.4": 30.0,
    "Epoch 3/10\n100/100 - 9s - loss: 0.5 - val_loss: 0.6 - 9s/epoch - 90ms/step": 30.0,
    "Epoch 3/5\n  Batch 210/215 | Loss: 1.1\nEpoch 3/5 | Loss: 1.3 | Accuracy: 0.94\n": 60.0,
    "Epoch [3/10]: 100%|██████████| 20/20 [00:10<00:00,  2.0it/s]\nEpoch [3/10] train loss: 0.3": 30.0,
}
OF_UNKNOWN_PLACE = [
    "Epoch 3 [20/100] Loss: 0.301",
    "Epoch: [2][ 20/100]\tTime 0.2 (0.3)\tLoss 6.9 (6.95)",
    "Train: 3 [ 500/1251 ( 40%)]  Loss: 6.1 (6.2)  Time: 0.8s, 158.0/s  LR: 1.0e-04",
    "epoch 003:    500 / 1250 loss=5.1, nll_loss=3.2, ppl=12, wps=1200, num_updates=3000, lr=0.0001",
    "2021-01-01 epoch 3 - iter 40/100 - loss 0.5 - time (sec): 12.3 - lr: 0.1",
    "| epoch   1 |   200/ 2983 batches | lr 5.00 | ms/batch 18.5 | loss  5.1 | ppl 160",
    "(epoch: 3, iters: 500, time: 0.3, data: 0.01) D_A: 0.2 G_A: 0.3",
    "Epoch 3 | Batch 20/100 | loss 0.4",
    "ep: 0, batch: 240, time: 8.56, ntokens: 460.30/513, loss: 8.687500",
    "EPOCH 3 - PROGRESS: at 45.20% examples, 500000 words/s, in_qsize 5, out_qsize 0",
    "Epoch 0 | Step 6500/6501 | loss 0.5\nEpoch 1 | Step 10/6501 | loss 0.4",
    "step 90/100 loss 0.4\nstep 100/100 loss 0.3\nstep 10/100 loss 0.2",
    "Batch 90/100 loss 0.4\nEpoch 1 done\nBatch 10/100 loss 0.2",
    "Epoch 1, Iter 90/100 loss 0.4\nEpoch 2, Iter 10/100 loss 0.2",
]
OF_THE_JOB = {
    "Step 250/1000: loss 0.21, epoch 3/10": 25.0,
    "Training epoch 0, iteration 120/149 | global_step: 120 | reduced_train_loss: 1.233": 80.5,
    "step 40/100 loss 0.4\nstep 10/100 loss 0.2": 10.0,
    "Batch 20/100 | loss 0.4": 20.0,
    "Episode 30/500, Reward: 12.0, Loss: 0.3": 6.0,
    "Round 3/10 - loss 0.5": 30.0,
    "100/1000 loss: 2.3 lr 0.1": 10.0,
    "it 100/1000 | loss 2.3": 10.0,
    "E496/500 | Loss:0.9379 | TrA:30.70% | VAcc:22.50% | BestVAcc:88.75%": 99.2,
    "[047500/50000] WMS    | loss 0.1859 | VRAM 9.8/15.9GB (62%) | batch 16": 95.0,
    "step= 8860/8870 | tokens=4.650B | loss=2.4704 | lr=3.000e-05": 99.9,
}
BAR = "Epoch 3/10: 100%|██| 100/100 [00:20<00:00, 5.0it/s, loss=0.5]"
REMARKS = [
    "best epoch: 1",
    "Best model so far: epoch 1",
    "Best val loss 0.3 at epoch 2",
    "Early stopping: no improvement since epoch 1",
    "Restored weights from epoch 1",
    "Epoch 1 had the best score",
    "best_epoch=1",
    "[best] epoch 1 | val 0.4",
    "the lr was reduced at epoch 2",
    "===== Epoch 0 stats (rank=0) =====",
    "lowest loss: 0.2 (epoch 1)",
    "best: 0.91 @ epoch 2",
    "No improvement for 5/20 epochs",
    "Mining triplets for epoch 4...",
    "next evaluation at epoch 9",
]


def only(text: str) -> Progress:
    return read_progress(text + "\n")


@pytest.mark.parametrize(("log", "percent"), WITHIN_AN_EPOCH.items())
def test_a_counter_within_an_epoch_is_a_part_of_that_epoch(log: str, percent: float) -> None:
    progress = only(log)

    assert (progress.stage, progress.percent) == (Stage.TRAINING, percent)


@pytest.mark.parametrize(("log", "percent"), A_WHOLE_EPOCH.items())
def test_an_epoch_without_a_counter_within_it_is_done(log: str, percent: float) -> None:
    assert only(log).percent == percent


@pytest.mark.parametrize("log", OF_UNKNOWN_PLACE)
def test_a_counter_of_one_epoch_among_unknown_many_tells_no_percent(log: str) -> None:
    progress = only(log)

    assert (progress.stage, progress.percent) == (Stage.TRAINING, None)


@pytest.mark.parametrize(("log", "percent"), OF_THE_JOB.items())
def test_a_counter_of_the_whole_job_is_the_percent(log: str, percent: float) -> None:
    progress = only(log)

    assert (progress.stage, progress.percent) == (Stage.TRAINING, percent)


@pytest.mark.parametrize("remark", REMARKS)
@pytest.mark.parametrize("log", [BAR, "Epoch 3/10 - loss: 0.5 - val_loss: 0.6"])
def test_a_sentence_that_names_an_epoch_moves_nothing(log: str, remark: str) -> None:
    assert only(f"{log}\n{remark}").percent == 30.0


@pytest.mark.parametrize("remark", ["Best step: 100", "lowest loss 0.2 at step 100/1000"])
def test_a_sentence_that_names_a_step_moves_nothing(remark: str) -> None:
    assert only(f"Step 500/1000 loss 0.3\n{remark}").percent == 50.0


def test_an_epoch_told_again_from_the_first_on_is_a_run_that_began_anew() -> None:
    assert only("Epoch 7/10 loss 0.2\nEpoch 1/10 loss 0.9").percent == 10.0


def bare(percent: int, done: int, total: int = 132) -> str:
    return f" {percent:2d}%|██        | {done}/{total} [00:10<00:22,  4.04it/s]"


def test_a_bare_bar_that_starts_anew_counts_one_epoch() -> None:
    log = "\n".join([bare(80, 105), bare(98, 129), bare(2, 3)])

    assert only(log).percent is None


def test_a_bare_bar_that_starts_anew_before_its_end_is_a_run_that_was_restarted() -> None:
    log = "\n".join([bare(30, 40), bare(37, 49), bare(2, 3)])

    assert only(log).percent == 2.3


def test_a_bare_bar_that_starts_anew_is_a_part_of_the_epoch_behind_the_one_whose_result_was_told() -> None:
    log = "\n".join([bare(98, 129), bare(48, 14, 29), "[ Valid | 065/100 ] loss = 0.06", bare(92, 122)])

    progress = only(log)

    assert (progress.stage, progress.percent) == (Stage.TRAINING, 65.9)


def test_a_bare_bar_seen_at_its_end_before_and_at_its_beginning_now_counts_one_epoch() -> None:
    before = only(bare(98, 129) + "\n")
    later = read_progress(bare(5, 7) + "\n", before)

    assert (before.percent, later.percent) == (97.7, None)
    assert read_progress(bare(50, 66) + "\n", later).percent is None


def test_a_log_read_again_is_read_the_same() -> None:
    log = "\n".join(bare(done * 100 // 132, done) for done in range(40, 130, 5))
    before = only(log)

    assert read_progress(log + "\n", before) == before


def test_epochs_counted_from_zero_stay_so_when_their_first_has_scrolled_by() -> None:
    before = only("[Epoch 0/10] [Batch 90/100] [D loss: 0.3]\n[Epoch 1/10] [Batch 20/100] [D loss: 0.2]")
    later = read_progress("[Epoch 1/10] [Batch 60/100] [D loss: 0.2]\n", before)

    assert (before.percent, later.percent) == (12.0, 16.0)


def test_a_header_of_the_next_epoch_begins_it() -> None:
    log = "Epoch 3/5\n  Batch 210/215 | Loss: 1.1617\nEpoch 4/5\n"

    assert (read_progress(log).percent, read_progress(f"{log}  Batch 43/215 | Loss: 1.1\n").percent) == (60.0, 64.0)
