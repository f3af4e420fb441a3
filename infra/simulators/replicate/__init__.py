"""A server that plays api.replicate.com on loopback, for the local stack and for tests."""

from .clock import MachineClock, SimulatorClock, StandingClock
from .control import Control
from .faults import FaultKind
from .jobs import LogStyle, Shape, SimulatedKind, Status
from .options import SimulatorOptions
from .request_log import RequestLog
from .server import RunningSimulator, running_simulator
from .simulator import Simulator

__all__ = [
    "Control",
    "FaultKind",
    "LogStyle",
    "MachineClock",
    "RequestLog",
    "RunningSimulator",
    "Shape",
    "SimulatedKind",
    "Simulator",
    "SimulatorClock",
    "SimulatorOptions",
    "StandingClock",
    "Status",
    "running_simulator",
]
