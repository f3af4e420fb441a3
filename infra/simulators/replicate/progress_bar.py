"""Progress bars as tqdm prints them."""

_EIGHTHS = " ▏▎▍▌▋▊▉"
_COLUMNS = 120


def duration(seconds: float) -> str:
    """`10:55`, or `1:02:03` from an hour up, as tqdm's format_interval."""
    minutes, second = divmod(int(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:d}:{minute:02d}:{second:02d}" if hour else f"{minute:02d}:{second:02d}"


def bar(label: str, done: int, total: int, elapsed: float, *, postfix: str = "", columns: int = _COLUMNS) -> str:
    """One refresh of a bar, `columns` characters wide; `elapsed` in seconds."""
    fraction = done / total
    left = f"{label}: {fraction * 100:3.0f}%|" if label else f"{fraction * 100:3.0f}%|"
    right = (
        f"| {done}/{total} [{duration(elapsed)}<{_remaining(done, total, elapsed)}, {_rate(done, elapsed)}{postfix}]"
    )
    return left + _filling(fraction, max(10, columns - len(left) - len(right))) + right


def _remaining(done: int, total: int, elapsed: float) -> str:
    return duration(elapsed / done * (total - done)) if done and elapsed else "?"


def _rate(done: int, elapsed: float) -> str:
    if not done or not elapsed:
        return "?it/s"
    per_second = done / elapsed
    return f"{per_second:5.2f}it/s" if per_second >= 1 else f"{1 / per_second:5.2f}s/it"


def _filling(fraction: float, width: int) -> str:
    full, part = divmod(int(fraction * width * len(_EIGHTHS)), len(_EIGHTHS))
    if full >= width:
        return "█" * width
    return "█" * full + _EIGHTHS[part] + " " * (width - full - 1)
