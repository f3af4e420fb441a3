"""SimpleTuner's own address of the poller's names, for programs that put `shared/compat` on their path.

No folder on the way here has an `__init__.py`: where SimpleTuner itself is installed, its own package goes first.
"""

from __future__ import annotations

import sys
from pathlib import Path

_SERVICE = str(Path(__file__).resolve().parents[7])
if _SERVICE not in sys.path:
    sys.path.append(_SERVICE)

from shared.background_tasks import (  # noqa: E402 - found by the line above
    BackgroundTaskManager,
    get_task_manager,
    start_background_tasks,
    stop_background_tasks,
)

__all__ = ["BackgroundTaskManager", "get_task_manager", "start_background_tasks", "stop_background_tasks"]
