"""Says what a printed line (not a bar) tells. Words count as an activity, never as part of a setting, name or path.

Each rule carries lines that it is for and lines that it leaves alone: they are its test.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

from shared.progress.shapes import is_setting


class Signal(Enum):
    """What a line says the job is doing. `BANNER` starts a training, `RESULT` is an evaluation's result."""

    PREPARING = auto()
    WARMUP = auto()
    BANNER = auto()
    TRAINING = auto()
    FINISHED = auto()
    VALIDATION = auto()
    RESULT = auto()
    SAVING = auto()


@dataclass(frozen=True, slots=True)
class Rule:
    """`pattern` says something of a line in small letters, `unless` that one is found, too (and not `still`).

    `words` and `needs` are a cheap first look: one of the words must be in the line, and what it needs.
    """

    pattern: re.Pattern[str]
    examples: tuple[str, ...]
    words: tuple[str, ...] = ()
    needs: str = ""
    unless: re.Pattern[str] | None = None
    still: re.Pattern[str] | None = None
    leaves: tuple[str, ...] = ()
    """Lines that have one of the words, and of which the rule says nothing."""

    def says(self, line: str) -> bool:
        """Whether the rule holds for the line, which is in small letters."""
        if self.words:
            for word in self.words:
                if word in line:
                    break
            else:
                return False
        if self.needs not in line or self.pattern.search(line) is None:
            return False
        if self.unless is None or self.unless.search(line) is None:
            return True
        return self.still is not None and self.still.search(line) is not None


_WORD = r"(?<![\w./\\-])"
_WORD_END = r"(?![\w/\\-]|\.\w)"
_SPLIT = r"(?:val(?:id(?:ation)?)?|eval(?:uation)?|test(?:ing)?)"

_VALIDATED_INPUT = re.compile(
    r"validat\w{1,4} (?:\w{1,16} ){0,2}(?:config|dataset|data|argument|schema|environment|input|param|file|caption"
    r"|image)"
    r"|validat\w{1,4} .{1,200} existence\b|validat\w{1,4} (?:with|on) \d"
)

MENTIONS = Rule(
    re.compile(
        r"progress|batch|episode|round|tick|kimg|eta\b|remaining|estimated time|time left|%\)\s\s|optimization done"
        r"|sanity|step|epoch|iter|loss|valid"
        r"|test|eval|sampl|generat|checkpoint|ckpt|sav(?:ing|ed|e )|warm|train|load|cach|process|prepar|token|download"
        r"|initi"
        r"|comput|build|bucket|embed|fetch|quanti|moving|config|collect|backend|dataset|mapping|filter|discover"
        r"|scann|extract"
        r"|zip|install|encoder|vae|import|creat|enabl|resum|setting up|latent|split|captioning|, \d+\.\d+ avg"
        r"|treina|entrena|entra|обуч|学習|训练|訓練|验证|评估|保存|加载|読み込|학습|모델|モデル|トレーニング"
    ),
    ("step 1/2", "loss: 0.5", "saving state", "학습 시작", "训练完成"),
    leaves=("hello world", "gpu 0: 80c"),
)
"""Whether any word of the line could matter. Here and below, each branch of a pattern that is asked of every line
begins with a letter, so that the search steps from one such letter to the next."""

REACHED_LIMIT = Rule(
    re.compile(r"stopped: .{0,4}max_(?:epochs|steps)=\d{1,9}.{0,4}reached|^\[stage\] ✓ training complete"),
    ("`trainer.fit` stopped: `max_epochs=10` reached.", "[stage] ✓ training complete (100.0%): training finished"),
    words=("reached", "complete"),
    leaves=("val_loss reached 0.5",),
)
FINISHED = Rule(
    re.compile(
        r"(?<![\w/.-])(?:training|train|fine-?tuning|optimi[sz]ation)(?: (?:process|run|job|loop|pipeline))?"
        r"(?: has| is| was)?(?: been)?(?: successfully)? ?(?:completed?|finished|done|ended)\b"
        r"(?! (?:for |of |on |the )?(?:epoch|step|batch|fold|stage|phase|round|iteration|data|set\b|sample|image))"
        r"|(?<![\w/.-])(?:finished|completed|done)(?: with)?(?: the)? (?:training|fine-?tuning)\b"
        r"(?! (?:for |of |on |the )?(?:epoch|step|batch|fold|stage|phase|round|iteration|data|set\b|sample|image))"
        r"|^[^a-z]{0,40}training time (?:\d{1,4} days?, )?\d{1,3}:\d\d:\d\d\s{0,8}$|\b\d{1,6} epochs completed in\b"
        r"|(?<![\w/.-])training of (?:the |this )?(?!epoch|fold|stage|phase)\w{1,16} (?:is|has) (?:been )?(?:done"
        r"|finished)\b"
        r"|(?:treinamento|entrenamiento|entra[iî]nement) (?:conclu|complet|finaliz|termin)|обучение завершен"
        r"|训练(?:测试)?(?:已)?(?:完成|结束)|訓練(?:が)?(?:完了|完成)|学習(?:が)?(?:完了|終了)|학습(?:이)? 완료"
    ),
    (
        "training completed successfully!",
        "info:__main__:🎉 training complete!",
        "training complete in 3m 20s",
        "finished training",
        "done training",
        "training is done. the program is closed.",
        "optimization done.",
        "training time 1 day, 2:03:04",
        "100 epochs completed in 0.512 hours.",
        "训练完成！模型已保存",
        "学習が完了しました",
        "training of experiment is done and the best ap is 90.00",
        "treinamento concluído com sucesso",
        "обучение завершено",
    ),
    words=(
        "complete",
        "finish",
        "done",
        "ended",
        "training time",
        "treinamento",
        "namiento",
        "nement",
        "обуч",
        "完",
        "结束",
        "終了",
        "완료",
    ),
    unless=re.compile(
        r"\b(?:epoch|fold|stage|phase|round|step|task|trial|batch|iteration|warm-?up)\b[^|]{0,24}"
        r"(?:training|train|fine-?tuning|finished|completed|done)\b"
    ),
    still=re.compile(r"\b\d{1,6} epochs completed in\b"),
    leaves=(
        "epoch 9 training completed",
        "training of epoch 9 finished",
        "training step completed in 3s",
        "training data loading complete",
        "finished training epoch 9 in 3s",
        "training completed for epoch 9",
        "pre-training done in stage 1 training complete",
    ),
)
BANNER = Rule(
    re.compile(
        r"running training|学習開始|学習を開始|开始训练|训练开始|トレーニングを開始|학습 시작"
        r"|inici(?:ando|ar)? (?:o |el )?(?:treinamento|entrenamiento)|начало обучения"
        r"|training (?:has )?(?:start(?:ed|s)?|begins?|begun)\b"
        r"|(?:start|begin)(?:ing|s|ed)? (?:the )?(?:\w{1,16} )?train(?:ing|er|)\b(?! (?:data|set|image|text))"
        r"|total (?:optimi[sz]ation )?steps\b[^\d=:]{0,40}[=:]\s{0,4}\d"
    ),
    (
        "***** running training *****",
        "starting training!",
        "training started",
        "start the lora training",
        "  total optimization steps = 1000",
        "トレーニングを開始します",
        "-------第 16 轮训练开始-------",
        "iniciando treinamento...",
    ),
    words=("train", "treina", "entrena", "обуч", "steps", "学習", "训练", "トレーニング", "학습"),
    leaves=("starting training data loader", "train samples: 10"),
)
BANNER_OF_STEPS = Rule(
    re.compile(r"running training|学習開始|total (?:optimi[sz]ation )?steps\b"),
    ("***** running training *****", "total optimization steps = 1000"),
    leaves=("starting training!",),
)
"""A banner that stands right before the first step, not at the start of a script."""

BANNER_OF_EVALUATION = Rule(
    re.compile(r"\*{5} running"), ("***** running evaluation *****",), leaves=("running validation",)
)
"""The Trainer's own headline of an evaluation: what is loaded behind it is part of that."""

OUTCOME = Rule(
    re.compile(
        r"['\"]eval_(?!interval|iters|steps['\"]|batch|every|freq|strategy|delay|accum"
        r"|on_)\w{1,40}['\"]\s?:\s?['\"]?[\d-]"
        r"|^\W{0,8}eval (?:metrics|results)"
    ),
    ("{'eval_loss': 1.1, 'eval_runtime': 5.1, 'epoch': 0.5}", "***** eval metrics *****"),
    words=("eval",),
    leaves=("{'eval_interval': 8, 'eval_iters': 100}", "eval_steps: 500"),
)
OUTCOME_OF_EPOCH = Rule(
    re.compile(rf"\[ ?{_SPLIT} ?\|"),
    ("[ valid | 065/100 ] loss = 0.06, acc = 0.98",),
    words=("|",),
    leaves=("[ train | 065/100 ] loss = 0.06", "| valid | 0.3 |"),
)
SAVING = Rule(
    re.compile(
        rf"{_WORD}(?<!be )(?<!pre-)(?:sav(?:ing|ed)|writ(?:ing|ten)(?= .{{0,40}}(?:checkpoint|weights))){_WORD_END}"
        r"|(?<!will )(?<!to )save (?:\w{1,10} )?(?:model|weights|checkpoint|state|lora)s? (?:to|at|in|into|as)\b"
        r"|保存(?:最佳|最优)?(?:模型|检查点)|モデルを保存|모델 저장"
    ),
    (
        "model saved.",
        "saving state at epoch 5",
        "save weights to ./out",
        "writing checkpoint to out",
        "saved image model to out",
        "保存模型...",
    ),
    words=("sav", "writ", "保存", "저장"),
    unless=re.compile(
        r"sav(?:ing|ed) (?:(?:the|all|some|new|\d{1,9}|text|vae|training|sample) ){0,3}(?:dataset|latent|image"
        r"|sample|video"
        r"|memory|time|vram|prompt|cache|metadata|config\b|configs|logs?\b|plot|figure|grid|preview|caption|bucket"
        r"|embed"
        r"|result|metric|prediction)"
        r"|your token|token has not"
        r"|(?:image|sample|video|latent|cache|embeds?|embeddings?|config|dataset|metadata|result|metric|prediction)s? "
        r"(?:(?:is|are|was|were|has been) )?saved"
    ),
    still=re.compile(r"checkpoint|ckpt|model|weight|state|lora|adapter|optimizer|network|pipeline|safetensors|at step"),
    leaves=(
        "saved 3 images",
        "results saved to runs/detect",
        "save_every = 5",
        "your token has been saved",
        "pre-saved",
    ),
)
CHECKPOINT = Rule(
    re.compile(rf"{_WORD}(?:checkpoint(?:s|ed|ing)?|ckpt){_WORD_END}"),
    ("checkpoint", "[checkpoint] step 8,870", "creating checkpoint"),
    words=("checkpoint", "ckpt"),
    unless=re.compile(
        r"gradient|activation|shard|load|resum|restor|from\b.{0,60}checkpoint|weights of|model checkpoint at"
        r"|initiali[sz]"
        r"|checkpoint weights|of the checkpoint|the checkpoint (?:was|is)|no (?:\w{1,12} )?checkpoint|not "
        r"|reentrant|limit"
        r"|every|interval|found|use |using|enabl|checkpoint\s?="
        r"|checkpoint(?:s|ing)?:? (?:steps|every|enabled|disabled|path|dir|frequency|true|false|none)"
    ),
    leaves=(
        "gradient checkpointing enabled",
        "loading checkpoint shards",
        "resuming from checkpoint checkpoint-500",
        "use_checkpoint",
        "no checkpoint found",
    ),
)
WARMUP = Rule(
    re.compile(
        rf"warming[ -]up|{_WORD}warm[ -]?up(?![\w/\\(]"
        r"|[ _-](?:ratio|epochs?|start|lr|period|schedul|factor|type|percent|iter|it\b)"
        r"|[ -]steps?(?!\W{1,4}\d{1,9}\s?(?:/|of))|\s?[:=]\s?\d|['\"]?\s?[:=])"
    ),
    ("warming up", "starting warmup", "warmup phase", "warmup step 5/100", "warm-up"),
    words=("warm",),
    unless=re.compile(
        r"schedul|learning rate|\blr\b|will be|no warm|warm(?:ing)?[ -]?up (?:\w{1,16} ){0,2}"
        r"(?:done|completed?|finished|ended|took)\b|\b(?:done|completed?|finished)\b[^.|]{0,24}warm|cuda ?graph"
    ),
    still=re.compile(r"warming[ -]up (?!done|complete|finished)"),
    leaves=(
        "lr_warmup_steps: 100",
        "with 100 warmup steps",
        "warmup learning rate schedule",
        "warmup complete",
        "cuda graph warmup done",
        "completed stage: warm up",
        "finished model warmup in 3.2 s",
    ),
)
EVALUATED_COUNTER = Rule(
    re.compile(
        rf"(?<![\w-]){_SPLIT}[\]:)]{{0,2}}\s{{0,8}}[|(\[]?\s{{0,8}}\d{{1,9}}\s?/\s?\d|\b(?:epoch|iter)\({_SPLIT}\)"
        rf"|\[{_SPLIT}\]\s?\[(?:epoch|iter)|(?<![\w-]){_SPLIT} \| epoch \d{{1,9}} \||inference done \d{{1,9}}/\d"
        rf"|(?<![\w-]){_SPLIT} (?:step|iter|batch)\b\W{{0,4}}\d"
    ),
    (
        "test: [ 10/53]  eta: 0:00:30",
        "epoch(val) [99][4/4]  accuracy/top1: 72.0",
        "iter(val) [50/500]",
        "[eval][epoch 1][iter: 0/50]",
        "val step 10/40 | 20 img/s",
        "- valid | epoch 21 | 2/3 | 0.35 it/sec | loss 0.1352",
        "inference done 242/29284. dataloading: 0.0015 s/iter. eta=0:52:39",
    ),
    words=("val", "test", "inference done"),
    needs="/",
    leaves=("split 80/20 train/test", "latest 3/4", "/test/1"),
)
"""A counter of an evaluation's batches, which is none of the training."""

RUNNING_VALIDATION = Rule(
    re.compile(
        r"(?:running|start(?:ing|ed)?|begin(?:ning)?|perform(?:ing)?|doing|during|generating) "
        r"(?:\w{1,16} ){0,2}(?:validation|evaluation|eval\b)"
        r"|(?<![\w-])(?:val|eval|validation|evaluation|test) (?:step|iter|batch)\b\W{0,4}\d"
    ),
    ("running final evaluation", "starting validation", "val step: 5", "***** running evaluation *****"),
    words=("running", "start", "begin", "perform", "doing", "during", "generating", "step", "iter", "batch"),
    needs="val",
    unless=_VALIDATED_INPUT,
    leaves=("running training", "validation steps = 5", "starting validation on 24 examples"),
)
VALIDATING = Rule(
    re.compile(
        rf"validating(?<![\w./\\-]validating){_WORD_END}|validated(?<![\w./\\-]validated){_WORD_END}"
        rf"|evaluating(?<![\w./\\-]evaluating){_WORD_END}"
        r"|generating (?:\w{1,16} ){0,2}(?:samples?|images?|videos?)\b|sanity check|sampl(?:ing|e) (?:images?"
        r"|at step|videos?)|sampling prompts?"
        r"|\*\*\*\*{0,2} ?(?:running )?(?:eval|predict|valid)|开始(?:验证|评估)|正在(?:验证|评估)"
    ),
    (
        "validating",
        "validated 5 prompts",
        "generating 4 images with prompt: a cat",
        "sampling images",
        "***** running evaluation *****",
        "开始验证",
    ),
    words=("validat", "evaluating", "sanity", "generating", "sampl", "***", "验证", "评估"),
    unless=_VALIDATED_INPUT,
    leaves=("validating the config", "validated 3 captions", "sampled 5 buckets", "validating with 24 examples"),
)
VALIDATION = Rule(
    re.compile(
        rf"validat(?<![\w./\\(-]validat)(?:ion|ions|e){_WORD_END}(?!['\"]?\s?=(?!=))"
        rf"|evaluation(?<![\w./\\(-]evaluation){_WORD_END}(?!['\"]?\s?=(?!=))"
    ),
    ("validation", "====validation====", "epoch 3, validation: loss=0.25", "evaluation results:"),
    words=("validat", "evaluation"),
    unless=re.compile(
        r"prompt gathering|for (?:\w{1,16} )?validation|no (?:\w{1,12} )?valid|num (?:\w{1,12} )?valid"
        r"|without (?:\w{1,12} )?valid|skip\w* (?:\w{1,12} )?valid|disabl\w* (?:\w{1,12} )?valid"
        r"|number of (?:\w{1,12} )?valid"
        r"|validation (?:image|prompt|set|data|sample|split|resolution|step|negative|config|seed|guidance|batch"
        r"|interval"
        r"|file|frequency|every|results? will)|train.{0,80}validat|load|cach|comput|creat|build|prepar|argument|schema"
        rf"|error|every|{_VALIDATED_INPUT.pattern}"
    ),
    leaves=(
        "disable_validation",
        "loading validation pipeline",
        "num validation images: 4",
        "validation prompt: a cat",
        "training with 9 and validating",
        "no validation",
    ),
)

SIGNALS: tuple[tuple[Signal, Rule], ...] = (
    (Signal.FINISHED, REACHED_LIMIT),
    (Signal.FINISHED, FINISHED),
    (Signal.BANNER, BANNER),
    (Signal.RESULT, OUTCOME),
    (Signal.RESULT, OUTCOME_OF_EPOCH),
    (Signal.SAVING, SAVING),
    (Signal.SAVING, CHECKPOINT),
    (Signal.WARMUP, WARMUP),
    (Signal.VALIDATION, EVALUATED_COUNTER),
    (Signal.VALIDATION, RUNNING_VALIDATION),
    (Signal.VALIDATION, VALIDATING),
    (Signal.VALIDATION, VALIDATION),
)
"""In this order: the first rule that holds tells what the line says."""

PREPARING = Rule(
    re.compile(
        r"pre-?process|load(?:ing|ed|s)?\b|cach(?<![_.]cach)(?:e|es|ed|ing)\b|tokeni[sz]|download|prepar(?:e|ing|ed"
        r"|ation)"
        r"|initiali[sz]|initiat|comput(?:ing|ed)|building|buckets?\b|embeds?\b|embedding|fetching|quantiz|moving"
        r"|configur"
        r"|collected|data ?backend|dataset|mapping\b|filter(?:ing|ed)|discover|scann(?:ing|ed)|extracting|unzip|install"
        r"|captioning|import network|text.?encoder|vae\b(?<!\wvae)|creat(?:e|ing|ed) (?:lora|network|data|buck|new"
        r"|optim)"
        r"|enabl(?:e|ing|ed) |resum|setting up|latents?\b|generating \w{1,12} split"
        r"|processing (?:images?|prompts?|captions?|files?|samples?|dataset|\d|bucket)|加载|読み込んで"
    ),
    ("loading the base model", "caching latents", "resuming from checkpoint", "processing 3 files", "加载模型"),
    unless=re.compile(
        r"\d ?m?s (?:pre-?process|load)"
        r"|(?:load(?:ing)?|pre-?process(?:ing)?)(?: time)?\s{0,2}[:=]\s{0,2}\d{1,9}(?:\.\d{1,9})? ?m?s\b"
    ),
    leaves=("speed: 0.2ms preprocess, 1.1ms inference", "data loading: 0.1s", "use_cache=true"),
)
PREPARING_PLAINLY = Rule(
    re.compile(
        r"pre-?process|loading|preparing|caching|building|tokenizing|creat(?:e|ing) (?:lora|network)|enable lora"
        r"|import network|prepare (?:optim|accel|data)"
    ),
    ("caching latents", "create lora network", "prepare optimizer"),
    unless=PREPARING.unless,
    leaves=("you're using a fast tokenizer", "data loading: 0.1s"),
)
"""What tells of preparation also beside a counter, where a word of it alone is only a remark."""

PREPARED = Rule(
    re.compile(r"\b(?:loaded|completed|finished|done|patched|took)\b"),
    ("loaded pretrained 'base.pth'", "embeds took 3 s"),
    unless=PREPARING_PLAINLY.pattern,
    leaves=("loading done",),
)
"""A preparation that is over, where none goes on."""

TRAINED = Rule(
    re.compile(
        r"(?<!val )(?<!validation )(?<!eval )(?<!\w)(?:train_|training_|step_|avr_)?loss['\"*)]{0,3}"
        r"(?:\s{0,3}[:= ]|\s{1,30}\|)\s{0,3}[*'\"]{0,2}[-+]?[\dni.]|'train_runtime'|\d, \d{1,9}\.\d{1,9} avg\b|训练损失"
    ),
    (
        "step 1: loss 0.5",
        "{'loss': **4.7581**, 'epoch': 0.1}",
        "| loss       | 0.0231    |",
        " 1200: 2.345678, 2.512345 avg loss, 0.001 rate",
        "{'train_runtime': 3244.7}",
    ),
    words=("loss", "train_runtime", " avg", "训练损失"),
    leaves=("val loss: 0.5", "loss_type", "eval loss 0.3"),
)
"""A loss of the training itself."""

NAMED_TRAINING = Rule(
    re.compile(
        r"\b(?:train(?:ing)?|next|new|start(?:ing|ed)?|begin(?:ning)?|running|finished) (?:train(?:ing)? )?(?:step"
        r"|epoch)\b"
        r"(?!\s?[\w:=])|\b(?:step|epoch) (?:started|begins?|done|finished|completed?)\b"
    ),
    ("training step", "starting epoch", "epoch finished"),
    words=("step", "epoch"),
    leaves=("training steps: 500", "train step function", "one step"),
)
"""A step or an epoch of the training that is named as such, without a number."""

TIME_LEFT_ALONE = Rule(
    re.compile(r"^\W{0,60}(?:eta|time (?:left|remaining)|remaining(?: time)?|estimated time\b[\w ]{0,20})\s{0,3}[:=]"),
    ("                   eta: 1785.0s", "time remaining: 0:10:00", "estimated time to finish: 3 h"),
    words=("eta", "time", "remaining"),
    leaves=("epoch 3 eta: 5s", "timer: 0.68"),
)
"""A line that is there for the time left."""

TIME_OF_COUNTER = Rule(
    re.compile(r"\d\s?/\s?\d{1,15}\s?(?:\(\s{0,2}\d{1,3}%\)\s?)?[\])]\s{1,4}eta\b"),
    ("epoch: [0]  [  20/1251]  eta: 0:22:30",),
    words=("eta",),
    leaves=("epoch [1][1800/14659] lr: 0.01, eta: 1 day, 13:01:00",),
)
"""A time left right behind a counter: it is that counter's."""

EPOCH_RESULT = Rule(
    re.compile(r"loss|acc|val|psnr|score|metric|损失"),
    ("epoch 3/10 - val_loss: 0.5", "epoch 3/10 acc 0.9"),
    leaves=("epoch 3/10",),
)
"""A line that tells how an epoch came out, not only that there is one."""

RECORD = Rule(re.compile(r"['\"]epoch['\"]"), ("{'loss': 1.2, 'epoch': 1.0}",), leaves=("epoch 1",))
"""A trainer's record: the epochs that it names are done."""


def signal_of(line: str) -> Signal | None:
    """What a line in small letters says the job is doing; `None`: nothing."""
    if is_setting(line):
        return None
    for signal, rule in SIGNALS:
        if rule.says(line):
            return signal
    return None


def prepares(line: str, *, is_counted: bool) -> bool:
    """Whether a line in small letters tells of preparation; beside a counter (`is_counted`) only plain words do."""
    return (PREPARING_PLAINLY if is_counted else PREPARING).says(line) and not is_setting(line)


def names_training(line: str) -> bool:
    """Whether a line in small letters names a step or an epoch of the training as such: "training step"."""
    return NAMED_TRAINING.says(line) and not is_setting(line)
