"""Logs in the shapes of the trainers that people run, each with the stage and percent a user wants to see."""

from __future__ import annotations

import pytest

from shared.progress import read_progress
from shared.progress.progress import Stage

Case = tuple[str, Stage | None, float | None]

PREPROCESSING = Stage.PREPROCESSING
WARMUP = Stage.WARMUP
TRAINING = Stage.TRAINING
VALIDATION = Stage.VALIDATION
SAVING = Stage.SAVING_CHECKPOINT

BAR = "███▍      "
EMPTY = "          "
FULL = "██████████"

SIMPLETUNER: dict[str, Case] = {
    "epoch-and-steps-bar": (
        f"Epoch 7/20, Steps:  34%|{BAR}| 1020/3000 [21:10<41:06,  1.25s/it, lr=8e-5, step_loss=0.31]",
        TRAINING,
        34.0,
    ),
    "first-bar": (f"Epoch 1/20 Steps:   0%|{EMPTY}| 0/3000 [00:00<?, ?it/s]", TRAINING, 0.0),
    "resumed-bar": (f"Epoch 11/20, Steps:  50%|{BAR}| 5000/10000 [00:00<?, ?it/s]", TRAINING, 50.0),
    "event-line-of-loading": ("[EVENT] log.message: Loading diffusion model from acme/base", PREPROCESSING, None),
    "event-line-of-embeds": (
        (
            "[EVENT] log.message: (id=text-embeds) Loading text embed cache\n"
            f"Processing prompts:  50%|{BAR}| 10/20 [00:04<00:04,  2.2it/s]"
        ),
        PREPROCESSING,
        None,
    ),
    "stage-of-vae-cache": ("[STAGE] ⏳ VAE Cache initialising (45.0%): caching", PREPROCESSING, None),
    "stage-of-validation-after-steps": (
        (
            f"Epoch 3/10, Steps:  30%|{BAR}| 600/2000 [13:06<30:33,  1.31s/it, lr=0.0001, step_loss=0.19]\n"
            "[STAGE] ⏳ Running Validation: Validation is starting."
        ),
        VALIDATION,
        30.0,
    ),
    "steps-after-validation": (
        (
            f"Epoch 3/10, Steps:  30%|{BAR}| 600/2000 [13:06<30:33,  1.31s/it, lr=0.0001, step_loss=0.19]\n"
            "[STAGE] ✓ Running Validation: Validation has completed.\n"
            f"Epoch 4/10, Steps:  31%|{BAR}| 610/2000 [14:06<30:33,  1.31s/it, lr=0.0001, step_loss=0.18]"
        ),
        TRAINING,
        30.5,
    ),
    "checkpoint-message": (
        "[INFO] Checkpoint: `Step 250 of 1000: loss 0.21, lr 0.0001, epoch 3/10`: Checkpoint: `Step 250 of 1000`",
        SAVING,
        25.0,
    ),
    "banner-of-a-resumed-run": (
        (
            "***** Running training *****\n-  Num Epochs = 10\n  - Current Epoch = 4\n"
            "-  Total optimization steps = 2000\n"
            "  - Steps completed: 800\n-  Total optimization steps remaining = 1200"
        ),
        TRAINING,
        40.0,
    ),
    "banner-with-completed-steps": (
        " 2 ***** Running training *****\n 9 -  Total optimization steps = 22900\n10   - Steps completed: 458",
        TRAINING,
        2.0,
    ),
    "stage-of-the-end": ("[STAGE] ✓ Training Complete (100.0%): Training finished", TRAINING, 100.0),
    "debug-step-line": (
        "2026-01-10 10:00:01,120 [DEBUG] (training_loop) Step 420 of 2000: loss 0.15, lr 0.0001, epoch 3/10",
        TRAINING,
        21.0,
    ),
    "loading-after-training-began": (
        (
            f"Epoch 2/10, Steps:  15%|{BAR}| 300/2000 [06:33<37:10,  1.31s/it, lr=0.0001, step_loss=0.2]\n"
            "2026-01-10 10:00:09,018 [INFO] (validation) Loading validation pipeline"
        ),
        TRAINING,
        15.0,
    ),
    "scheduler-with-warmup": (
        "[INFO] Loading constant_with_warmup learning rate scheduler with 100 warmup steps",
        PREPROCESSING,
        None,
    ),
    "warmup-setting": ("[INFO] lr_warmup_steps: 100\n[INFO] Using WarmupLR", None, None),
    "traceback-after-steps": (
        (
            f"Epoch 2/10, Steps:  15%|{BAR}| 300/2000 [06:33<37:10,  1.31s/it, lr=0.0001, step_loss=0.2]\n"
            'Traceback (most recent call last):\n  File "/app/trainer.py", line 10, in train\n'
            "    self.save_checkpoint()\n"
            '  File "/app/validation.py", line 20, in run_validation\n    raise RuntimeError\nRuntimeError: checkpoint'
        ),
        TRAINING,
        15.0,
    ),
}

KOHYA: dict[str, Case] = {
    "bar-then-epoch-line": (
        f"steps:  21%|{BAR}| 168/800 [00:46<02:54,  3.6it/s, avr_loss=0.11]\n\nepoch 12/50",
        TRAINING,
        21.0,
    ),
    "first-epoch": (
        (
            "running training / 学習開始\n  num train images * repeats / 学習画像の数×繰り返し回数: 400\n"
            "  num epochs / epoch数: 10\n  total optimization steps / 学習ステップ数: 2000\n"
            f"steps:   0%|{EMPTY}| 0/2000 [00:00<?, ?it/s]\nepoch 1/10"
        ),
        TRAINING,
        0.0,
    ),
    "caching-latents": (
        f"caching latents.\nchecking cache validity...\n 45%|{BAR}| 90/200 [00:20<00:25,  4.3it/s]",
        PREPROCESSING,
        None,
    ),
    "preparing": ("prepare tokenizer\nUse DreamBooth method.\nprepare images.", PREPROCESSING, None),
    "sampling": (
        (
            f"steps:  25%|{BAR}| 500/2000 [10:00<30:00,  1.2s/it, avr_loss=0.09]\n"
            "generating sample images at step / サンプル画像生成 ステップ: 500\n"
            f" 40%|{BAR}| 8/20 [00:05<00:08,  1.5it/s]"
        ),
        VALIDATION,
        25.0,
    ),
    "model-saved": (
        (
            f"steps: 100%|{FULL}| 1600/1600 [40:00<00:00,  1.5s/it, avr_loss=0.08]\n"
            "saving checkpoint: /out/last.safetensors\n"
            "2026-01-01 10:00:00 INFO     model saved.     train_network.py:1000"
        ),
        SAVING,
        100.0,
    ),
    "state-saved": (
        f"steps:  50%|{BAR}| 800/1600 [20:00<20:00,  1.5s/it, avr_loss=0.08]saving state at epoch 5",
        SAVING,
        50.0,
    ),
    "message-in-the-bar": (
        f"steps:   1%|{EMPTY}| 4/400 [00:24<39:55,  6.05s/it, Key norm=0.01, Keys Scaled=0,Loss: 0.1237 | P: 1e-4",
        TRAINING,
        1.0,
    ),
    "wrapped-epoch-message": (
        (
            f"steps:  25%|{BAR}| 100/400 [02:24<07:55,  1.5s/it, avr_loss=0.1]\n"
            "2026-05-12 18:12:29 INFO     epoch is incremented. current_epoch: 9, train_util.py:787\n"
            "                             epoch: 10"
        ),
        TRAINING,
        25.0,
    ),
    "printed-settings": (
        "max_train_steps = 1600\nsave_every_n_epochs = 1\nsample_every_n_steps = 100\nlr_warmup_steps = 80",
        None,
        None,
    ),
}

AI_TOOLKIT: dict[str, Case] = {
    "job-name": (
        f"my_style_v2:  10%|{BAR}| 299/3000 [10:44<1:37:05,  2.16s/it, lr: 2.0e-04 loss: 5.2e-01]",
        TRAINING,
        10.0,
    ),
    "job-name-at-zero": (f"my_style_v2:   0%|{EMPTY}| 0/3000 [00:00<?, ?it/s]", TRAINING, 0.0),
    "job-name-with-blanks": (
        f"ai model test:  25%|{BAR}| 25/100 [00:54<02:27,  1.97s/it, lr: 1e-04 loss: 5.6e-01]",
        TRAINING,
        25.0,
    ),
    "flux-on-replicate": (
        f"flux_train_replicate:  83%|{BAR}| 2482/3000 [31:42<06:30,  1.3it/s, lr: 4.0e-04 loss: 3.1e-01]",
        TRAINING,
        82.7,
    ),
    "dimensions": (
        (
            "Dataset: /data/me\n  -  Preprocessing image dimensions\n"
            f"100%|{FULL}| 26/26 [00:00<00:00, 330.1it/s]\n  -  Found 26 images"
        ),
        PREPROCESSING,
        None,
    ),
    "embeddings": (f"Caching text embeddings to disk:  88%|{BAR}| 23/26 [51:34<06:44, 134.7s/it]", PREPROCESSING, None),
    "baseline-samples": (
        f"Generating baseline samples before training\nGenerating Images:  50%|{BAR}| 1/2 [00:21<00:21, 21.5s/it]",
        VALIDATION,
        None,
    ),
    "samples-in-training": (
        (
            f"my_style_v2:  10%|{BAR}| 250/2500 [10:44<1:37:05,  2.16s/it, lr: 2.0e-04 loss: 5.2e-01]\n"
            f"Generating Images:  50%|{BAR}| 1/2 [00:21<00:21, 21.5s/it]"
        ),
        VALIDATION,
        10.0,
    ),
    "saving-then-steps": (
        (
            f"my_style_v2:  10%|{BAR}| 250/2500 [10:44<1:37:05,  2.16s/it, lr: 2.0e-04 loss: 5.2e-01]\n"
            "Saving at step 250\nSaved checkpoint to /out/my_style_v2_000000250.safetensors\n"
            f"my_style_v2:  10%|{BAR}| 255/2500 [10:54<1:37:05,  2.16s/it, lr: 2.0e-04 loss: 5.1e-01]"
        ),
        TRAINING,
        10.2,
    ),
    "upload-alone": (f"Upload 2 files:  45%|{BAR}| 77.1M/172M [00:02<00:03, 28.1MB/s]", None, None),
    "quantizing": ("Loading transformer\nQuantizing transformer\nLoading vae", PREPROCESSING, None),
    "upload-after-training": (
        (
            f"my_style_v2: 100%|{FULL}| 2500/2500 [1:10:44<00:00,  2.16s/it, lr: 2.0e-04 loss: 5.2e-01]\n"
            f"my_style_v2.safetensors:  45%|{BAR}| 77.1M/172M [00:02<00:03, 28.1MB/s]"
        ),
        TRAINING,
        100.0,
    ),
}

DIFFUSERS: dict[str, Case] = {
    "bar": (f"Steps:  41%|{BAR}| 205/500 [05:10<07:20,  1.49s/it, loss=0.11, lr=0.0001]", TRAINING, 41.0),
    "validation": (
        (
            f"Steps:  10%|{BAR}| 500/5000 [05:10<47:20,  1.49it/s, lr=0.0001, step_loss=0.08]"
            "03/22/2024 15:02:37 - INFO - __main__ - Running validation... \n Generating 4 images with prompt: a cat."
        ),
        VALIDATION,
        10.0,
    ),
    "pipeline-for-validation": (
        (
            f"Steps:  10%|{BAR}| 500/5000 [05:10<47:20,  1.49it/s, lr=0.0001, step_loss=0.08]"
            "03/22/2024 15:02:37 - INFO - __main__ - Running validation... \n Generating 4 images with prompt: a cat.\n"
            f"Loading pipeline components...:  71%|{BAR}| 5/7 [00:00<00:00, 8.1it/s]\n"
            f" 40%|{BAR}| 10/25 [00:02<00:04,  3.7it/s]"
        ),
        VALIDATION,
        10.0,
    ),
    "sampling-bar-beside-steps": (
        (
            f"Steps:  10%|{BAR}| 500/5000 [05:10<47:20,  1.49it/s, lr=0.0001, step_loss=0.08]\n"
            f" 40%|{BAR}| 20/50 [00:02<00:04,  3.7it/s]"
        ),
        VALIDATION,
        10.0,
    ),
    "without-a-bar-body": ("Steps:  10% 103/1000 [05:03<44:00,  2.94s/it, lr=0.0001, step_loss=0.227]", TRAINING, 10.3),
    "resuming": (
        "01/02/2025 10:00:00 - INFO - __main__ - Resuming from checkpoint checkpoint-500",
        PREPROCESSING,
        None,
    ),
}

HUGGING_FACE: dict[str, Case] = {
    "bare-bar": (f"  5%|{EMPTY}| 50/1000 [01:00<19:00,  1.2s/it]", TRAINING, 5.0),
    "record-then-bar": (
        (
            "{'loss': 0.98, 'grad_norm': 1.2, 'learning_rate': 4.5e-05, 'epoch': 0.52}\n"
            f" 17%|{BAR}| 170/1000 [03:00<15:00,  1.1s/it]"
        ),
        TRAINING,
        17.0,
    ),
    "bar-then-record": (
        f" 17%|{BAR}| 170/1000 [03:00<15:00,  1.1s/it]\n{{'loss': 0.98, 'learning_rate': 4.5e-05, 'epoch': 0.52}}",
        TRAINING,
        17.0,
    ),
    "record-with-known-epochs": (
        "***** Running training *****\n  Num Epochs = 4\n{'loss': 0.98, 'learning_rate': 4.5e-05, 'epoch': 1.0}",
        TRAINING,
        25.0,
    ),
    "record-alone": ("{'loss': 0.98, 'learning_rate': 4.5e-05, 'epoch': 0.5}", TRAINING, None),
    "shards-then-bar": (
        f"Loading checkpoint shards: 100%|{FULL}| 4/4 [00:08<00:00,  2.1s/it]\n  0%|{EMPTY}| 0/873 [00:00<?, ?it/s]",
        TRAINING,
        0.0,
    ),
    "known-total": (
        (
            f"  Total optimization steps = 1,548\nMap: 100%|{FULL}| 9/9 [00:00<00:00, 99 examples/s]\n"
            f" 50%|{BAR}| 774/1548 [10:00<10:00,  1.3it/s]"
        ),
        TRAINING,
        50.0,
    ),
    "evaluation-bar": (
        (
            f" 50%|{BAR}| 774/1548 [10:00<10:00,  1.3it/s]\n{{'loss': 1.0, 'learning_rate': 1e-05, 'epoch': 0.5}}\n"
            f" 20%|{BAR}| 4/20 [00:01<00:04,  4.0it/s]"
        ),
        VALIDATION,
        50.0,
    ),
    "evaluation-result": (
        (
            f" 50%|{BAR}| 774/1548 [10:00<10:00,  1.3it/s]\n{{'loss': 1.0, 'learning_rate': 1e-05, 'epoch': 0.5}}\n"
            f"100%|{FULL}| 20/20 [00:05<00:00,  4.0it/s]\n{{'eval_loss': 1.1, 'eval_runtime': 5.1, 'epoch': 0.5}}"
        ),
        VALIDATION,
        50.0,
    ),
    "training-after-evaluation": (
        (
            f" 50%|{BAR}| 774/1548 [10:00<10:00,  1.3it/s]\n{{'loss': 1.0, 'learning_rate': 1e-05, 'epoch': 0.5}}\n"
            f"100%|{FULL}| 20/20 [00:05<00:00,  4.0it/s]\n{{'eval_loss': 1.1, 'eval_runtime': 5.1, 'epoch': 0.5}}\n"
            f" 50%|{BAR}| 775/1548 [10:10<10:00,  1.3it/s]"
        ),
        TRAINING,
        50.1,
    ),
    "evaluation-banner": (
        (
            f" 50%|{BAR}| 774/1548 [10:00<10:00,  1.3it/s]\n{{'loss': 1.0, 'learning_rate': 1e-05, 'epoch': 0.5}}\n"
            "[INFO|trainer.py:4645] >> ***** Running Evaluation *****\n[INFO|trainer.py:4647] >>   Num examples = 3210"
        ),
        VALIDATION,
        50.0,
    ),
    "saving": (
        (
            f" 50%|{BAR}| 774/1548 [10:00<10:00,  1.3it/s][INFO|trainer.py:3503] >> Saving model checkpoint to c-774\n"
            "[INFO|configuration_utils.py:733] >> loading configuration file config.json\n"
            "[INFO|tokenization_utils_base.py:2702] >> tokenizer config file saved in out/c-774/tokenizer_config.json"
        ),
        SAVING,
        50.0,
    ),
    "evaluation-of-the-size-of-the-training": (
        (
            "***** Running training *****\n  Total optimization steps = 125\n"
            f"100%|{FULL}| 125/125 [01:36<00:00,  1.27it/s]\n***** Running Evaluation *****\n  Num examples = 1000\n"
            f"  Batch size = 8\n 24%|{BAR}| 30/125 [00:08<00:28,  3.3it/s]"
        ),
        VALIDATION,
        100.0,
    ),
    "resumed-banner": (
        (
            "***** Running training *****\n  Total optimization steps = 1000\n"
            "  Continuing training from checkpoint, will skip to saved global_step\n"
            "  Continuing training from global step 400"
        ),
        TRAINING,
        40.0,
    ),
    "marked-up-record": (
        f" 10%|{BAR}| 5/52 [03:12<30:02, 38.35s/it]\n{{'loss': **4.7581**, 'learning_rate': 9.9e-05, 'epoch': 0.1}}",
        TRAINING,
        9.6,
    ),
    "training-completed": (
        f"100%|{FULL}| 125/125 [01:36<00:00,  1.27it/s]\n\nTraining completed. Do not forget to share your model =)\n",
        TRAINING,
        100.0,
    ),
    "finished": (
        (
            "{'train_runtime': 3244.7, 'train_samples_per_second': 1.8, 'train_loss': 1.17, 'epoch': 5.98}\n"
            f"100%|{FULL}| 998/998 [54:04<00:00,  3.25s/it]"
        ),
        TRAINING,
        100.0,
    ),
    "endless-epochs-are-no-total": (
        "  Num Epochs = 9,223,372,036,854,775,807\n  Total optimization steps = 500\n{'loss': 2.0, 'epoch': 0.1}",
        TRAINING,
        None,
    ),
    "swift-message-in-the-bar": (
        (
            f"Train:  33%|{BAR}| 3099/9297 [7:04:32<12:19:18, 7.1s/it][INFO:swift] last_model_checkpoint: /c-3\n"
            "[rank7]: Traceback (most recent call last):\n[rank7]:   File 'a.py'\n[rank7]:     save_checkpoint()"
        ),
        TRAINING,
        33.3,
    ),
    "notebook": ("[ 50/312 05:00 < 26:12, 0.17 it/s, Epoch 0.16/1]", TRAINING, 16.0),
    "tokenizing": (
        f"Tokenizing train dataset (num_proc=4):  50%|{BAR}| 500/1000 [00:01<00:01, 450.1 examples/s]",
        PREPROCESSING,
        None,
    ),
    "splits": ("Generating train split: 1000 examples [00:00, 8123.1 examples/s]", PREPROCESSING, None),
    "download": (
        f"model-00001-of-00004.safetensors:  45%|{BAR}| 2.2G/4.9G [00:20<00:25, 106MB/s]",
        PREPROCESSING,
        None,
    ),
    "printed-arguments": (
        (
            "TrainingArguments(\neval_steps=500,\nlogging_steps=10,\nmax_steps=-1,\nsave_steps=500,\nwarmup_steps=0,\n"
            "load_best_model_at_end=False,\ngradient_checkpointing=True,\n)"
        ),
        None,
        None,
    ),
    "reentrant-warning": (
        "/lib/torch/utils/checkpoint.py:429: UserWarning: torch.utils.checkpoint: pass use_reentrant\n  warnings.warn(",
        None,
        None,
    ),
}

RELATIVES: dict[str, Case] = {
    "axolotl-starts": (
        "[2025-09-10 10:58:06,585] [INFO] [axolotl.train.execute_training:203] Starting trainer...",
        TRAINING,
        None,
    ),
    "axolotl-evaluates": (
        (
            f"  2%|{EMPTY}| 20/950 [00:30<20:00,  1.3s/it]\n{{'loss': 1.2, 'learning_rate': 2e-05, 'epoch': 0.02}}\n"
            "[INFO] [axolotl.core.trainers.base.evaluate:367] [PID:1] Running evaluation step..."
        ),
        VALIDATION,
        2.1,
    ),
    "axolotl-packs": (
        "[INFO] [axolotl.utils.data] Loading prepared dataset from disk at last_run/abc...",
        PREPROCESSING,
        None,
    ),
    "llama-factory-record": (
        (
            '{"current_steps": 320, "total_steps": 3200, "loss": 4.46, "eval_loss": null, "learning_rate": 1e-05, '
            '"epoch": 0.3, "percentage": 10.0, "elapsed_time": "0:31:22", "remaining_time": "4:42:25"}'
        ),
        TRAINING,
        10.0,
    ),
    "swift-bar": (
        (
            f"Train:  12%|{BAR}| 5/40 [06:05<43:34, 74.69s/it]"
            "{'loss': '0.3135', 'learning_rate': '9.8e-05', 'epoch': '0.6452', 'global_step/max_steps': '5/40', "
            "'elapsed_time': '6m 5s', 'remaining_time': '42m 38s'}"
        ),
        TRAINING,
        12.5,
    ),
    "swift-record": (
        (
            "{'loss': 1.66, 'learning_rate': 9.9e-05, 'epoch': 0.11, 'global_step/max_steps': '340/9060', "
            "'percentage': '3.75%', 'elapsed_time': '18m 42s', 'remaining_time': '7h 59m 46s'}"
        ),
        TRAINING,
        3.8,
    ),
    "swift-evaluates": (
        f"Train:  12%|{BAR}| 5/40 [06:05<43:34, 74.69s/it]\nVal:  50%|{BAR}| 5/10 [00:05<00:05,  1.0it/s]",
        VALIDATION,
        12.5,
    ),
    "unsloth-bar": (f"  2%|{EMPTY}| 1/52 [00:38<32:45, 38.54s/it]", TRAINING, 1.9),
    "literal-carriage-returns": (
        f"^M  4%|{EMPTY}| 1294/36234 [11:25<5:08:51,  1.89it/s]^M  4%|{EMPTY}| 1450/36234 [11:25<5:08:37,  1.89it/s]",
        TRAINING,
        4.0,
    ),
}

EPOCH_FAMILIES: dict[str, Case] = {
    "onetrainer-outer-bar": (
        (
            f"epoch:   5%|{EMPTY}| 5/100 [10:00<3:10:00, 120.0s/it]\n"
            f"step:  50%|{BAR}| 20/40 [01:00<01:00,  3.0s/it, loss=0.1, smooth loss=0.12]"
        ),
        TRAINING,
        5.0,
    ),
    "onetrainer-few-epochs": (
        (
            f"epoch:  50%|{BAR}| 5/10 [10:00<10:00, 120.0s/it]\n"
            f"step:  50%|{BAR}| 20/40 [01:00<01:00,  3.0s/it, loss=0.1, smooth loss=0.12]"
        ),
        TRAINING,
        55.0,
    ),
    "onetrainer-epochs-unseen": (
        f"step: 100%|{FULL}| 39/39 [01:28<00:00,  2.27s/it, loss=0.004, smooth loss=0.13]",
        TRAINING,
        None,
    ),
    "onetrainer-caching": (f"caching:  51%|{BAR}| 20/39 [00:06<00:06,  3.18it/s]", PREPROCESSING, None),
    "lightning-epoch-unknown-total": (
        f"Epoch 3:  22%|{BAR}| 4/18 [00:17<01:02,  4.47s/it, loss=10.07, v_num=19]",
        TRAINING,
        None,
    ),
    "lightning-known-total": (
        f"Trainer(max_epochs=10)\nEpoch 3:  50%|{BAR}| 9/18 [00:17<00:17,  1.9s/it, loss=10.07, v_num=19]",
        TRAINING,
        35.0,
    ),
    "lightning-validates": (
        (
            f"Epoch 3: 100%|{FULL}| 18/18 [00:17<00:00,  1.9s/it, loss=10.07, v_num=19]\n"
            f"Validation DataLoader 0:  46%|{BAR}| 73/157 [00:02<00:02, 37.48it/s]"
        ),
        VALIDATION,
        None,
    ),
    "lightning-is-done": (
        f"Epoch 9: 100%|{FULL}| 2/2 [00:00<00:00, 35.1it/s, v_num=0]\n`Trainer.fit` stopped: `max_epochs=10` reached.",
        TRAINING,
        100.0,
    ),
    "lightning-syslog": (
        (
            "[1,mpirank:0,algo-1]<stdout>:#015Epoch 0:  50% 1/2 [00:00<00:00,  6.54it/s, loss=2.29, v_num=0]"
            "#015Validation DataLoader 0:   0% 0/1 [00:00<?, ?it/s]#033[A"
        ),
        VALIDATION,
        None,
    ),
    "epoch-bar-of-epochs": (f"Epochs:  30%|{BAR}| 3/10 [10:00<23:20, 200.0s/it]", TRAINING, 30.0),
    "epoch-and-iteration-bars": (
        f"Epoch:  33%|{BAR}| 1/3 [10:00<20:00, 600.0s/it]\nIteration:  50%|{BAR}| 50/100 [05:00<05:00,  6.0s/it]",
        TRAINING,
        50.0,
    ),
    "epoch-of-total-in-the-title": (
        f"Epoch 3/10:  45%|{BAR}| 45/100 [00:45<00:55,  1.0it/s, loss=0.4]",
        TRAINING,
        24.5,
    ),
    "keras": (
        (
            "Epoch 2/10\n100/100 [==============================] - 9s - loss: 0.5 - val_loss: 0.6\nEpoch 3/10\n"
            " 45/100 [============>.................] - ETA: 5s - loss: 0.45"
        ),
        TRAINING,
        24.5,
    ),
    "keras-next-epoch": (
        (
            "Epoch 1/200\n50000/50000 [==============================] - 678s - loss: 1.7646 - val_loss: 1.3379\n"
            "Epoch 2/200"
        ),
        TRAINING,
        0.5,
    ),
    "keras-announces-its-samples": ("Train on 3523 samples, validate on 186 samples", None, None),
    "lightning-in-a-notebook": (
        "Epoch 39: 100%\n4975/4975 [08:42<00:00, 9.52it/s, v_num=1, train_loss=1.820]",
        TRAINING,
        None,
    ),
    "lightning-of-unknown-length": ("Epoch 0: |          | 12/? [00:10<00:00,  1.2it/s, v_num=0]", TRAINING, None),
    "lightning-checks-itself": ("Sanity Checking: |          | 0/? [00:00<?, ?it/s]", VALIDATION, None),
    "lightning-done-and-bar-again": (
        (
            "`Trainer.fit` stopped: `max_epochs=10` reached.\n"
            f"Epoch 9: 100%|{FULL}| 860/860 [00:05<00:00, 162.0it/s, v_num=1, train_loss_step=1.46]"
        ),
        TRAINING,
        100.0,
    ),
    "bars-of-epochs-by-unit": (
        (
            f"Training:  50%|{BAR}| 1/2 [03:44<03:44, 224.0s/epoch]\n"
            f"Epoch 1:  30%|{BAR}| 298/994 [01:08<02:40,  4.17batch/s, avg_loss=0.2, loss=0.19, lr=9.9e-05]"
        ),
        TRAINING,
        65.0,
    ),
    "mnist-example": ("Train Epoch: 3 [25600/60000 (43%)]\tLoss: 0.301", TRAINING, None),
    "tensorflow": (
        "INFO:tensorflow:global step 42: loss = 36.0 (19.6 sec/step)\nINFO:tensorflow:Recording summary at step 42.",
        TRAINING,
        None,
    ),
    "bracketed-pair-beside-a-loss": ("[ 100/1000] loss 0.31 lr 0.001", TRAINING, 10.0),
    "bracketed-iterations": ("Stage [train] iter: [10/500], data_time: 1.0(1.0), loss: 0.09(0.09)", TRAINING, 2.0),
    "checkpoint-named-after-its-step": (
        "Epoch 4, global step 500: 'val_loss' reached 0.5, saving model to '/out/epoch=4-step=500.ckpt' as top 1",
        SAVING,
        None,
    ),
    "keras-3": (
        "Epoch 3/10\n\x1b[1m45/100\x1b[0m \x1b[32m━━━━\x1b[0m\x1b[37m━━━\x1b[0m \x1b[1m5s\x1b[0m 9ms/step - loss: 0.4",
        TRAINING,
        24.5,
    ),
    "epoch-line-with-loss": ("Epoch 3/10 - train loss: 0.31 - val_loss: 0.35", TRAINING, 30.0),
    "tutorial-steps-of-an-epoch": ("Epoch [2/5], Step [300/600], Loss: 0.12", TRAINING, 30.0),
    "global-steps-beside-epochs": ("Epoch 3/10, step 1400/5000, loss 0.2", TRAINING, 28.0),
    "imagenet-style": ("Epoch: [3][ 450/5005]\tTime  0.2 (0.3)\tLoss 6.9 (6.95)", TRAINING, None),
    "torchtune": (f"1|50|Loss: 1.234:   5%|{EMPTY}| 50/1000 [01:00<19:00,  1.2s/it]", TRAINING, 5.0),
    "torchtune-second-epoch": (f"2|1050|Loss: 1.234:   5%|{EMPTY}| 50/1000 [01:00<19:00,  1.2s/it]", TRAINING, None),
    "nanogpt": ("iter 2990: loss 3.8853, time 1096.65ms, mfu 15.34%", TRAINING, None),
    "nanogpt-known-total": ("Overriding: max_iters = 5000\niter 1000: loss 3.8853, time 1096.65ms", TRAINING, 20.0),
    "megatron": (
        " iteration      100/  500000 | consumed samples: 25600 | time per iteration (ms): 7000.1 | lm loss: 9.1E+00",
        TRAINING,
        0.0,
    ),
    "nemo": (
        "Training epoch 0, iteration 120/149 | lr: 3e-05 | global_step: 120 | reduced_train_loss: 1.233",
        TRAINING,
        80.5,
    ),
    "diffusion-pipe": (
        "[INFO] [Rank 0] step=2, skipped=0, lr=[2.4e-07], mom=[0.0]\nsteps: 2 loss: 0.0571 iter time (s): 5.1",
        TRAINING,
        None,
    ),
    "mmengine": ("08/25 17:08:20 - mmengine - INFO - Iter(train) [  50/1000]  lr: 9.9e-05  loss: 0.3", TRAINING, 5.0),
    "steps-in-percent-without-a-bar": ("steps: 10%\nsteps: 50% avr_loss=0.1", TRAINING, 50.0),
}

SURROUNDINGS: dict[str, Case] = {
    "evaluation-right-behind-the-training-bar": (
        (
            f" 29%|{BAR}| 289/1000 [09:39<24:00,  2.0s/it]\n{{'loss': 1.0, 'learning_rate': 1e-05, 'epoch': 0.5}}\n"
            f" 30%|{BAR}| 300/1000 [10:00<23:20,  2.0s/it]\n  0%|{EMPTY}| 0/8 [00:00<?, ?it/s]\n"
            f" 50%|{BAR}| 4/8 [00:01<00:01,  4.0it/s]"
        ),
        VALIDATION,
        30.0,
    ),
    "evaluation-with-a-bar-of-reading": (
        "***** Running Evaluation *****\n  Num examples: Unknown\nReading metadata...: 820it [00:01, 800.1it/s]",
        VALIDATION,
        None,
    ),
    "records-on-one-line": (
        (
            "{'loss': 0.5, 'epoch': 0.2, 'global_step/max_steps': '3/50'} "
            "{'loss': 0.4, 'epoch': 0.3, 'global_step/max_steps': '4/50'}"
        ),
        TRAINING,
        8.0,
    ),
    "json-settings": ('{\n  "cache_latents": true,\n  "epoch": 10,\n  "save_every_n_epochs": 1,', None, None),
    "traceback-without-its-head": (
        (
            '[rank1]:   File "/app/sft.py", line 20, in <module>\n[rank1]:     trainer.train(resume_checkpoint)\n'
            '[rank1]:   File "/app/mixin.py", line 9, in train\n[rank1]:     self.load_model()'
        ),
        None,
        None,
    ),
    "traceback-without-indent": (
        (
            'Loading transformer\nFile "/src/train.py", line 355, in train\nvalidation_step(1, 2)\n'
            'File "/src/job.py", line 97, in run\ncheckpoint_saved()'
        ),
        PREPROCESSING,
        None,
    ),
    "step-of-something-else-while-saving": (
        (
            "Epoch: [0],Step [3/12],Elapsed Time: 00:00:56\nSaving model checkpoint to /out/checkpoint-3\n"
            "Invalidate trace cache @ step 0: expected module 0, but got module 274"
        ),
        TRAINING,
        25.0,
    ),
    "bare-bar-behind-what-was-loaded": (
        f"Starting training...\nLoaded pretrained 'base.pth'\n  5%|{EMPTY}| 1/20 [00:10<03:10, 10.0s/it]",
        TRAINING,
        5.0,
    ),
    "bare-bar-behind-a-named-preparation": (
        (
            f"Loading model\nMap: 100%|{FULL}| 9/9 [00:00<00:00, 99 examples/s]\n"
            f"  2%|{EMPTY}| 4/200 [00:08<06:32,  2.0s/it]"
        ),
        TRAINING,
        2.0,
    ),
    "bare-bar-of-an-epoch-told-too-late": (
        f"100%|{FULL}|500/500[48:07<00:00, 1.59it/s]\nEpoch 2 (global_step 1000) finished, time:48 minutes.",
        TRAINING,
        None,
    ),
    "images-of-the-class": (f"Generating class images:  25%|{BAR}| 1/4 [00:10<00:30, 10.0s/it]", PREPROCESSING, None),
    "job-bar-behind-baseline-samples": (
        (
            "Generating baseline samples before training\n"
            f"Generating Images: 100%|{FULL}| 2/2 [00:21<00:00, 10.5s/it]\n"
            f"my_style_v2:   0%|{EMPTY}| 0/3000 [00:00<?, ?it/s]"
        ),
        TRAINING,
        0.0,
    ),
    "tutorial-steps-where-the-epochs-are": ("Epoch [3/10], Step [100/500], Loss: 0.12", TRAINING, 22.0),
    "steps-that-go-on-over-epochs": (
        "Epoch [2/10], Step [90/500], Loss: 0.2\nEpoch [3/10], Step [110/500], Loss: 0.1",
        TRAINING,
        22.0,
    ),
    "loss-as-a-title": (
        f"[Epoch 12: 3/20]loss: 0.1234:  10%|{EMPTY}| 300/3000 [10:00<1:30:00,  2.0s/it]",
        TRAINING,
        10.0,
    ),
    "total-told-as-until": (
        (
            "Training at rate of 0.004 until step 3000\nPreparing dataset...\n"
            f"  1%|{EMPTY}| 30/3000 [01:00<1:39:00,  2.0s/it]"
        ),
        TRAINING,
        1.0,
    ),
    "going-on-from-an-epoch": (
        f"  Continuing training from epoch 1\n 40%|{BAR}| 401/1000 [00:02<20:00,  2.0s/it]",
        TRAINING,
        40.1,
    ),
    "wrapped-message-of-loading": (
        (
            "                    INFO     load StableDiffusion          sdxl_train_util.py:70\n"
            "                             checkpoint:\n                             ./models/base.safetensors"
        ),
        PREPROCESSING,
        None,
    ),
    "bar-behind-a-wrapped-message": (
        (
            "2026-01-01 10:00:00 INFO     caching latents with a       train_util.py:989\n"
            f"                             strategy.\n  5%|{EMPTY}| 1/20 [00:10<03:10, 10.0s/it]"
        ),
        PREPROCESSING,
        None,
    ),
    "pattern-of-file-names": ('      filename: "epoch{epoch:02d}-step{step:02d}"', None, None),
    "tracker": ("wandb: Run data is saved locally in /out/wandb/run-1\nwandb: Syncing run epoch-3", None, None),
    "thick-bar": (
        (
            "      Epoch    GPU_mem   box_loss  Instances       Size\n"
            "       3/20      8.04G      1.624         28        512: 100% ━━━━━━━━━━━━ 86/86 1.5it/s 56.5s"
        ),
        TRAINING,
        15.0,
    ),
    "checked-folders-are-no-validation": (
        "INFO Validating /data/me/img existence and writability... SUCCESS\nINFO Total steps: 480",
        TRAINING,
        None,
    ),
    "exported-settings": ("export VALIDATION_SEED=42\nexport DATASET_CONFIG=/data/set.json", None, None),
    "bare-bar-longer-than-announced": (
        f"     Total batch size = 8 | Total steps = 500\n  1%|{EMPTY}| 20/2500 [00:40<1:22:40,  2.0s/it]",
        TRAINING,
        0.8,
    ),
    "keras-saves-on-the-line-of-its-bar": (
        (
            "Epoch 2/50\n40/40 [===============>.] - ETA: 0s - loss: 6.51"
            "Epoch 00002: val_loss improved from 7.1 to 6.9, saving model to best.h5"
        ),
        SAVING,
        4.0,
    ),
    "steps-of-another-program": (
        (
            f" 15%|{BAR}| 15/100 [00:53<04:09,  2.9s/it]{{'loss': 0.4, 'learning_rate': 5e-07, 'epoch': 0.15}}\n"
            "Step #100.00 (1ms, 181000 updates a second)\nStep #200.00 (1ms, 328000 updates a second)"
        ),
        TRAINING,
        15.0,
    ),
    "bare-bar-too-fast-to-train": (
        f"  0%|{EMPTY}| 0/900 [00:00<?, ?it/s]\n 40%|{BAR}| 360/900 [00:00<00:01, 512.3it/s]",
        PREPROCESSING,
        None,
    ),
    "bare-bar-done-at-once": (f"100%|{FULL}| 3/3 [00:01<00:00,  2.1it/s]", PREPROCESSING, None),
    "bare-bar-after-a-validation": (
        (
            f"Validation DataLoader 0: 100%|{FULL}| 9/9 [00:09<00:00,  1.0it/s]Validation results saved to /o.json\n"
            f"100%|{FULL}| 187/187 [00:00<00:00, 2036.6it/s]"
        ),
        VALIDATION,
        None,
    ),
    "steps-of-a-validation": (
        "[INFO] Train Step 50/200 | train_loss: 2.8\n[INFO] Validating...\n[INFO] Val Step 10/40 | 20 img/s",
        VALIDATION,
        25.0,
    ),
    "counters-among-dumped-settings": (
        "cache_latents = true\nclip_skip = 1\nenable_bucket = true\nepoch = 100\nmax_train_steps = 3975",
        None,
        None,
    ),
    "epoch-begun-behind-a-banner": (
        (
            "running training\n  num epochs: 16\n  total optimization steps: 96\n"
            "epoch is incremented. current_epoch: 0, epoch: 1"
        ),
        TRAINING,
        0.0,
    ),
    "loss-under-a-path": (
        f"Epoch 0::  98%|{BAR}| 49/50 [00:43<00:00,  1.13it/s, model/all/train/loss=0.35, model/all/train/acc=0.9]",
        TRAINING,
        None,
    ),
    "plain-steps-that-leave-the-epochs": (
        "Epoch 3/10, step 20/500, loss 0.41\nEpoch 3/10, step 140/500, loss 0.39",
        TRAINING,
        22.8,
    ),
    "plain-steps-of-one-epoch": ("Epoch 3/10, step 140/500, loss 0.39", TRAINING, 22.8),
    "plain-steps-of-the-job": (
        "Epoch 3/10, step 1020/5000, loss 0.41\nEpoch 3/10, step 1400/5000, loss 0.39",
        TRAINING,
        28.0,
    ),
    "steps-and-epochs-at-the-same-place": ("Epoch 3/10 - step 150/500 - loss 0.39", TRAINING, 30.0),
    "records-ahead-of-a-bar-that-stopped": (
        (
            f"  Num Epochs = 3 | Total steps = 120\n  0%|{EMPTY}| 0/120 [00:00<?, ?it/s]\n"
            "{'loss': '1.5', 'learning_rate': '4e-05', 'epoch': '0.25'}\n"
            "{'loss': '0.7', 'learning_rate': '2e-04', 'epoch': '1.5'}"
        ),
        TRAINING,
        50.0,
    ),
    "steps-that-go-on-behind-an-epoch": (
        "  step 200/600  loss=3.0\n  Epoch 1/3 done.\n  step 210/600  loss=2.8",
        TRAINING,
        35.0,
    ),
    "ends-of-two-epochs": ("Epoch 1/5, step 600/600, loss 0.4\nEpoch 2/5, step 600/600, loss 0.3", TRAINING, 40.0),
    "evaluation-without-a-training-before": (
        f"***** Running Evaluation *****\n  Num examples = 50000\n 20%|{BAR}| 625/3125 [00:20<01:20, 31.2it/s]",
        VALIDATION,
        None,
    ),
    "training-behind-the-result-of-an-evaluation": (
        (
            "***** Running Evaluation *****\n  Num examples = 500\n{'eval_loss': 0.4, 'epoch': 1.0}\n"
            f" 50%|{BAR}| 501/1000 [10:00<10:00,  1.2s/it]"
        ),
        TRAINING,
        50.1,
    ),
    "validation-that-will-be": ("[INFO] Validation results will be saved to /out/save", None, None),
    "limit-of-steps-within-an-epoch": (
        (
            f"Epoch 0:   0%|{EMPTY}| 10/59674 [12:17<1221:29:06]`Trainer.fit` stopped: `max_steps=10` reached.\n"
            f"Epoch 0:   0%|{EMPTY}| 10/59674 [12:17<1221:29:09,  0.01it/s]"
        ),
        TRAINING,
        100.0,
    ),
    "headline-of-a-validation": ("Step: 1100|accuracy: 0.85|loss: 0.33\n====Validation====", VALIDATION, None),
    "captioning": ("Captioning the images of the dataset", PREPROCESSING, None),
    "caching-before-the-first-step": (
        f"epoch:   0%|{EMPTY}| 0/100 [00:00<?, ?it/s]\ncaching:  51%|{BAR}| 20/39 [00:06<00:05,  3.1it/s]",
        PREPROCESSING,
        None,
    ),
    "caching-between-epochs": (
        f"epoch:   1%|{EMPTY}| 1/100 [02:00<3:18:00, 120.0s/it]\ncaching:  51%|{BAR}| 20/39 [00:06<00:05,  3.1it/s]",
        TRAINING,
        1.0,
    ),
    "remark-on-the-cache-behind-the-first-bar": (
        f"  0%|{EMPTY}| 0/900 [00:00<?, ?it/s]`use_cache=True` is incompatible with gradient checkpointing.",
        TRAINING,
        0.0,
    ),
    "remark-on-the-tokenizer-behind-the-first-bar": (
        f"  0%|{EMPTY}| 0/900 [00:00<?, ?it/s]\nYou're using a fast tokenizer. Operations will not be computed",
        TRAINING,
        0.0,
    ),
    "network-created-behind-an-unnamed-bar": (
        f"100%|{FULL}| 20/20 [00:31<00:00,  1.57s/it]\nINFO create LoRA network. base dim (rank): 16",
        PREPROCESSING,
        None,
    ),
    "epoch-behind-its-pair": (
        "3/10 * Epoch (train):  50% 16/32 [00:20<00:20,  2.39s/it, _fps=11.486, loss=0.89]",
        TRAINING,
        25.0,
    ),
    "valid-epoch-behind-its-pair": (
        (
            "3/10 * Epoch (train): 100% 32/32 [00:41<00:00,  2.39s/it, _fps=11.486, loss=0.89]\n"
            "3/10 * Epoch (valid):   3% 1/32 [00:01<00:46,  1.50s/it, _fps=21.531, loss=1.65]"
        ),
        VALIDATION,
        30.0,
    ),
    "sample-paths": (f"enumerating sample paths: 100%|{FULL}| 1/1 [00:00<00:00, 749.12it/s]", PREPROCESSING, None),
    "examples-of-both-sets": ("Training with 900 examples and validating with 24 examples.", None, None),
    "token-saved-at-the-login": ("Your token has been saved to /home/me/.cache/token\nLogin successful", None, None),
    "printed-intervals-of-an-evaluation": ("{'eval_interval': 8, 'eval_iters': 100, 'devices': 2}", None, None),
    "bar-without-its-end": ("flux_train_replicate:  40% | 400/1000 [02:30<03:45, 2.67it/s]", TRAINING, 40.0),
}

VALIDATION_TABLE = "                 Class     Images  Instances      Box(P          R      mAP50  mAP50-95)"
ULTRALYTICS: dict[str, Case] = {
    "row": (
        (
            "     73/100      2.27G     0.7556     0.7349     0.8481         37        640:  82%|████████▏ | 1167/1426 "
            "[03:48<00:50,  5.08it/s]8.14it/s]"
        ),
        TRAINING,
        72.8,
    ),
    "row-of-thick-bars": (
        "       3/20      8.04G      1.624         28        512: 50% ━━━━━━────── 43/86 1.5it/s 28.2s<28.0s",
        TRAINING,
        12.5,
    ),
    "first-row": (
        (
            "Starting training for 20 epochs...\n\n"
            "      Epoch    GPU_mem   box_loss   cls_loss   dfl_loss  Instances       Size\n"
            "       1/20      2.27G      1.624      2.1      1.2         28        640:   0%|          | 0/86 [00:00<?]"
        ),
        TRAINING,
        0.0,
    ),
    "row-of-the-older-ones-that-count-from-zero": (
        "     0/299     3.35G    0.1042   0.06779   0.04321        45       640: 100%|██████████| 8/8 [00:10<00:00]",
        TRAINING,
        0.3,
    ),
    "validation": (
        (
            "     73/100      2.27G     0.7556         37        640: 100%|████| 1426/1426 [03:48<00:00,  5.08it/s]\n"
            f"{VALIDATION_TABLE}:   5%|▌         | 13/246 [00:01<00:31,  7.46it/s]"
        ),
        VALIDATION,
        73.0,
    ),
    "validation-of-thick-bars": (f"{VALIDATION_TABLE}: 100% ━━━━━━━━━━━━ 4/4 2.1it/s 1.9s", VALIDATION, None),
    "end": (
        (
            "100 epochs completed in 0.512 hours.\nOptimizer stripped from runs/detect/train/weights/last.pt, 6.2MB\n\n"
            "Validating runs/detect/train/weights/best.pt...\n"
            f"{VALIDATION_TABLE}: 100%|██████████| 4/4 [00:03<00:00,  1.2it/s]\n"
            "Speed: 0.2ms preprocess, 1.1ms inference, 0.0ms loss, 0.5ms postprocess per image\n"
            "Results saved to runs/detect/train"
        ),
        VALIDATION,
        100.0,
    ),
    "speed": ("Speed: 0.2ms preprocess, 1.1ms inference, 0.0ms loss, 0.5ms postprocess per image", None, None),
    "scanning": (
        "train: Scanning /data/train.cache... 128 images, 0 backgrounds, 0 corrupt: 100%|██| 128/128 [00:00<?, ?it/s]",
        PREPROCESSING,
        None,
    ),
}

TABLES: dict[str, Case] = {
    "share-in-a-table": (
        (
            "Step (% Done)       Train Iter (time)    ETA (time)           Train Rays / Sec\n"
            "-----------------------------------\n"
            "4310 (86.18%)       33.353 ms            23 s, 100.1 ms      123.45 K"
        ),
        TRAINING,
        86.2,
    ),
    "kimg-of-a-known-number": (
        "Training duration:   25000 kimg\ntick 5     kimg 20.0     time 5m 10s       sec/tick 55.5    sec/kimg 13.87",
        TRAINING,
        0.1,
    ),
    "kimg-in-the-options": (
        '  "total_kimg": 200,\ntick 5     kimg 20.0     time 5m 10s       sec/tick 55.5    sec/kimg 13.87',
        TRAINING,
        10.0,
    ),
    "kimg": ("tick 5     kimg 20.0     time 5m 10s       sec/tick 55.5    sec/kimg 13.87", TRAINING, None),
    "logger-table": (
        "| grad_norm  | 0.31      |\n| loss       | 0.0231    |\n| step       | 1e+04     |",
        TRAINING,
        None,
    ),
    "mmengine-validates": (
        (
            "Epoch(train)  [99][28/28]  lr: 1.0000e-04  eta: 0:00:07  time: 0.2611  loss: 0.7919\n"
            "Saving checkpoint at 99 epochs\nEpoch(val) [99][4/4]    accuracy/top1: 72.0000"
        ),
        VALIDATION,
        None,
    ),
    "mmengine-validates-of-known-epochs": (
        "max_epochs=100\nEpoch(train)  [99][28/28]  lr: 1e-04  loss: 0.7\nEpoch(val) [99][4/4]    accuracy/top1: 72.0",
        VALIDATION,
        99.0,
    ),
    "batches-of-a-test": ("Epoch: [252][40/44]\tLoss 1.44\nTest: [0/2]\tADE 1.286763 (1.286763)", VALIDATION, None),
    "result-of-a-validation-in-brackets": (
        "[ Train | 003/010 ] loss = 0.5, acc = 0.8\n[ Valid | 003/010 ] loss = 0.6, acc = 0.7",
        VALIDATION,
        30.0,
    ),
    "inference-over-the-test-set": (
        "iter: 9999  total_loss: 2.05\nInference done 242/29284. Dataloading: 0.0015 s/iter. ETA=0:52:39",
        VALIDATION,
        None,
    ),
    "weights-are-saved": ("epoch: 2/4, iter: 4/20, total_loss: 2.1\nSave weights to ./out", SAVING, 30.0),
    "warmed-up-graph": ("Step 100/5000 - loss: 0.1\nCUDA graph warmup done", TRAINING, 2.0),
    "warmed-up-profiler": ("Epoch 51 | Train Loss: 8.6\nSTAGE: 22264 Completed Stage: Warm Up", TRAINING, None),
    "steps-in-thousands": (
        "INFO step:1K smpl:8K ep:12 epch:0.45 loss:0.112 grdn:0.5 lr:1.0e-05 updt_s:0.2 data_s:0.0",
        TRAINING,
        None,
    ),
    "bar-in-thousands": (" 12%|█▏        | 1.20k/10.0k [00:10<01:13, 120it/s]", TRAINING, 12.0),
    "named-bar-in-thousands": ("Training:  12%|█▏  | 1.20k/10.0k [00:10<01:13, 12.0step/s]", TRAINING, 12.0),
    "bar-of-bytes": ("model.bin:  12%|█▏        | 1.20k/10.0k [00:10<01:13, 120B/s]", PREPROCESSING, None),
    "huge-total": ("step 1,000/100,000,000,000 loss 0.3", TRAINING, 0.0),
    "huge-total-of-a-bar": (" 10%|█   | 10000000000/100000000000 [12:17<1221:29:06,  0.01it/s]", TRAINING, 10.0),
    "announced-in-a-sentence": (
        "Training starts at step 1, with local batch size 8, total steps 1000 (warmup 200)\nstep: 10  loss:  8.1",
        TRAINING,
        1.0,
    ),
    "solver": (
        "max_iter: 10000\nsolver.cpp:228] Iteration 1200 (3.2 iter/s, 30s/100 iters), loss = 0.5",
        TRAINING,
        12.0,
    ),
}

DONE = "Epoch 9/10 loss 0.1\n"
ENDS: dict[str, Case] = {
    "completed": (f"{DONE}Training completed successfully!", TRAINING, 100.0),
    "of-a-logger": (f"{DONE}INFO:__main__:🎉 TRAINING COMPLETE!", TRAINING, 100.0),
    "in-time": (f"{DONE}Training completed in 11.72 hours", TRAINING, 100.0),
    "saved-last": (f"{DONE}Finished Training\nModel saved to out/model.pt", SAVING, 100.0),
    "closed": (f"{DONE}Training is done. The program is closed.", TRAINING, 100.0),
    "in-chinese": (f"{DONE}训练完成！模型已保存至 ./out", TRAINING, 100.0),
    "validated-last": (f"{DONE}Training finished.\nRunning final evaluation", VALIDATION, 100.0),
    "of-an-experiment": (f"{DONE}Training of experiment is done and the best AP is 90.00", TRAINING, 100.0),
    "in-portuguese": (f"{DONE}INFO - Treinamento concluído com sucesso", TRAINING, 100.0),
    "of-one-epoch": (f"{DONE}Epoch 9 training completed", TRAINING, 90.0),
    "of-the-data": (f"{DONE}Training data loading complete", TRAINING, 90.0),
    "of-one-phase": (f"{DONE}Stage 1 training complete\nEpoch 1/10 loss 0.1", TRAINING, 10.0),
    "of-a-run-before-this": (f"{DONE}Training complete!\nEpoch 1/10 loss 0.9", TRAINING, 10.0),
}


FAMILIES: dict[str, dict[str, Case]] = {
    "simpletuner": SIMPLETUNER,
    "kohya": KOHYA,
    "ai-toolkit": AI_TOOLKIT,
    "diffusers": DIFFUSERS,
    "hugging-face": HUGGING_FACE,
    "relatives": RELATIVES,
    "epochs": EPOCH_FAMILIES,
    "surroundings": SURROUNDINGS,
    "ultralytics": ULTRALYTICS,
    "tables": TABLES,
    "ends": ENDS,
}
CASES = [
    pytest.param(*case, id=f"{family}:{name}") for family, cases in FAMILIES.items() for name, case in cases.items()
]


@pytest.mark.parametrize(("log", "stage", "percent"), CASES)
def test_a_log_of_the_family_shows_stage_and_percent(log: str, stage: Stage | None, percent: float | None) -> None:
    progress = read_progress(log)

    assert (progress.stage, progress.percent) == (stage, percent)
