"""A server that plays api.replicate.com on loopback, for the local stack and for tests."""

from .clock import Clock, FakeClock, SystemClock
from .control import Control
from .faults import FaultKind
from .jobs import JobKind, LogStyle, Shape, Status
from .options import SimulatorOptions
from .request_log import RequestLog
from .server import RunningSimulator, running_simulator
from .simulator import Simulator

__all__ = [
    "Clock",
    "Control",
    "FakeClock",
    "FaultKind",
    "JobKind",
    "LogStyle",
    "RequestLog",
    "RunningSimulator",
    "Shape",
    "Simulator",
    "SimulatorOptions",
    "Status",
    "SystemClock",
    "running_simulator",
]
