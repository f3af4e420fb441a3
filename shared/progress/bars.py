"""Finds progress bars (tqdm, Keras, rich, notebooks) in a line, and says what each one counts."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import lru_cache

from shared.progress.numbers import scaled_number, shows_loss, steps_a_second, whole_number


class BarKind(Enum):
    """What a bar counts. Only the first five say anything of the training's progress."""

    JOB_STEPS = auto()
    """Steps of the whole job: `steps:`, `Epoch 3/10, Steps:`."""
    STEPS = auto()
    """Steps of the job or of one epoch, as the epochs beside it tell: `Training:`, `step:`, `Iteration:`."""
    EPOCH_STEPS = auto()
    """Steps of one epoch: `Epoch 3:`, `Epoch 3/10:`."""
    EPOCHS = auto()
    """Epochs done: `epoch:`, `Epochs:`."""
    UNNAMED = auto()
    """A bare bar, or one that has only a job's name: its surroundings decide."""
    PREPARING = auto()
    WARMUP = auto()
    VALIDATION = auto()
    SAVING = auto()
    OTHER = auto()


@dataclass(frozen=True, slots=True)
class Bar:
    """One state of one bar. `tail` is what stands in its brackets: clocks, rate and metrics. `end` is where it ends."""

    kind: BarKind
    name: str
    done: int
    total: int | None
    tail: str
    end: int
    is_scaled: bool = False
    """Whether it counts in thousands, `1.20k/10.0k`: too many steps for their pace to tell anything."""


_BAR = re.compile(
    r"(?P<percent>\d{1,3})(?:\.\d{1,4})?%\s?(?P<body>\\?\|[^|]{0,512}\||\||[━╸╺╴─]{2,200})?\s{0,4}"
    r"(?P<done>\d[\d,]{0,17}(?P<unit>(?:\.\d{1,9})?[kKMGT]i?B?|B)?)"
    r"/(?P<total>(?P<digits>\d[\d,]{0,17})(?P<total_unit>[\w.]{0,12}))\s?"
    r"(?:\[(?P<tail>[^\]]{0,512})\]?)?",
    re.ASCII,
)
_COUNT = re.compile(r"(?P<done>-?\d{1,9})(?:it|step|steps|batch|/\?) \[(?P<tail>[^\]]{0,512})\]?", re.ASCII)
_KERAS = re.compile(
    r"\s{0,8}(?P<done>\d{1,9})/(?P<total>\d{1,9}) (?:\[[=>.\s]{3,200}\]|[━╸╺╴─]{2,200})(?P<tail>.{0,400})"
)
_KERAS_GLUED = re.compile(r"(?<=\d)[A-Z][a-z]{2}")
_RICH = re.compile(
    r"(?P<name>Epoch \d{1,9}/\d{1,9}) +[━╸╺╴─]{2,200} +(?P<done>\d{1,9})/(?P<total>\d{1,9}) (?P<tail>.{0,400})"
)
_FASTPROGRESS = re.compile(
    r"\d%? \[(?P<done>\d{1,9})/(?P<total>\d{1,9}) (?P<tail>[\d:]{4,12}<[^\]]{0,512})\]?", re.ASCII
)
_WIDGET = re.compile(r"\s{0,8}(?P<done>\d{1,9})/(?P<total>\d{1,9}) \[(?P<tail>[\d:]{4,12}<[^\]]{0,512})\]?", re.ASCII)
_NOTEBOOK = re.compile(
    r"\[ {0,8}(?P<done>\d{1,9})/(?P<total>\d{1,9}) (?P<tail>[\d:]{4,12} ?< ?[^\]]{0,200})\]?(?=.{0,4}$|.{0,40}Epoch)"
)

_NAME_WINDOW = 160
_TOO_FAST = 100.0
_AT_ONCE = re.compile(r"00:0[01]<")
_PREFIX = re.compile(
    r"\s{0,8}(?:\[[^\]]{0,80}\]|\d{4}[-/]\d\d[-/]\d\d[T ]?|\d\d:\d\d:\d\d(?:[.,]\d{1,9})?Z?|\d\d/\d\d/\d{4}"
    r"|(?:INFO|WARNING|DEBUG|ERROR)\b|<std(?:out|err)>|\([\w ]{1,20}pid=\d{1,9}\)|[|:>\-]+)\s{0,8}",
    re.ASCII,
)
_EVALUATING = re.compile(
    r"idat(?:ion|ing)|evaluat|sanity|denois|inference|predict|generat(?:e|ing) (?!.{0,40}(?:split|dataset|class))"
    r"|^class\s{1,30}images\b|(?<![\w-])(?:eval|val|valid|sampl(?:ing|es?)(?! paths?))(?![\w-])|^test(?:ing)?\b(?!-)"
)
_PREPARING = re.compile(
    r"load|shard|cach|latent|embed|download|fetch|\bmap\b|mapping|tokeni|process|prepar|filter|split|scan|bucket"
    r"|discover"
    r"|\bread|extract|pack|quanti|convert|concat|import|enumerat|comput|encod|check|verif|resolv|caption|dataset|prompt"
    r"|weight|safetensors|\.bin|\.json|\.pth?\b|materiali|group|dropp|truncat|shuffl|flatten|unzip|collect|transfer"
    r"|merg|initiali|clean|moving|copy|file|images?\b|video|audio|index|generating|applying|adding|creating|build"
)
_PREPARING_PLAINLY = re.compile(r"\b(?:scanning|caching)\b")
_TRAINING_START = re.compile(r"(?:global )?(?:train(?:ing)?\b|epochs?\b|steps?\b|iter(?:ation)?s?\b)")
_JOB_STEPS = re.compile(r"\bsteps[:\s]*$")
_EPOCH_NUMBER = re.compile(
    r"epochs?\b[\s:=\[(#-]{0,4}\d|\d/\d{1,9} ?\* ?epoch\b|^\d{1,6}\|\d{1,9}\|loss|^\d{1,6}/\d{1,6}\s+[\d.]+g\b",
    re.ASCII,
)
_FIRST_OF_TORCHTUNE = re.compile(r"1\|\d{1,9}\|loss", re.ASCII)
_EPOCHS_ALONE = re.compile(r"(?:training )?epochs?(?: progress)?[:\s]*$")
_TRAINING = re.compile(r"\bsteps?\b|\bloss\b|epoch|train|\biter|round|optimi[sz]|fine-?tun|\bbatch")
_UPLOAD = re.compile(r"upload|push")
_WARMUP = re.compile(r"warm(?:ing)?[ -]?up")
_TRAINER_METRICS = re.compile(r"(?<![\w/])(?:lr|learning_rate)\b")
_OF_EPOCHS = re.compile(r"(?:s/|\d ?)epochs?(?:/s)?\b")
_OF_STEPS = re.compile(r"[\d.?] ?(?:[kKMG]?(?:it|steps?|batch(?:es)?)/s|s/[kKMG]?(?:it|step|batch))")
_OF_NO_STEPS = re.compile(
    r"(?:examples?|files?|[kKMGT]?i?B|tokens?|rows?|img|images?|imgs|it_sample|docs?|prompts?|records?)/s\b"
    r"|s/(?:example|file|img|image|prompt|doc)"
)


def find_bar(line: str) -> Bar | None:
    """The newest (last) bar in the line."""
    if "%" in line and (bar := _percent_bar(line)):
        return bar
    if " [" in line:
        found = _last(_COUNT, line)
        if found is not None:
            return _bar(line[: found.start()], found, None)
    if "/" in line:
        return _bar_without_percent(line)
    return None


def _last(pattern: re.Pattern[str], line: str, start: int = 0) -> re.Match[str] | None:
    found = None
    for found in pattern.finditer(line, start):  # noqa: B007 - the last one is wanted
        pass
    return found


def _percent_bar(line: str) -> Bar | None:
    name_start = 0
    bar = None
    for found in _BAR.finditer(line):
        if found["body"] is not None or found["tail"] is not None:
            name = line[name_start : found.start()]
            bar = (name, found)
        name_start = found.end()
    if bar is None:
        fast = _FASTPROGRESS.search(line) if "% [" in line else None
        return _bar(line[: fast.start()].partition(" : |")[0], fast, whole_number(fast["total"])) if fast else None
    name, found = bar
    has_units = bool(found["unit"] or found["total_unit"])
    is_of_steps = has_units and _OF_STEPS.search(found["tail"] or "") is not None
    total = scaled_number(found["total"]) if is_of_steps else whole_number(found["digits"])
    bar_ = _bar(name, found, total, is_of_things=has_units and not is_of_steps)
    return replace(bar_, is_scaled=True) if is_of_steps else bar_


def _bar_without_percent(line: str) -> Bar | None:
    if rich := _RICH.search(line):
        return _bar(rich["name"], rich, whole_number(rich["total"]))
    if keras := _KERAS.match(line):
        bar = _bar("", keras, whole_number(keras["total"]))
        glued = _KERAS_GLUED.search(bar.tail)
        return replace(bar, tail=bar.tail[: glued.start()], end=keras.start("tail") + glued.start()) if glued else bar
    if "<" in line and (widget := _WIDGET.match(line)):
        return _bar("", widget, whole_number(widget["total"]))
    if "<" in line and (notebook := _NOTEBOOK.search(line)):
        return _bar("steps:", notebook, whole_number(notebook["total"]))
    return None


def _bar(title: str, found: re.Match[str], total: int | None, *, is_of_things: bool = False) -> Bar:
    tail = found["tail"] or ""
    title = _title(title)
    kind = _kind(title.lower(), _nature(tail))
    if is_of_things and kind not in {BarKind.VALIDATION, BarKind.OTHER}:
        kind = BarKind.PREPARING
    return Bar(kind, title, _done(found["done"]), total, tail, found.end())


def _done(text: str) -> int:
    return scaled_number(text.lstrip("-").rstrip("iB")) or 0


def _title(text: str) -> str:
    """A bar's own name: without the prefix of the logger and without what was printed before it on the line."""
    text = text[-_NAME_WINDOW:]
    position = 0
    for _ in range(8):
        prefix = _PREFIX.match(text, position)
        if prefix is None or prefix.end() == position:
            break
        position = prefix.end()
    return text[position:].rstrip(" |").strip()


class _Nature(Enum):
    """What the metrics and the unit in a bar's brackets tell, whatever its name."""

    PLAIN = auto()
    TRAINER = auto()
    LOSS = auto()
    ROUND = auto()
    EVALUATION = auto()
    EPOCHS = auto()
    ITEMS = auto()


def _nature(tail: str) -> _Nature:
    if "lr" in tail or "learning_rate" in tail or "loss" in tail:
        if _TRAINER_METRICS.search(tail):
            return _Nature.TRAINER
        if "smooth loss=" in tail:
            return _Nature.ROUND
        return _Nature.LOSS if shows_loss(tail) or "train" in tail else _Nature.EVALUATION
    if _OF_EPOCHS.search(tail):
        return _Nature.EPOCHS
    return _Nature.ITEMS if _OF_NO_STEPS.search(tail) else _Nature.PLAIN


def is_too_fast(bar: Bar) -> bool:
    """Whether a bar moves as no training does: a hundred steps a second and more, or at its end within two seconds."""
    rate = steps_a_second(bar.tail)
    if rate is not None and rate >= _TOO_FAST and not bar.is_scaled:
        return True
    return bar.total == bar.done and _AT_ONCE.match(bar.tail) is not None


def prepares(title: str) -> bool:
    """Whether a bar of this name can be part of the preparation before the first step."""
    return _PREPARING.search(title.lower()) is not None


@lru_cache(maxsize=1024)
def _kind(title: str, nature: _Nature) -> BarKind:
    """What a bar of this name counts; `title` in small letters. A learning rate is shown by nothing but a training."""
    if nature is _Nature.ROUND:
        return BarKind.EPOCH_STEPS
    if nature is _Nature.TRAINER:
        return _training_kind(title) or BarKind.JOB_STEPS
    if nature is not _Nature.LOSS and _PREPARING_PLAINLY.search(title):
        return BarKind.PREPARING
    if nature is _Nature.EVALUATION or _EVALUATING.search(title):
        return BarKind.VALIDATION
    if nature is _Nature.LOSS:
        return _training_kind(title) or (BarKind.JOB_STEPS if title else BarKind.STEPS)
    return _kind_beside_training(title, nature) or _training_kind(title) or _kind_of_unknown(title)


def _kind_beside_training(title: str, nature: _Nature) -> BarKind | None:
    if _WARMUP.search(title):
        return BarKind.WARMUP
    if _UPLOAD.search(title):
        return BarKind.OTHER
    if not _TRAINING_START.match(title) and (nature is _Nature.ITEMS or _PREPARING.search(title)):
        return BarKind.PREPARING
    return BarKind.EPOCHS if nature is _Nature.EPOCHS else None


def _training_kind(title: str) -> BarKind | None:
    if _EPOCHS_ALONE.match(title):
        return BarKind.EPOCHS
    if _JOB_STEPS.search(title):
        return BarKind.JOB_STEPS
    if _FIRST_OF_TORCHTUNE.match(title):
        return BarKind.STEPS
    if _EPOCH_NUMBER.search(title):
        return BarKind.EPOCH_STEPS
    return BarKind.STEPS if _TRAINING.search(title) else None


def _kind_of_unknown(title: str) -> BarKind:
    if title.startswith("saving"):
        return BarKind.SAVING
    is_one_word = " " not in title.rstrip(": ")
    return BarKind.UNNAMED if is_one_word else BarKind.OTHER
