"""The time left is the job's: what the trainer tells of it, never what an inner bar tells of its epoch."""

from __future__ import annotations

import pytest

from shared.progress import read_progress

TOLD = {
    "Epoch [1][1800/14659] lr: 0.01, eta: 1 day, 13:01:00, time: 0.812, memory: 3800, loss: 1.7": 133_260,
    "Iter [50/80000]\tlr: 9.995e-03, eta: 8:14:02, time: 0.371, memory: 6121, decode.loss_ce: 2.3, loss: 3.1": 29_642,
    "Epoch(train)  [99][28/28]  lr: 1.0000e-04  eta: 0:00:07  time: 0.2611  loss: 0.7919": 7,
    "[04/21 11:27:14 d2.utils.events]:  eta: 0:39:18  iter: 19  total_loss: 2.05  time: 0.39  lr: 4.9e-06": 2_358,
    "epoch [2/3] batch [20/100] time 0.1 (0.2) data 0.0 (0.1) loss 1.2 (1.3) lr 1e-5 eta 0:05:00": 300,
    "epoch: [2/3][20/100]\ttime 0.1 (0.2)\tdata 0.0 (0.1)\teta 0:45:00\tloss 1.2\tlr 0.0003": 2_700,
    "epoch: 2/3, iter: 20/100, total_loss: 12.1, lr: 1e-5, size: 640, ETA: 3 days, 1:02:03": 262_923,
    "[Train][Epoch 2/3][Iter: 20/100]lr: 0.001, loss: 6.9, ips: 100 samples/s, eta: 1 day, 2:03:04": 93_784,
    "epoch: [1/500], global_step: 10, lr: 0.0001, loss: 3.2, ips: 6.1 samples/s, eta: 7 days, 1:02:03": 608_523,
    "[basel..][epoch:  6, iter:     700, lr:(2.973e-05,)] [eta: 4:34:17, time (data): 1.631 (0.261)] l: 1e-3": 16_457,
    "Progress:  45.2% words/sec/thread:  500000 lr:  0.027 avg.loss:  2.1 ETA:   0h 1m12s": 72,
    "Learning iteration 310/1500\n   Value function loss: 0.0123\n        ETA: 1785.0s": 1_785,
    "step 100/1000 | loss 2.1 | eta 1h 2m 3s": 3_723,
    "step 100/1000 | loss 2.1 | time left: 01:02:03": 3_723,
    "step 100/1000 | loss 2.1 | ETA: 12.5 min": 750,
    "step 100/1000 | loss 2.1 | 12.5 hours left": 45_000,
    "Epoch 3/10 done in 20s, ETA 140s": 140,
    " 1200: 2.345678, 2.512345 avg loss, 0.001000 rate, 3.2 seconds, 76800 images, 12.5 hours left": 45_000,
    "{'loss': 1.66, 'global_step/max_steps': '340/9060', 'remaining_time': '7h 59m 46s'}": 28_786,
    "steps:  25%|██▌  | 500/2000 [10:00<30:00,  1.20s/it]\nGenerating Images:  50%|██ | 1/2 [00:21<00:21]": 1_800,
}
OF_THE_REST = {
    "Epoch 2/3:  50%|██| 20/40 [01:00<01:00,  3.0s/it, loss=0.1]": 180.0,
    "     69/100      2.27G     0.7556         37        640:  50%|████▋     | 50/100 [00:10<00:10,  5.00it/s]": 630.0,
}
OF_ONE_EPOCH = [
    "Epoch: [0]  [  20/1251]  eta: 0:22:30  lr: 0.000001  loss: 6.9 (6.9)  time: 1.09  data: 0.2",
    "Train: [2/3][20/100]\teta 0:10:10 lr 0.000100\ttime 0.8123 (0.8)\tloss 6.1 (6.2)",
    "Epoch 3:  50%|█████     | 9/18 [00:17<00:17,  1.9s/it, loss=10.07, v_num=19]",
    "Epoch 3/10\n 45/100 [============>.................] - ETA: 5s - loss: 0.45",
    "Test:  [  0/53]  eta: 0:04:30  loss: 1.1 (1.1)  acc1: 71.2",
]
NO_TIME = [
    "step 5/10 eta: 0.0 loss 1",
    "step 5/10 eta_min: 3s loss 1",
    "step 5/10 beta: 0.9s loss 1",
    "step 5/10 loss 1",
]


@pytest.mark.parametrize(("log", "seconds"), TOLD.items())
def test_what_the_trainer_tells_of_the_job_is_its_time_left(log: str, seconds: float) -> None:
    assert read_progress(log + "\n").eta_seconds == seconds


@pytest.mark.parametrize(("log", "seconds"), OF_THE_REST.items())
def test_the_pace_of_a_bar_of_one_epoch_gives_the_time_for_the_rest_of_the_job(log: str, seconds: float) -> None:
    assert read_progress(log + "\n").eta_seconds == pytest.approx(seconds, rel=0.001)


@pytest.mark.parametrize("log", OF_ONE_EPOCH)
def test_the_time_left_in_one_epoch_is_not_told_as_the_jobs(log: str) -> None:
    assert read_progress(log + "\n").eta_seconds is None


@pytest.mark.parametrize("log", NO_TIME)
def test_what_only_looks_like_a_time_left_is_none(log: str) -> None:
    assert read_progress(log + "\n").eta_seconds is None


def test_a_time_left_holds_until_the_next_counter() -> None:
    assert read_progress("step 1/10 loss 1 eta: 0:10:00\nstep 2/10 loss 1\n").eta_seconds is None
