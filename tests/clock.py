"""A clock that is moved by hand."""

import time
from dataclasses import dataclass
from types import ModuleType

import pytest


@dataclass
class Clock:
    """Stands for the module `time` in modules of ours; it is some seconds ahead of the real one."""

    ahead: float = 0

    @classmethod
    def of(cls, monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> "Clock":
        clock = cls()
        for module in modules:
            monkeypatch.setattr(module, "time", clock)
        return clock

    def time(self) -> float:
        return time.time() + self.ahead

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead
