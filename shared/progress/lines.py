"""Says what a printed line (not a bar) tells: words count as an activity, never as part of a setting, name or path."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache

from shared.progress.numbers import whole_number


class Signal(Enum):
    """What a line says the job is doing. `BANNER` starts a training, `RESULT` is an evaluation's result."""

    PREPARING = auto()
    WARMUP = auto()
    BANNER = auto()
    TRAINING = auto()
    VALIDATION = auto()
    RESULT = auto()
    SAVING = auto()


@dataclass(frozen=True, slots=True)
class Counts:
    """The counters that a line shows; `total_steps` and `total_epochs` may stand alone, as an announcement."""

    step: int | None = None
    total_steps: int | None = None
    steps_left: int | None = None
    epoch: float | None = None
    total_epochs: int | None = None
    is_pair: bool = False
    """Whether step or epoch came with its total, as in "step 1500/5000"."""
    is_of_job: bool = False
    """Whether the steps are certainly the whole job's: the epoch is told behind them, as a remark."""
    is_of_epoch: bool = False
    """Whether the steps look like those of one epoch, as tutorials print them: "Epoch [3/10], Step [20/90]"."""
    is_after_epoch: bool = False
    """Whether the steps are told right behind the epoch, within it or beside it: "Epoch 3/10, step 20/90"."""
    percent: float | None = None
    """A share of the training that is told as such: "Training progress: 45%"."""


_NO_COUNTS = Counts()

_WORD = r"(?<![\w./\\-])"
_WORD_END = r"(?![\w/\\-]|\.\w)"
_LINK = r"[\s:=\[('\"#|-]{0,16}"
_NUMBER = r"(\d[\d,]{0,30})(?![\d,]*\d)"

_MENTIONS = re.compile(
    r"progress|sanity|step|epoch|iter|loss|valid|eval|sampl|generat|checkpoint|ckpt|sav(?:ing|ed)|warm|train|load|cach"
    r"|process|prepar|token|download|initi|comput|build|bucket|embed|fetch|quanti|moving|config|collect|backend|dataset|mapping|filter"
    r"|discover|scann|extract|zip|install|encoder|vae|import|creat|enabl|resum|setting up|latent|split|captioning|学習"
)

_STEP_PAIR = re.compile(
    r"(?<![\w-])(?:(?:global|current|train|training|optimizer)[ _-])?(?:steps?|iter|iterations?)"
    rf"(?:/max_steps)?(?:\(train\))?{_LINK}{_NUMBER}\s{{0,8}}(?:/|\bof |\bout of )\s{{0,8}}{_NUMBER}(?!/)",
    re.ASCII,
)
_EPOCH_THEN_STEP = re.compile(r"epoch:? ?\[[\d/ ]{3,20}\],? (?:step|iter|batch):? ?\[", re.ASCII)
_STEP_AFTER_EPOCH = re.compile(
    r"epoch[\s:=#-]{0,4}\d{1,9} ?(?:/|of) ?\d{1,9}[\s,;:|)-]{1,4}(?:step|iter|iteration|batch)\b", re.ASCII
)
_PAIR_OF_STEPS = re.compile(
    r"(?<![\d/.,-])(\d[\d,]{0,11})\s?/\s?(\d[\d,]{0,11}) {0,2}(?:(?:training|optimization) )?"
    r"(?:steps|iters|iterations)\b",
    re.ASCII,
)
_PAIR_IN_BRACKETS = re.compile(r"\[\s{0,8}(\d{1,9})\s?/\s?(\d{1,9})\s?\]", re.ASCII)
_CURRENT_OF_TOTAL = re.compile(r"current_steps?\W{1,6}(\d{1,9})\W{1,6}total_steps?\W{1,6}(\d{1,9})", re.ASCII)
_EPOCH_PAIR = re.compile(
    rf"(?<![\w-])epochs?{_LINK}(\d{{1,9}})(?:\.(\d{{1,18}}))?\s{{0,4}}(?:/|\bof |\bout of )\s{{0,4}}"
    r"(\d{1,9})(?![\d/])",
    re.ASCII,
)
_EPOCH_BEHIND_PAIR = re.compile(r"(\d{1,9})/(\d{1,9}) ?\* ?epoch\b", re.ASCII)
_STEP = re.compile(
    rf"(?<![\w/\\{{-])(?:(?:global|current|train|training)[ _-])?"
    rf"(?:step|iter|iteration|iter_num|steps completed){_LINK}{_NUMBER}",
    re.ASCII,
)
_EPOCH = re.compile(r"(?<![\w/\\{-])(?<!from )epoch[\s:=\[('\"#-]{0,8}(\d{1,9}(?:\.\d{1,18})?)(?![\d,]*\d)", re.ASCII)
_TORCHTUNE = re.compile(r"(\d{1,6})\|\d{1,9}\|loss", re.ASCII)
_STEPS_AND_LOSS = re.compile(rf"\bsteps[:=\s]{{1,3}}{_NUMBER} {{1,3}}(?:loss|\|)", re.ASCII)
_SETTING_BEFORE = re.compile(
    r"(?:num|number of|n|current|total|max|min|warm-?up|save|sav\w*|eval\w*|log|logging|accum\w*|per|every|val|valid\w*"
    r"|test|sampl\w*|first|last|each|sanity|skip\w*|than|until)[\s_-]{1,3}$"
)
_BEFORE = 24
_SHARE = re.compile(
    r"(?:^|[\]|:>\-] )\s{0,4}(?:steps?|train(?:ing)?|(?:training )?progress)\s{0,2}[:= ]\s{0,4}"
    r"(\d{1,3}(?:\.\d{1,6})?)\s?%",
    re.ASCII,
)

_TOTAL_STEPS = re.compile(
    r"(?:(?:total[ _](?:optimi[sz]ation[ _]|train(?:ing)?[ _])?(?:num[ _])?steps|max_(?:train_)?steps|max_iters"
    rf"|train_iters)\b(?![ _]?remaining)[^\d=:]{{0,40}}[=:]\s{{0,4}}['\"]?|\buntil step ){_NUMBER}",
    re.ASCII,
)
_STEPS_LEFT = re.compile(rf"total optimi[sz]ation steps remaining\s{{0,4}}[=:]\s{{0,4}}{_NUMBER}", re.ASCII)
_TOTAL_EPOCHS = re.compile(
    r"(?:num(?:ber of)?[ _](?:train[ _]|training[ _])?epochs?|max_(?:train_)?epochs)\b[^\d=:]{0,24}[=:]\s{0,4}['\"]?"
    rf"{_NUMBER}(?!\.\d{{0,4}}[1-9])",
    re.ASCII,
)

_BANNER = re.compile(
    r"running training|学習開始|training (?:has )?(?:start(?:ed|s)?|begins?|begun)\b"
    r"|(?:start|begin)(?:ing|s|ed)? (?:the )?(?:\w{1,16} )?train(?:ing|er|)\b(?! (?:data|set|image|text))"
    r"|total (?:optimi[sz]ation )?steps\b[^\d=:]{0,40}[=:]\s{0,4}\d"
)
_BANNER_OF_STEPS = re.compile(r"running training|学習開始|total (?:optimi[sz]ation )?steps\b")
_FINISHED = re.compile(r"stopped: .{0,4}max_(?:epochs|steps)=\d{1,9}.{0,4}reached|^\[stage\] ✓ training complete")
_SAVING = re.compile(
    rf"{_WORD}(?<!be )(?<!pre-)(?:sav(?:ing|ed)|writ(?:ing|ten)(?= .{{0,40}}(?:checkpoint|weights))){_WORD_END}"
)
_SAVED_THING = re.compile(
    r"sav(?:ing|ed) (?:(?:the|all|some|new|\d{1,9}|text|vae|training|sample) ){0,3}(?:dataset|latent|image|sample|video"
    r"|memory|time|vram|prompt|cache|metadata|config\b|configs|logs?\b|plot|figure|grid|preview|caption|bucket|embed|result|metric|prediction)"
    r"|your token|token has not"
    r"|(?:image|sample|video|latent|cache|embeds?|embeddings?|config|dataset|metadata|result|metric|prediction)s? "
    r"(?:(?:is|are|was|were|has been) )?saved"
)
_SAVES_STATE = re.compile(
    r"checkpoint|ckpt|model|weight|state|lora|adapter|optimizer|network|pipeline|safetensors|at step"
)
_CHECKPOINT = re.compile(rf"{_WORD}(?:checkpoint(?:s|ed|ing)?|ckpt){_WORD_END}")
_CHECKPOINT_READ = re.compile(
    r"gradient|activation|shard|load|resum|restor|from\b.{0,60}checkpoint|weights of|model checkpoint at|initiali[sz]"
    r"|checkpoint weights|of the checkpoint|the checkpoint (?:was|is)|no (?:\w{1,12} )?checkpoint|not |reentrant|limit"
    r"|every|interval|found|use |using|enabl|checkpoint\s?="
    r"|checkpoint(?:s|ing)?:? (?:steps|every|enabled|disabled|path|dir|frequency|true|false|none)"
)
_WARMUP = re.compile(
    rf"{_WORD}warm[ -]?up(?![\w/\\(]|[ _-](?:ratio|epochs?|start|lr|period|schedul|factor|type|percent|iter|it\b)"
    r"|[ -]steps?(?!\W{1,4}\d{1,9}\s?(?:/|of))|\s?[:=]\s?\d|['\"]?\s?[:=])"
)
_WARMUP_SETTING = re.compile(r"schedul|learning rate|\blr\b|will be|no warm")
_VALIDATING = re.compile(
    r"(?:running|start(?:ing|ed)?|begin(?:ning)?|perform(?:ing)?|doing|during|generating) "
    r"(?:\w{1,16} ){0,2}(?:validation|evaluation|eval\b)"
    r"|(?<![\w-])(?:val|eval|validation|evaluation|test) (?:step|iter|batch)\b\W{0,4}\d"
    rf"|{_WORD}(?:validating|evaluating){_WORD_END}|generating (?:\w{{1,16}} ){{0,2}}(?:samples?|images?|videos?)\b"
    r"|sanity check|sampl(?:ing|e) (?:images?|at step|videos?)|sampling prompts?"
    r"|\*{3,5} ?(?:running )?(?:eval|predict|valid)"
)
_VALIDATION = re.compile(rf"(?<![\w./\\(-])(?:validat(?:ion|ions|e)|evaluation){_WORD_END}(?!['\"]?\s?=(?!=))")
_VALIDATION_THING = re.compile(
    r"prompt gathering|for (?:\w{1,16} )?validation|(?:no|num|without|skip\w*|disabl\w*|number of) (?:\w{1,12} )?valid"
    r"|validation (?:image|prompt|set|data|sample|split|resolution|step|negative|config|seed|guidance|batch|interval"
    r"|file|frequency|every|results? will)|train.{0,80}validat|load|cach|comput|creat|build|prepar|argument|schema"
    r"|error|every"
)
_VALIDATED_INPUT = re.compile(
    r"validat\w{1,4} (?:\w{1,16} ){0,2}"
    r"(?:config|dataset|data|argument|schema|environment|input|param|file|caption|image)"
    r"|validat\w{1,4} .{1,200} existence\b|validat\w{1,4} (?:with|on) \d"
)
_PREPARING_PLAINLY = re.compile(
    r"pre-?process|loading|preparing|caching|building|tokenizing|creat(?:e|ing) (?:lora|network)|enable lora"
    r"|import network|prepare (?:optim|accel|data)"
)
_PREPARING = re.compile(
    r"pre-?process|load(?:ing|ed|s)?\b|(?<![_.])cach(?:e|es|ed|ing)\b|tokeni[sz]|download|prepar(?:e|ing|ed|ation)|initiali[sz]"
    r"|initiat|comput(?:ing|ed)|building|buckets?\b|embeds?\b|embedding|fetching|quantiz|moving|configur|collected"
    r"|data ?backend|dataset|mapping\b|filter(?:ing|ed)|discover|scann(?:ing|ed)|extracting|unzip|install"
    r"|captioning|import network|text.?encoder|\bvae\b|creat(?:e|ing|ed) (?:lora|network|data|buck|new|optim)"
    r"|enabl(?:e|ing|ed) |resum|setting up|latents?\b|generating \w{1,12} split"
    r"|processing (?:images?|prompts?|captions?|files?|samples?|dataset|\d|bucket)"
)
_PREPARED = re.compile(r"\b(?:loaded|completed|finished|done|patched|took)\b")
_OUTCOME = re.compile(
    r"['\"]eval_(?!interval|iters|steps['\"]|batch|every|freq|strategy|delay|accum|on_)\w{1,40}['\"]\s?:\s?['\"]?[\d-]"
    r"|^\W{0,8}eval (?:metrics|results)"
)
_TRAINED = re.compile(
    r"(?<!val )(?<!validation )(?<!eval )(?<!\w)(?:train_|training_|step_|avr_)?loss['\"*)]{0,3}\s{0,3}[:= ]\s{0,3}"
    r"[*'\"]{0,2}[-+]?[\dni.]|'train_runtime'"
)

_SETTING = re.compile(r"\W{0,6}(?:export )?(?P<key>[\w.\-/]{1,60})['\"]?\s{0,3}[:=](?![:=])\s{0,3}\S{0,200}\s{0,3}$")
_MEMBER = re.compile(r"\s{0,40}(['\"])(?!loss|train_loss)[\w.\-/ ]{1,60}\1: [^,{}]{0,200},?\s{0,8}$")
_ASSIGNS = frozenset({"", ":", "="})
_SETTING_HEAD = 12
_COUNTER_KEYS = frozenset({"step", "steps", "global_step", "iter", "iteration", "epoch", "loss", "iter_num"})
_NOISE = ("warning", "error", "exception", 'file "')
_FRAME = re.compile(r"file \"[^\"]{1,300}\", line \d", re.ASCII)
_PREFIX = 40
_WRAPPED = " " * 20
_EXCEPTION = re.compile(r"(?:^|[\w.])(?:error|exception)\b|warning|file \"", re.ASCII)
_BOXES = "│╭╰❱"


def is_worth_reading(line: str) -> bool:
    """A cheap first look at a line in small letters: whether any word in it could matter."""
    return _MENTIONS.search(line) is not None


def is_noise(line: str) -> bool:
    """Whether a line in small letters is a warning, an exception, part of a traceback or a tracker's own talk."""
    if (line[:1] in _BOXES and line) or "wandb: " in line[:_PREFIX]:
        return True
    return any(word in line for word in _NOISE) and _EXCEPTION.search(line) is not None


def is_wrapped(line: str) -> bool:
    """Whether a line stands so far to the right that it goes on with the message before it, as rich wraps them."""
    return line.startswith(_WRAPPED)


def is_frame(line: str) -> bool:
    """Whether a line in small letters names a place in a traceback, also in one whose head has scrolled by."""
    return 'file "' in line and _FRAME.search(line) is not None


def is_member(line: str) -> bool:
    """Whether a line in small letters is one member of a printed JSON object: a setting, whatever its name."""
    return (line.lstrip()[:1] in {"'", '"'}) and _MEMBER.match(line) is not None


def without_options(line: str) -> str:
    """The line up to its first `--option`: what a command line sets is no activity."""
    start = line.find("--")
    while start >= 0:
        if line[start + 2 : start + 3].isalpha() and (start == 0 or line[start - 1] in " \t'\""):
            return line[:start]
        start = line.find("--", start + 2)
    return line


def is_setting(line: str) -> bool:
    """Whether a line in small letters is nothing but a name and its value: "lr_warmup_steps = 80"."""
    key = _key_of_setting(line)
    return key is not None and key not in _COUNTER_KEYS and not key.endswith("ing")


def is_counter_alone(line: str) -> bool:
    """Whether a line in small letters is nothing but a counter's name and value: "epoch = 100"."""
    return _key_of_setting(line) in _COUNTER_KEYS


@lru_cache(maxsize=2)  # several rules ask this of one line in turn
def _key_of_setting(line: str) -> str | None:
    head = line.rstrip().rpartition(" ")[0].rstrip()
    if head[-1:] not in _ASSIGNS and len(head) > _SETTING_HEAD:
        return None  # a value is one word: most lines need no closer look
    setting = _SETTING.match(line)
    return setting["key"] if setting else None


def signal_of(line: str) -> Signal | None:
    """What a line in small letters says the job is doing; `None`: nothing."""
    if is_setting(line):
        return None
    if says_finished(line):
        return Signal.TRAINING
    if ("train" in line or "steps" in line or "学習" in line) and _BANNER.search(line):
        return Signal.BANNER
    if "eval" in line and _OUTCOME.search(line):
        return Signal.RESULT
    return _save(line) or _warm_up(line) or _validation(line)


def prepares(line: str, *, is_counted: bool) -> bool:
    """Whether a line in small letters tells of preparation; beside a counter (`is_counted`) only plain words do."""
    return not is_setting(line) and (_PREPARING_PLAINLY if is_counted else _PREPARING).search(line) is not None


def shows_training(line: str) -> bool:
    """Whether a line in small letters shows a loss of the training."""
    return ("loss" in line or "train_runtime" in line) and _TRAINED.search(line) is not None


def is_banner_of_steps(line: str) -> bool:
    """Whether a banner in small letters stands right before the first step, not at the start of a script."""
    return _BANNER_OF_STEPS.search(line) is not None


def is_banner_of_evaluation(line: str) -> bool:
    """Whether a line in small letters is the Trainer's own headline of an evaluation: what it loads is part of that."""
    return "***** running" in line


def is_record(line: str) -> bool:
    """Whether a line in small letters is a trainer's record (`{'loss': 1.2, 'epoch': 1.0}`): its epochs are done."""
    return "'epoch'" in line or '"epoch"' in line


def says_finished(line: str) -> bool:
    """Whether a line in small letters says that the trainer came to its limit."""
    return ("reached" in line or "complete" in line) and _FINISHED.search(line) is not None


def tells_of_the_past(line: str) -> bool:
    """Whether a line in small letters says that a preparation is over, and none that goes on."""
    return _PREPARED.search(line) is not None and _PREPARING_PLAINLY.search(line) is None


def _save(line: str) -> Signal | None:
    if ("sav" in line or "writ" in line) and _SAVING.search(line):
        if _SAVED_THING.search(line) and not _SAVES_STATE.search(line):
            return None
        return Signal.SAVING
    if ("checkpoint" in line or "ckpt" in line) and _CHECKPOINT.search(line) and not _CHECKPOINT_READ.search(line):
        return Signal.SAVING
    return None


def _warm_up(line: str) -> Signal | None:
    if "warm" not in line:
        return None
    if "warming up" in line or "warming-up" in line or (_WARMUP.search(line) and not _WARMUP_SETTING.search(line)):
        return Signal.WARMUP
    return None


_VALIDATION_WORDS = ("val", "sanity", "generating", "sampl", "predict", "test ")


def _validation(line: str) -> Signal | None:
    if not any(word in line for word in _VALIDATION_WORDS) or _VALIDATED_INPUT.search(line):
        return None
    if (_VALIDATION.search(line) and not _VALIDATION_THING.search(line)) or _VALIDATING.search(line):
        return Signal.VALIDATION
    return None


def counts_of(line: str) -> Counts:
    """The counters in a line in small letters. Only numbers that a word names are read: never dates, clocks, images."""
    if not any(word in line for word in ("step", "epoch", "iter", "loss")):
        return _NO_COUNTS if "%" not in line else Counts(percent=_share(line))
    step, total_steps = _step_pair(line)
    epoch, total_epochs = _epoch_pair(line) if "epoch" in line else (None, None)
    is_pair = step is not None or epoch is not None
    return Counts(
        step=_single_step(line) if step is None else step,
        total_steps=_announced_steps(line) if total_steps is None else total_steps,
        steps_left=_first(_STEPS_LEFT, line) if "remaining" in line else None,
        epoch=_single_epoch(line) if epoch is None and "epoch" in line else epoch,
        total_epochs=_first(_TOTAL_EPOCHS, line) if total_epochs is None and "epochs" in line else total_epochs,
        is_pair=is_pair,
        is_of_job=total_steps is not None and 0 <= line.find("step") < line.find("epoch"),
        is_of_epoch=_EPOCH_THEN_STEP.search(line) is not None,
        is_after_epoch=is_pair and _STEP_AFTER_EPOCH.search(line) is not None,
        percent=_share(line) if "%" in line else None,
    )


def epoch_of(title: str) -> tuple[float | None, int | None]:
    """The epoch and the number of epochs in a bar's title."""
    title = title.lower()
    if torchtune := _TORCHTUNE.match(title):
        return float(torchtune[1]), None
    if behind := _EPOCH_BEHIND_PAIR.search(title):
        return float(behind[1]), whole_number(behind[2]) or None
    epoch, total = _epoch_pair(title)
    return (_single_epoch(title), None) if epoch is None else (epoch, total)


def _step_pair(line: str) -> tuple[int | None, int | None]:
    if "/" in line or " of " in line:
        beside_loss = "loss" in line and "epoch" not in line
        named = _pair(_STEP_PAIR, line) or _pair(_PAIR_OF_STEPS, line)
        return named or (_pair(_PAIR_IN_BRACKETS, line) if beside_loss else None) or (None, None)
    return (_pair(_CURRENT_OF_TOTAL, line) if "current_step" in line else None) or (None, None)


def _announced_steps(line: str) -> int | None:
    named = "steps" in line or "_iters" in line or "until step" in line
    return _first(_TOTAL_STEPS, line) if named else None


def _share(line: str) -> float | None:
    found = _SHARE.search(line)
    return float(found[1]) if found else None


def _pair(pattern: re.Pattern[str], line: str) -> tuple[int, int] | None:
    for found in pattern.finditer(line):
        done, total = whole_number(found[1]), whole_number(found[2])
        if (
            done is not None
            and total
            and not _SETTING_BEFORE.search(line, max(0, found.start() - _BEFORE), found.start())
        ):
            return done, total
    return None


def _epoch_pair(line: str) -> tuple[float | None, int | None]:
    found = _EPOCH_PAIR.search(line)
    total = whole_number(found[3]) if found else None
    if found is None or not total:
        return None, None
    return (float(f"{found[1]}.{found[2]}") if found[2] else float(found[1])), total


def _single_step(line: str) -> int | None:
    for found in _STEP.finditer(line):
        if not _SETTING_BEFORE.search(line, max(0, found.start() - _BEFORE), found.start()):
            return whole_number(found[1])
    beside_loss = _STEPS_AND_LOSS.search(line) if "steps" in line else None
    return whole_number(beside_loss[1]) if beside_loss else None


def _single_epoch(line: str) -> float | None:
    for found in _EPOCH.finditer(line):
        if not _SETTING_BEFORE.search(line, max(0, found.start() - _BEFORE), found.start()):
            return float(found[1])
    return None


def _first(pattern: re.Pattern[str], line: str) -> int | None:
    found = pattern.search(line)
    return (whole_number(found[1]) or None) if found else None
