"""Reads the counters that a printed line (not a bar) names: steps, epochs, and which of both the steps count."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

from shared.progress.numbers import scaled_number, whole_number


class Scope(Enum):
    """What a line's steps count, as far as the line alone tells."""

    UNKNOWN = auto()
    JOB = auto()
    """The epoch is told behind them, as a remark: "Step 600/2000: loss 0.21, epoch 3/10"."""
    BESIDE_EPOCH = auto()
    """Told right behind the epoch, within it or beside it: "Epoch 3/10, step 20/90"."""
    TUTORIAL = auto()
    """Most likely one epoch's, as tutorials print them: "Epoch [3/10], Step [20/90]"."""
    EPOCH = auto()
    """Certainly one epoch's: "Epoch 3/10, batch 20/90", "Epoch: [3][20/90]"."""


@dataclass(frozen=True, slots=True)
class Counts:
    """The counters that a line shows; `total_steps` and `total_epochs` may stand alone, as an announcement."""

    step: int | None = None
    total_steps: int | None = None
    scope: Scope = Scope.UNKNOWN
    steps_left: int | None = None
    epoch: float | None = None
    total_epochs: int | None = None
    is_pair: bool = False
    """Whether step or epoch came with its total, as in "step 1500/5000"."""
    epoch_part: float | None = None
    """How much of the epoch is done, where the line says that it goes on: 0.45 of "Epoch 3/10: 45%", else 0."""
    percent: float | None = None
    """A share of the training that is told as such: "Training progress: 45%"."""

    @property
    def has_counter(self) -> bool:
        """Whether the line tells where something is, not only how much there is of it."""
        return self.step is not None or self.epoch is not None or self.percent is not None


_NO_COUNTS = Counts()
_WORDS = ("step", "epoch", "iter", "batch", "loss", "round", "episode", "train", "kimg", "valid |", "update", "ep ")

_LINK = r"[\s:=\[('\"#|-]{0,16}+"
_OF = r"\s{0,8}+(?:/|\bof |\bout of )\s{0,8}+"
_NUMBER = r"(\d[\d,]{0,30}+)(?![\d,]*\d)"
_SCALED = r"(\d{1,9}(?:\.\d{1,4})?(?:[kmb]\b|e[+-]?\d{1,2}\b)|\d[\d,]{0,30})(?![\d,]*\d)"

_STEP_PAIR = re.compile(
    r"(?<![\w-])(?:(?:global|current|train|training|optimizer)[ _-])?(?:steps?|iter|iterations?|itr|it|updates?)"
    rf"(?:/max_steps)?(?:\(train\))?{_LINK}{_SCALED}{_OF}{_SCALED}(?!/)",
    re.ASCII,
)
_PAIR_OF_STEPS = re.compile(
    r"(?<![\d/.,-])(\d[\d,]{0,17})\s?/\s?(\d[\d,]{0,17}) {0,2}(?:(?:training|optimization) )?"
    r"(?:steps|iters|iterations)\b",
    re.ASCII,
)
_PAIR_IN_BRACKETS = re.compile(r"\[\s{0,8}(\d{1,15})\s?/\s?(\d{1,15})\s?\]", re.ASCII)
_PAIR_BEFORE_LOSS = re.compile(
    r"\W{0,4}(\d{1,15})\s?/\s?(\d{1,15})[\s:|,\])-]{1,4}(?:train(?:ing)?[ _])?loss\b", re.ASCII
)
_CURRENT_OF_TOTAL = re.compile(r"current_steps?\W{1,6}(\d{1,15})\W{1,6}total_steps?\W{1,6}(\d{1,15})", re.ASCII)
_BATCH_PAIR = re.compile(
    rf"(?<![\w-])(?:mini-?)?batch(?:es)?{_LINK}(?P<done>\d[\d,]{{0,17}}){_OF}(?P<total>\d[\d,]{{0,17}})(?![\d/.])"
    r"|(?<![\d/.,-])(?P<done_>\d[\d,]{0,17})\s?/\s{0,4}(?P<total_>\d[\d,]{0,17}) {0,2}(?:mini-?)?batches\b",
    re.ASCII,
)
_BATCH = re.compile(r"(?<![\w-])(?:mini-?)?batch(?! ?size)[\s:=\[#|-]{1,4}\d", re.ASCII)
_STEP = re.compile(
    rf"(?<![\w/\\{{-])(?:(?:global|current|train|training)[ _-])?"
    rf"(?:step|iter|iteration|iter_num|steps completed){_LINK}{_SCALED}",
    re.ASCII,
)
_GLOBAL_STEP = re.compile(rf"global[ _]step{_LINK}{_NUMBER}", re.ASCII)
_STEPS_AND_LOSS = re.compile(rf"\bsteps[:=\s]{{1,3}}{_NUMBER} {{1,3}}(?:loss|\|)", re.ASCII)
_KIMG = re.compile(r"\btick\s{1,6}\d{1,9}\s{1,6}kimg\s{1,6}(\d{1,9})", re.ASCII)
_BEFORE_AVERAGE = re.compile(r"\s{0,4}(\d{1,9}): \d{1,9}\.\d{1,9}, \d{1,9}\.\d{1,9} avg\b", re.ASCII)

_EPOCH_WORD = r"(?<![\w/\\{.-])(?:epochs?|episodes?|rounds?|ep|e(?=\d))(?:\((?:train|val|test)\))?"
_EPOCH_PAIR = re.compile(
    rf"{_EPOCH_WORD}{_LINK}(\d{{1,9}})(?:\.(\d{{1,18}}))?{_OF}(\d{{1,9}})(?![\d/])"
    r"|\[ ?(?:train|valid|val|test) ?\| ?(\d{1,9})/(\d{1,9}) ?\]",
    re.ASCII,
)
_EPOCH_BEHIND_PAIR = re.compile(r"(?<![\d/.])(\d{1,9})\s?/\s?(\d{1,9}) ?(?:\* ?)?epochs?\b", re.ASCII)
_EPOCH_ROW = re.compile(r"(\d{1,6})/(\d{1,6})\s+[\d.]{1,8}g\b", re.ASCII)
_EPOCH = re.compile(
    r"(?<![\w/\\{-])(?<!from )epoch(?:\((?:train|val|test)\))?[\s:=\[('\"#-]{0,8}(\d{1,9}(?:\.\d{1,18})?)(?![\d,]*\d)",
    re.ASCII,
)
_TORCHTUNE = re.compile(r"(\d{1,6})\|\d{1,9}\|loss", re.ASCII)
_UNNAMED_EPOCH = re.compile(
    r"(?:\btrain:?\s{0,8}\[?\s{0,4}(?P<epoch>\d{1,9})(?:\s?/\s?(?P<total>\d{1,9}))?"
    r"|\[\s{0,4}(?P<epoch_>\d{1,9})\s?/\s?(?P<total_>\d{1,9}))\s?\]?"
    r"(?=(?:\s?\(\s{0,2}\d{1,3}%\))?\s{0,3}[\[(]\s{0,8}\d{1,15}\s?/\s?\d)",
    re.ASCII,
)
_INNER = re.compile(
    r"[\])]?+\s?+(?:\(\s{0,2}\d{1,3}%\))?+[\s,;:|\])\[(-]{0,12}+(?:[=>#.]{2,100}+[\s\]]{0,60}+)?+"
    r"(?P<name>(?:mini-?)?batch(?:es)?|(?:training )?(?:steps?|iter|iterations?|itr|it))?+[\s:=#\[(-]{0,12}+"
    r"(?P<done>\d[\d,]{0,17}+)\s{0,8}+(?:/|of )\s{0,8}+(?P<total>\d[\d,]{0,17}+)(?![\d/.:])",
    re.ASCII,
)
_OPENS_BEFORE = re.compile(
    r"(?:start(?:ing|ed|s)?|begin(?:ning|s)?|began|entering)\b(?: of)?(?: \w{1,12})?[\s:>=-]{1,6}$"
)
_OPENS_BEHIND = re.compile(r"[\])]?[\s:,-]{0,4}(?:start|begin|began)")
_SETTING_BEFORE = re.compile(
    r"(?:num|number of|n|current|total|max|min|warm-?up|save|sav\w*|eval\w*|log|logging|accum\w*|per|every|val|valid\w*"
    r"|test|sampl\w*|first|last|each|sanity|skip\w*|than|until)[\s_-]{1,3}$"
)
_SHARE_BEHIND = re.compile(r"[\])]?+[\s,;:|\[(-]{0,6}+(\d{1,3}(?:\.\d{1,6})?+)\s?%", re.ASCII)
_STEP_BEHIND = re.compile(r"[\s,;:|\])-]{1,6}+\[?(?:training )?(?:step|iter|iteration|it)\b[\s:=\[#]{1,4}\d", re.ASCII)
_OF_EPOCH = re.compile(r"\b(?:of|in) (?:the )?$")
_EPOCH_THEN_STEP = re.compile(r"epoch:? ?\[[\d/ ]{3,20}\],? (?:step|iter|batch):? ?\[", re.ASCII)
_LOOKS_BACK = re.compile(
    r"\b(?:best|lowest|highest|smallest|largest|minimum|maximum|early.?stop\w*|patience|improve\w*)\b[^|,;]{0,40}$"
)
_POINTS_AT = re.compile(r"(?:\b(?:at|for|until|after|before|by|since|every|in|of|previous|next)|@)[\s(]{1,3}(?:the )?$")
_BEFORE = 24
_REMARK = 64
_SHARE = re.compile(
    r"(?:^|[\]|:>\-] )\s{0,4}(?:steps?|train(?:ing)?|(?:training )?progress)\s{0,2}[:= ]\s{0,4}"
    r"(\d{1,3}(?:\.\d{1,6})?)\s?%",
    re.ASCII,
)
_ROW_WITH_SHARE = re.compile(r"\W{0,4}(\d[\d,]{0,17}) \((\d{1,3}(?:\.\d{1,6})?)%\)\s{2,40}\d", re.ASCII)

_TOTAL_STEPS = re.compile(
    r"(?:(?:total[ _](?:optimi[sz]ation[ _]|train(?:ing)?[ _])?(?:num[ _])?(?:steps|iter(?:ation)?s?)"
    r"|max_(?:train_)?steps|max_iter(?:ation)?s?|train_iters"
    r"|cfg\.steps)\b(?![ _]?remaining)[^\d=:]{0,40}[=:]\s{0,4}['\"]?"
    rf"|\btotal steps |\buntil step |\btraining duration:\s{{1,8}}(?=\d{{1,9}} kimg)|total_kimg['\"]?: ){_NUMBER}",
    re.ASCII,
)
_STEPS_LEFT = re.compile(rf"total optimi[sz]ation steps remaining\s{{0,4}}[=:]\s{{0,4}}{_NUMBER}", re.ASCII)
_TOTAL_EPOCHS = re.compile(
    r"(?:(?:num(?:ber of)?[ _](?:train[ _]|training[ _])?epochs?|max_(?:train_)?epochs)\b[^\d=:]{0,24}[=:]\s{0,4}['\"]?"
    r"|(?<![\w/-])(?:training|train|scheduled)(?: for|:)? (?=\d{1,9} epochs)"
    r"|(?<![\w/-])(?:scheduled )?epochs['\"]?\s{0,3}[:=]\s{0,3})"
    rf"{_NUMBER}(?!\.\d{{0,4}}[1-9]|\s?[/%]|\s?of\b)",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class _Epoch:
    """An epoch as a line names it, and where in the line its numbers stand."""

    number: float
    total: int | None
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Steps:
    step: int
    total: int | None = None
    scope: Scope = Scope.UNKNOWN


def counts_of(line: str) -> Counts:
    """The counters in a line in small letters. Only numbers that a word names are read: never dates, clocks, images."""
    for word in _WORDS:
        if word in line:
            break
    else:
        return _row_with_share(line) if "%" in line else _NO_COUNTS
    epoch = _epoch(line)
    steps = _pair_of_steps(line, epoch)
    is_pair = steps is not None or (epoch is not None and epoch.total is not None)
    if steps is None:
        steps = _single_step(line)
    return Counts(
        step=steps.step if steps else None,
        total_steps=(steps.total if steps else None) or _announced_steps(line),
        scope=steps.scope if steps else Scope.UNKNOWN,
        steps_left=_first(_STEPS_LEFT, line) if "remaining" in line else None,
        epoch=epoch.number if epoch else None,
        total_epochs=(epoch.total if epoch else None) or _announced_epochs(line),
        is_pair=is_pair,
        epoch_part=_part(line, epoch, steps) if epoch else None,
        percent=_share(line) if "%" in line else None,
    )


def epoch_of(title: str) -> tuple[float | None, int | None]:
    """The epoch and the number of epochs in a bar's title."""
    title = title.lower()
    if torchtune := _TORCHTUNE.match(title):
        return float(torchtune[1]), None
    if row := _EPOCH_ROW.match(title):
        return float(row[1]), whole_number(row[2]) or None
    epoch = _epoch(title)
    return (epoch.number, epoch.total) if epoch else (None, None)


def _epoch(line: str) -> _Epoch | None:
    """The epoch that the line tells: with its total if one is told anywhere in it, never one that it looks back at."""
    named = "epoch" in line
    if named or "round" in line or "episode" in line or "[ " in line or line.startswith("e") or " ep" in line:
        for found in _EPOCH_PAIR.finditer(line):
            number, part, total = found[1] or found[4], found[2], whole_number(found[3] or found[5])
            if total and not _looks_back(line, found.start()):
                return _Epoch(float(f"{number}.{part}" if part else number), total, found.start(), found.end())
        behind = _EPOCH_BEHIND_PAIR.search(line) if named and "/" in line else None
        if behind and (total := whole_number(behind[2])) and not _looks_back(line, behind.start()):
            return _Epoch(float(behind[1]), total, behind.start(), behind.end())
    return (_single_epoch(line) if named else None) or _unnamed_epoch(line)


def _single_epoch(line: str) -> _Epoch | None:
    for found in _EPOCH.finditer(line):
        start = found.start()
        if _SETTING_BEFORE.search(line, max(0, start - _BEFORE), start) or _looks_back(line, start):
            continue
        if "loss" not in line and _POINTS_AT.search(line, max(0, start - _BEFORE), start):
            continue
        return _Epoch(float(found[1]), None, start, found.end())
    return None


def _unnamed_epoch(line: str) -> _Epoch | None:
    """The outer one of two counters, "[1/3][20/100]": it counts epochs."""
    if "loss" not in line or not ("train" in line or "][" in line or "] [" in line):
        return None
    found = _UNNAMED_EPOCH.search(line)
    if found is None:
        return None
    number, total = found["epoch"] or found["epoch_"], found["total"] or found["total_"]
    return _Epoch(float(number), whole_number(total or "") or None, found.start(), found.end())


def _looks_back(line: str, start: int) -> bool:
    return _LOOKS_BACK.search(line, max(0, start - _REMARK), start) is not None


def _part(line: str, epoch: _Epoch, steps: _Steps | None) -> float | None:
    """What the line shows of the epoch besides its number; `None`: nothing, so that the epoch may be all done."""
    if _OPENS_BEFORE.search(line, max(0, epoch.start - _BEFORE), epoch.start) or _OPENS_BEHIND.match(line, epoch.end):
        return 0.0
    share = _SHARE_BEHIND.match(line, epoch.end)
    if share and epoch.total and abs(float(share[1]) - 100 * epoch.number / epoch.total) > 1:
        return min(float(share[1]) / 100, 1.0)
    if steps is not None and steps.total is not None:
        return None
    if _BATCH.search(line) is not None:
        return 0.0
    is_record = "val" in line or "'" in line
    return 0.0 if not is_record and _STEP_BEHIND.match(line, epoch.end) else None


def _pair_of_steps(line: str, epoch: _Epoch | None) -> _Steps | None:
    if "/" not in line and " of " not in line:
        pair = _pair(_CURRENT_OF_TOTAL, line) if "current_step" in line else None
        return _Steps(*pair) if pair else None
    if epoch is not None and (inner := _inner(line, epoch)):
        return inner
    is_of_training = epoch is not None or "loss" in line or "train" in line or "batch=" in line
    if "batch" in line and is_of_training and (pair := _batch_pair(line)):
        return _Steps(*pair, Scope.EPOCH)
    if named := _pair(_STEP_PAIR, line) or _pair(_PAIR_OF_STEPS, line):
        return _Steps(*named, _scope(line, epoch))
    if "loss" in line and "epoch" not in line:
        pair = _pair(_PAIR_IN_BRACKETS, line) or _pair_before_loss(line)
        return _Steps(*pair) if pair else None
    return None


def _inner(line: str, epoch: _Epoch) -> _Steps | None:
    """The counter right behind the epoch: its batches if it has no other name."""
    found = _INNER.match(line, epoch.end)
    done, total = (whole_number(found["done"]), whole_number(found["total"])) if found else (None, None)
    if found is None or done is None or not total:
        return None
    name = found["name"]
    return _Steps(done, total, Scope.EPOCH if name is None or "batch" in name else _scope(line, epoch, done))


def _scope(line: str, epoch: _Epoch | None, step: int | None = None) -> Scope:
    if epoch is None:
        return Scope.UNKNOWN
    if 0 <= line.find("step") < epoch.start:
        return Scope.EPOCH if _OF_EPOCH.search(line, 0, epoch.start) else Scope.JOB
    if _EPOCH_THEN_STEP.search(line):
        return Scope.TUTORIAL
    if step is not None:
        told = _GLOBAL_STEP.search(line)
        return Scope.JOB if told and whole_number(told[1]) == step else Scope.BESIDE_EPOCH
    return Scope.UNKNOWN


def _batch_pair(line: str) -> tuple[int, int] | None:
    for found in _BATCH_PAIR.finditer(line):
        done, total = whole_number(found["done"] or found["done_"]), whole_number(found["total"] or found["total_"])
        if done is not None and total:
            return done, total
    return None


def _pair_before_loss(line: str) -> tuple[int, int] | None:
    found = _PAIR_BEFORE_LOSS.match(line)
    done, total = (whole_number(found[1]), whole_number(found[2])) if found else (None, None)
    return (done, total) if done is not None and total else None


def _pair(pattern: re.Pattern[str], line: str) -> tuple[int, int] | None:
    for found in pattern.finditer(line):
        done, total = scaled_number(found[1]), scaled_number(found[2])
        if done is None or not total:
            continue
        if not _SETTING_BEFORE.search(line, max(0, found.start() - _BEFORE), found.start()) and not _looks_back(
            line, found.start()
        ):
            return done, total
    return None


def _single_step(line: str) -> _Steps | None:
    for found in _STEP.finditer(line):
        if not _SETTING_BEFORE.search(line, max(0, found.start() - _BEFORE), found.start()):
            step = scaled_number(found[1])
            return None if step is None else _Steps(step)
    other = (
        (_STEPS_AND_LOSS.search(line) if "steps" in line else None)
        or (_KIMG.search(line) if "kimg" in line else None)
        or (_BEFORE_AVERAGE.match(line) if " avg" in line else None)
    )
    step = whole_number(other[1]) if other else None
    return None if step is None else _Steps(step)


def _announced_steps(line: str) -> int | None:
    named = "steps" in line or "iter" in line or "until step" in line or "kimg" in line
    return _first(_TOTAL_STEPS, line) if named else None


def _announced_epochs(line: str) -> int | None:
    return _first(_TOTAL_EPOCHS, line) if "epochs" in line else None


def _share(line: str) -> float | None:
    found = _SHARE.search(line)
    return float(found[1]) if found else None


def _row_with_share(line: str) -> Counts:
    """A row of a table of progress: "4310 (86.18%)   33.353 ms"."""
    row = _ROW_WITH_SHARE.match(line)
    if row is None:
        share = _share(line)
        return _NO_COUNTS if share is None else Counts(percent=share)
    return Counts(step=whole_number(row[1]), percent=float(row[2]))


def _first(pattern: re.Pattern[str], line: str) -> int | None:
    found = pattern.search(line)
    return (whole_number(found[1]) or None) if found else None
