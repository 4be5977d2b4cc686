"""Compiles programs, reports each compilation, and stores compile times next to jax's compilation cache."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import jax

from limae_jax.config import CheckpointConfig, MetricsConfig, RunConfig, TrainConfig
from limae_jax.config.traced import traced_names, with_values
from limae_jax.metrics.waiting import Compiling
from limae_jax.runs.directory import write_atomically

COSTS_FILE = "compile_times.json"
_MOST_COSTS = 1000

# Events that jax reports for each compilation, in seconds.
_COMPILED = "/jax/core/compile/backend_compile_duration"
_SAVED_BY_CACHE = "/jax/compilation_cache/compile_time_saved_sec"

_Compiled = TypeVar("_Compiled")


class Cost(NamedTuple):
    """The compile times of a program.

    Attributes:
        first_s: seconds to compile it.
        again_s: seconds to load it from the cache.
    """

    first_s: float
    again_s: float


class Watcher(Protocol):
    """The interface of an observer of compilations."""

    def compiling(self, what: Compiling) -> None:
        """Called before a program is compiled."""

    def compiled(self) -> None:
        """Called after a program was compiled."""


class Compiler:
    """Compiles the programs of a run.

    Attributes:
        watcher: notified of each compilation.
        num_seeds: number of seeds that the programs are compiled for.
        seconds_of: seconds spent on compiling each program so far, by name.
    """

    def __init__(self, config: TrainConfig, num_devices: int):
        """Makes a compiler of a run's programs for `num_devices` devices."""
        self.watcher: Watcher | None = None
        self.num_seeds = num_devices
        self._kind = f"{jax.devices()[0].device_kind} {config.system.name} {config.env.name}"
        self._program = _described(config, num_devices)
        self.seconds_of: dict[str, float] = {}
        self._costs = read_costs()

    def compile(self, name: str, build: Callable[[], _Compiled]) -> _Compiled:
        """Compiles a program.

        Args:
            name: of the program, as in `ahead`.
            build: traces and compiles the program.
        """
        own, kind = self._keys(name)
        known = self._costs.get(own) or self._costs.get(kind)
        if self.watcher:
            self.watcher.compiling(Compiling(name, known and known.first_s, self._expected(name)))
        began = time.monotonic()
        with _durations() as durations:
            compiled = build()
        seconds = time.monotonic() - began
        self.seconds_of[name] = self.seconds_of.get(name, 0.0) + seconds
        cost = _cost(seconds, durations)
        self._costs |= {own: cost, kind: cost}
        _write_costs({own: cost, kind: cost})
        if self.watcher:
            self.watcher.compiled()
        return compiled

    @property
    def seconds(self) -> float:
        """Seconds spent on compiling so far."""
        return sum(self.seconds_of.values())

    def ahead(self, names: Iterable[str]) -> float:
        """Returns the expected seconds to compile those of the programs that are not compiled yet."""
        return sum(self._expected(name) for name in names if name not in self.seconds_of)

    def _expected(self, name: str) -> float:
        own, kind = self._keys(name)
        if own in self._costs:
            return self._costs[own].again_s
        # A program of unknown kind is expected to take as long as the longest so far.
        return self._costs[kind].first_s if kind in self._costs else max(self.seconds_of.values(), default=0.0)

    def _keys(self, name: str) -> tuple[str, str]:
        """Returns the keys of a program's costs: of the program itself, and of its kind."""
        text = f"{self._program} {self.num_seeds} {name}"
        kind = f"{self._kind} {name}"
        return f"{kind} {hashlib.sha256(text.encode()).hexdigest()[:16]}", kind


def read_costs() -> dict[str, Cost]:
    """Reads the costs of programs in earlier runs, by key; empty if nothing can be read."""
    directory = _directory()
    if directory is None:
        return {}
    try:
        stored = json.loads((directory / COSTS_FILE).read_text(encoding="utf-8"))
        return {key: Cost(float(first_s), float(again_s)) for key, (first_s, again_s) in stored.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _write_costs(new: dict[str, Cost]) -> None:
    """Adds costs to those that other runs wrote meanwhile; a lost cost is measured again."""
    directory = _directory()
    if directory is None or jax.process_index() != 0:
        return
    before = {key: cost for key, cost in read_costs().items() if key not in new}
    rounded = {key: [round(seconds, 2) for seconds in cost] for key, cost in (before | new).items()}
    with contextlib.suppress(OSError):
        directory.mkdir(parents=True, exist_ok=True)
        write_atomically(directory / COSTS_FILE, json.dumps(dict(list(rounded.items())[-_MOST_COSTS:]), indent=1))


def _directory() -> Path | None:
    """Returns the directory of jax's compilation cache; None if there is none or it is remote."""
    directory = jax.config.values["jax_compilation_cache_dir"]
    return None if not directory or "://" in directory else Path(directory)


def _described(config: TrainConfig, num_devices: int) -> str:
    """Describes everything that a run's programs depend on, except the number of seeds."""
    evaluation = replace(config.evaluation, every_time_steps=1)
    same = replace(
        config, run=RunConfig(), checkpoint=CheckpointConfig(), metrics=MetricsConfig(), evaluation=evaluation
    )
    same = with_values(same, dict.fromkeys(traced_names(same)))
    return f"{same} {num_devices} {jax.__version__} {os.environ.get('XLA_FLAGS', '')}"


@contextlib.contextmanager
def _durations() -> Iterator[dict[str, float]]:
    """Collects the durations that jax reports in this context: event -> seconds."""
    durations: dict[str, float] = {}

    def note(event: str, duration_secs: float, **_: str | int) -> None:
        durations[event] = durations.get(event, 0.0) + duration_secs

    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        yield durations
    finally:
        jax.monitoring.unregister_event_duration_listener(note)


def _cost(seconds: float, durations: dict[str, float]) -> Cost:
    """Derives the costs of a program from a compilation that took `seconds`."""
    if _SAVED_BY_CACHE in durations:
        return Cost(seconds + max(durations[_SAVED_BY_CACHE], 0.0), seconds)
    # Tracing is always repeated; a cache saves only the compilation after it.
    traced = seconds - durations.get(_COMPILED, 0.0)
    return Cost(seconds, max(traced, 0.0) if jax.config.values["jax_compilation_cache_dir"] else seconds)
