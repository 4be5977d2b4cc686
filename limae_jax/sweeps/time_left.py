"""Estimates the time left in a sweep from the measured times of its programs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from limae_jax.metrics.waiting import Compiling, Countdown, TimeLeft


@dataclass
class _Program:
    """A program started by this process.

    Attributes:
        kind: what its speed depends on, most important first.
        env_steps: environment steps of all its seeds to make in this process.
        began: start time on the clock.
        countdown: its own estimate of the time left.
        compile_s: seconds of compilation so far.
        all_s, compiling_s: estimated seconds in total (None before an estimate), and of compilation alone.
    """

    kind: Sequence[str]
    env_steps: float
    began: float
    countdown: Countdown
    compile_s: float = 0.0
    all_s: float | None = None
    compiling_s: float = field(default=0.0)

    @property
    def seconds_per_step(self) -> float | None:
        """Seconds per environment step, without compilation; None while unknown."""
        if self.all_s is None or not self.env_steps:
            return None
        return max(self.all_s - self.compiling_s, 0.0) / self.env_steps


class SweepClock:
    """Times programs that train one after another; the next ones are expected to take as long as similar ones."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._programs: dict[int, _Program] = {}
        self._compiling_since: float | None = None

    def begin(self, program: int, kind: Sequence[str], env_steps: float) -> None:
        """Starts the clock of a program, unless started; its seeds still need `env_steps` in total."""
        self._programs.setdefault(program, _Program(kind, env_steps, self._clock(), Countdown(self._clock)))

    def told(self, program: int, left: TimeLeft | None) -> None:
        """Records a program's own estimate of its time left."""
        one = self._programs[program]
        one.countdown.told(left and left.seconds)
        if left is not None:
            one.all_s = self._clock() - one.began + left.seconds
            one.compiling_s = one.compile_s + left.compiling

    def compiling(self, program: int, what: Compiling) -> None:
        """Records that compilation of a program starts."""
        self._compiling_since = self._clock()
        self._programs[program].countdown.compiling(what)

    def compiled(self, program: int) -> None:
        """Records that compilation has ended."""
        one = self._programs[program]
        one.countdown.compiled()
        if self._compiling_since is not None:
            one.compile_s += self._clock() - self._compiling_since
        self._compiling_since = None

    def end(self, program: int) -> None:
        """Records that a program has ended, successfully or not."""
        if program in self._programs and self._programs[program].all_s is not None:
            self.told(program, TimeLeft(0.0, 0.0))

    @property
    def activity(self) -> str:
        """What is being compiled, and for how long; empty otherwise."""
        return next((text for one in self._programs.values() if (text := one.countdown.activity)), "")

    def left(self, program: int, kind: Sequence[str], env_steps: float) -> float | None:
        """Returns the seconds a program still needs for `env_steps` of all its seeds; None while unknown."""
        own = self._programs.get(program)
        if own and own.countdown.seconds_left is not None:
            return own.countdown.seconds_left
        measured = [one for one in self._programs.values() if one.seconds_per_step is not None]
        if not measured:
            return None
        likeness = max(_likeness(one.kind, kind) for one in measured)
        like = [one for one in measured if _likeness(one.kind, kind) == likeness]
        each = statistics.fmean(one.seconds_per_step or 0.0 for one in like)
        whole = statistics.fmean(one.compiling_s for one in like) + env_steps * each
        return max(whole - (self._clock() - own.began), 0.0) if own else whole


def _likeness(one: Sequence[str], other: Sequence[str]) -> int:
    """Returns the number of equal leading entries."""
    equal = [a == b for a, b in zip(one, other, strict=False)]
    return equal.index(False) if False in equal else len(equal)
