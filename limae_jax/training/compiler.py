"""Compiles programs side by side, reports each one, and stores compile times next to jax's compilation cache."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar, cast

import jax

from limae_jax.config import CheckpointConfig, MetricsConfig, RunConfig, TrainConfig
from limae_jax.config.traced import traced_names, with_values
from limae_jax.devices.backend import available_cores
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
        """Called when the run starts to wait for a program."""

    def compiled(self) -> None:
        """Called when the program is ready."""


class Compiler:
    """Compiles the programs of a run.

    Attributes:
        watcher: notified of each compilation.
        num_seeds: number of seeds that the programs are compiled for.
        seconds_of: seconds that the run waited for each program so far, by name.
    """

    def __init__(self, config: TrainConfig, num_devices: int):
        """Makes a compiler of a run's programs for `num_devices` devices."""
        self.watcher: Watcher | None = None
        self.num_seeds = num_devices
        self._kind = f"{jax.devices()[0].device_kind} {config.system.name} {config.env.name}"
        self._program = _described(config, num_devices)
        self.seconds_of: dict[str, float] = {}
        self._costs = read_costs()
        self._pool: ThreadPoolExecutor | None = None
        self._started: dict[str, tuple[float, Future[tuple[Any, Cost]]]] = {}

    def start(self, name: str, build: Callable[[], Any]) -> None:
        """Starts to compile a program in a thread, for the next call of `compile` with its name.

        XLA compiles one program on little more than one core, so several programs take turns on the cores.

        Args:
            name, build: as for `compile`.
        """
        if self._pool is None:
            self._pool = ThreadPoolExecutor(max_workers=available_cores())
        self._started[name] = time.monotonic(), self._pool.submit(_timed, build)

    def compile(self, name: str, build: Callable[[], _Compiled]) -> _Compiled:
        """Compiles a program, or waits for one that was started.

        Args:
            name: of the program, as in `ahead`.
            build: traces and compiles the program.
        """
        own, kind = self._keys(name)
        known = self._costs.get(own) or self._costs.get(kind)
        if self.watcher:
            self.watcher.compiling(Compiling(name, known and known.first_s, self._expected(name)))
        began = time.monotonic()
        _, started = self._started.pop(name, (None, None))
        compiled, cost = started.result() if started else _timed(build)
        self.seconds_of[name] = self.seconds_of.get(name, 0.0) + time.monotonic() - began
        self._costs |= {own: cost, kind: cost}
        _write_costs({own: cost, kind: cost})
        if self.watcher:
            self.watcher.compiled()
        return compiled

    def close(self) -> None:
        """Drops programs that were started and are not needed any more; those that compile are compiled to the end."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool, self._started = None, {}

    @property
    def seconds(self) -> float:
        """Seconds that the run waited for programs so far."""
        return sum(self.seconds_of.values())

    def ahead(self, names: Iterable[str]) -> float:
        """Returns the expected seconds to compile those of the programs that are not compiled yet."""
        return sum(self._expected(name) for name in names if name not in self.seconds_of)

    def _expected(self, name: str) -> float:
        own, kind = self._keys(name)
        if own in self._costs:
            seconds = self._costs[own].again_s
        else:
            # A program of unknown kind is expected to take as long as the longest so far.
            seconds = self._costs[kind].first_s if kind in self._costs else max(self.seconds_of.values(), default=0.0)
        since, started = self._started.get(name, (0.0, None))
        if started is None:
            return seconds
        return 0.0 if started.done() else max(seconds - (time.monotonic() - since), 0.0)

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


def compile_for(jitted: Any, *args: Any) -> Callable[..., Any]:
    """Traces and compiles a jitted function for arguments of these shapes and shardings.

    On a CPU LLVM optimises less than it could: programs compile in four fifths of the time and run as fast (measured
    with `benchmarks/train_throughput.py`).
    """
    options = {"xla_backend_optimization_level": 1} if jax.default_backend() == "cpu" else None
    return cast(Callable[..., Any], jitted.lower(*args).compile(options))


def _timed(build: Callable[[], _Compiled]) -> tuple[_Compiled, Cost]:
    began = time.monotonic()
    with _durations() as durations:
        compiled = build()
    return compiled, _cost(time.monotonic() - began, durations)


@contextlib.contextmanager
def _durations() -> Iterator[dict[str, float]]:
    """Collects the durations that jax reports in this context and thread: event -> seconds."""
    durations: dict[str, float] = {}
    own = threading.get_ident()

    def note(event: str, duration_secs: float, **_: str | int) -> None:
        if threading.get_ident() == own:
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
