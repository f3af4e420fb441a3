"""Ordinary classes that stand in for the outside; the contract suite checks the stores among them."""

from tests.fakes.clock import START, FakeClock
from tests.fakes.doubles import FakeProvider, FakeQueue, FakeSecrets, FakeSender, FakeTelemetry
from tests.fakes.faults import Crash, Faults
from tests.fakes.stores import FakeStores, Usage

__all__ = [
    "START",
    "Crash",
    "FakeClock",
    "FakeProvider",
    "FakeQueue",
    "FakeSecrets",
    "FakeSender",
    "FakeStores",
    "FakeTelemetry",
    "Faults",
    "Usage",
]
