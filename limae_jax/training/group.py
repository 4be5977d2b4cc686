"""Trains one group of seeds to the end of the run: chunk, evaluate, write, save, again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from limae_jax.errors import GameError, InputError
from limae_jax.metrics.schema import Row, make_row
from limae_jax.systems.names import label
from limae_jax.training.checkpoint import CheckpointStore, has_params, load_params, save_params
from limae_jax.training.loop import SeedState
from limae_jax.training.meter import Meter
from limae_jax.training.plan import PhasePlan, is_evaluation_due, phase_at
from limae_jax.training.setup import Setup, clock_at
from limae_jax.training.sharding import agree, fetch, put_seeds
from limae_jax.training.shares import Share, traced_arrays
from limae_jax.training.signals import StopRequest
from limae_jax.types import PyTree


@dataclass
class Progress:
    """What the host knows of a group; stored with each checkpoint.

    Attributes:
        iteration: the clock.
        wall_s: seconds of work so far, over all sessions, compiling included.
        save_s: seconds of it spent on saving.
        best_score: of each seed, the best evaluation so far: win rate, or return where nothing is won.
        best_iteration: of each seed, when that was.
        meter: training since the last evaluation, see `Meter.state`.
        evaluations: made so far; None if a checkpoint of before they were counted does not say.
    """

    iteration: int
    wall_s: float
    save_s: float
    best_score: list[float | None]
    best_iteration: list[int]
    meter: dict[str, Any] | None
    evaluations: int | None = None


def _progress_of(host: dict[str, Any], num_seeds: int, directory: Path) -> Progress:
    """What a checkpoint says of a group's progress.

    Raises:
        InputError: a field is missing, or is not what is written there.
    """
    try:
        progress = Progress(**host)
        is_number = {name: isinstance(getattr(progress, name), int | float) for name in ("wall_s", "save_s")}
        sound = {
            "iteration": isinstance(progress.iteration, int),
            **is_number,
            "best_score": len(progress.best_score) == num_seeds,
            "best_iteration": len(progress.best_iteration) == num_seeds,
            "meter": progress.meter is None or isinstance(progress.meter, dict),
            "evaluations": progress.evaluations is None or isinstance(progress.evaluations, int),
        }
        problem = next((name for name, is_sound in sound.items() if not is_sound), None)
    except TypeError as error:
        problem = str(error).partition("__init__() ")[2] or str(error)
    if problem:
        raise InputError(f"checkpoints={directory}: host is damaged ({problem}); put the folder back from a copy")
    return progress


class Observer(Protocol):
    """Whoever wants to hear how a group fares."""

    def progress(self, phase: str, env_steps: np.ndarray, env_steps_per_s: float, loss: float | None) -> None: ...

    def evaluation(self, rows: list[Row]) -> None: ...

    def checkpoint(self) -> None: ...

    def warning(self, text: str) -> None: ...


@jax.jit
def _select(chosen: jax.Array, new: PyTree, old: PyTree) -> PyTree:
    """For each seed [S] the new tree where chosen, else the old."""
    return jax.tree.map(lambda a, b: jnp.where(jnp.reshape(chosen, (-1,) + (1,) * (a.ndim - 1)), a, b), new, old)


def _templates(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), tree)


class GroupTrainer:
    """One group of seeds and where it stands.

    Attributes:
        is_restored: whether it goes on from a checkpoint.
        staging_bytes: most memory that a save needed on top of the state.
        is_failed: [S] bool, seeds whose loss was not finite.
    """

    def __init__(
        self,
        setup: Setup,
        seeds: np.ndarray,
        num_reported: int,
        directory: Path,
        observer: Observer,
        shares: Sequence[Share] = (),
    ):
        """Restores the group's newest whole checkpoint, or starts afresh.

        Args:
            setup: of the run.
            seeds: [S]; those beyond `num_reported` only fill up the devices.
            num_reported: how many of them belong to a run.
            directory: for checkpoints.
            observer: told of progress.
            shares: whose the seeds are; by default all of the setup's run.
        """
        self.setup, self.seeds, self.num_reported, self.observer = setup, seeds, num_reported, observer
        self._began = time.monotonic()
        self.staging_bytes = 0
        self._store = CheckpointStore(directory / "latest", row_axis=setup.parts.replay.row_axis)
        self._directory = directory
        count = len(seeds)
        self._shares = shares or [Share(setup.config, seeds, 0, directory)]
        self.progress = Progress(0, 0.0, 0.0, [None] * count, [0] * count, None, 0)
        state: SeedState = setup.init(put_seeds(seeds, setup.mesh))
        settings = {
            name: put_seeds(values.astype(state.settings[name].dtype), setup.mesh)
            for name, values in traced_arrays(self._shares).items()
        }
        self.state = state.replace(settings=settings)
        self._best_params = jax.tree.map(jnp.copy, self.state.learner.params)
        self.is_restored = self._restore()
        self.counters, self.is_failed = fetch((self.state.counters, self.state.is_failed))
        self._meter = Meter(self.counters.env_steps[:num_reported], self.progress.meter)
        self._saved_at = self._began
        self._saved_iteration = self.progress.iteration if self.is_restored else -1

    # Checkpoints

    def _split(self) -> tuple[PyTree, PyTree]:
        ring, rest = self.setup.parts.replay.split(self.state.replay)
        return self.state.replace(replay=rest, settings={}), ring

    def _restore(self) -> bool:
        if not self._store.exists():
            return False
        small, ring = self._split()
        # The fresh replay is given up before the stored one is read: there may be room for one only.
        small_template, ring_template = _templates(small), _templates(ring)
        jax.tree.map(lambda x: x.delete(), ring)
        restored = self._store.restore(small_template, ring_template)
        if restored is None:
            raise InputError(f"checkpoints={self._directory}: vanished while they were read; start the run again")
        for warning in restored.warnings:
            self.observer.warning(warning)
        replay = self.setup.parts.replay.join(restored.ring, restored.small.replay)
        self.state = restored.small.replace(replay=replay, settings=self.state.settings)
        self.progress = _progress_of(restored.host, len(self.seeds), self._directory)
        self._restore_best()
        return True

    def check(self, directory: Path) -> None:
        """Checks the checkpoint of another group of as many seeds; restores nothing.

        Raises:
            InputError: it could not be restored.
        """
        store = CheckpointStore(directory / "latest", row_axis=self.setup.parts.replay.row_axis)
        host = store.check(*map(_templates, self._split()))
        if host is not None:
            _progress_of(host, len(self.seeds), directory)

    def _restore_best(self) -> None:
        whole = _templates(self._best_params)
        if len(self._shares) == 1:
            if has_params(self._shares[0].directory / "best"):
                self._best_params, _ = load_params(self._shares[0].directory / "best", whole)
            return
        parts = [share.of(self._best_params) for share in self._shares]
        for index, share in enumerate(self._shares):
            if has_params(share.directory / "best"):
                parts[index], _ = load_params(share.directory / "best", _templates(parts[index]))
        self._best_params = jax.tree.map(
            lambda template, *own: jax.device_put(np.concatenate(own), template.sharding), whole, *parts
        )

    def _save_params(self, name: str, params: PyTree, host: dict[str, list[Any]], chosen: np.ndarray) -> None:
        """Saves parameters to the runs that have one of the chosen seeds; [S], as the lists of `host`."""
        for share in self._shares:
            own = slice(share.begin, share.end)
            if chosen[own].any():
                tree = params if len(self._shares) == 1 else share.of(params)
                save_params(share.directory / name, tree, {key: values[own] for key, values in host.items()})

    def save(self) -> None:
        """Saves everything that a bit-exact continuation needs."""
        if self._saved_iteration == self.progress.iteration:
            return
        began = time.monotonic()
        self._count_wall_time()
        progress = self.progress
        progress.meter = self._meter.state
        # The parameters first: that they are of the last row's iteration tells that a run is finished.
        host = {"iteration": [progress.iteration] * len(self.seeds)}
        self._save_params("last", self.state.learner.params, host, np.ones(len(self.seeds), bool))
        small, ring = self._split()
        rows_added = progress.iteration * self.setup.config.env.num_envs
        saved = self._store.save(progress.iteration, small, ring, rows_added, asdict(progress))
        self.staging_bytes = max(self.staging_bytes, saved.staging_bytes)
        self.observer.checkpoint()
        progress.save_s += time.monotonic() - began
        self._saved_at, self._saved_iteration = began, self.progress.iteration

    def _count_wall_time(self) -> None:
        now = time.monotonic()
        self.progress.wall_s += now - self._began
        self._began = now

    # Training

    @property
    def is_complete(self) -> bool:
        """Whether every seed of the run has all its environment steps, or has failed."""
        has_enough = self.counters.env_steps >= self.setup.config.run.total_env_steps
        return bool(np.all((has_enough | self.is_failed)[: self.num_reported]))

    def train(self, stop: StopRequest) -> bool:
        """Trains until the group is complete or a stop is asked for; saves at the end and in between.

        Returns:
            True if complete.
        """
        longest_turn = 0.0
        while not self.is_complete:
            at_risk = time.monotonic() - self._saved_at + 1.5 * longest_turn
            save_due, stop_asked = agree(at_risk > self.setup.config.checkpoint.every_s, stop.signal is not None)
            if stop_asked:
                break
            if save_due:
                self.save()
            began, compile_s = time.monotonic(), self.setup.compile_s
            try:
                self._take_turn()
            except GameError:
                self.save()
                raise
            longest_turn = max(longest_turn, time.monotonic() - began - (self.setup.compile_s - compile_s))
        self.save()
        return self.is_complete

    def _take_turn(self) -> None:
        """One chunk, and an evaluation if one is due."""
        before, plan = self.progress.iteration, phase_at(self.setup.plans, self.progress.iteration)
        self._run_chunk(plan)
        loss, failed = self._meter.last.get("loss"), self.is_failed[: self.num_reported]
        # A failed seed stands still: nobody waits for its steps, and its loss is no number.
        losses = None if loss is None or failed.all() else loss[: self.num_reported][~failed]
        mean_loss = None if losses is None else float(np.mean(losses))
        reported_steps = self.counters.env_steps[: self.num_reported]
        going = np.ma.masked_array(reported_steps, failed)
        self.observer.progress(plan.phase.name, going, self._meter.env_steps_per_s, mean_loss)
        if is_evaluation_due(self.setup.config, before, self.progress.iteration) or self.is_complete:
            self.observer.evaluation(self._evaluate(plan))
            if self.progress.evaluations is not None:
                self.progress.evaluations += 1
            self._meter = Meter(reported_steps)

    def _run_chunk(self, plan: PhasePlan) -> None:
        program = self.setup.chunks[plan.phase.name]
        began, compile_s = time.monotonic(), program.compile_s
        self.state, metrics = program(self.state, clock_at(self.progress.iteration))
        metrics, self.counters, is_failed = fetch((metrics, self.state.counters, self.state.is_failed))
        seconds = time.monotonic() - began - (program.compile_s - compile_s)
        self.progress.iteration += plan.iterations_per_chunk
        self._meter.add(metrics, self.counters.env_steps[: self.num_reported], seconds)
        for index in np.flatnonzero((is_failed & ~self.is_failed)[: self.num_reported]):
            steps = self.counters.env_steps[index]
            self.observer.warning(
                f"{self._name(int(index))} failed: its loss is not finite after {steps:,} env steps;"
                " it is frozen there, the others go on"
            )
        self.is_failed = is_failed

    def _name(self, index: int) -> str:
        owner = next(share.config for share in self._shares if index < share.end)
        return f"seed {self.seeds[index]}" + (f" of {owner.run_dir}" if len(self._shares) > 1 else "")

    def _evaluate(self, plan: PhasePlan) -> list[Row]:
        """Evaluates, keeps each seed's best parameters, and returns one row a seed."""
        iteration = put_seeds(np.full(len(self.seeds), self.progress.iteration, np.int32), self.setup.mesh)
        results = fetch(self.setup.evaluate((self.state.seed, self.state.learner.params, iteration)))
        self._keep_best(results)
        self._count_wall_time()
        return [self._row(index, plan, results) for index in range(self.num_reported)]

    def _row(self, index: int, plan: PhasePlan, results: dict[str, np.ndarray]) -> Row:
        counters = self.counters
        fields = {
            "seed": int(self.seeds[index]),
            "system": label(self.setup.config.system.name),
            "phase": plan.phase.name,
            "iteration": self.progress.iteration,
            "env_steps": int(counters.env_steps[index]),
            "grad_steps": int(counters.grad_steps[index]),
            "episodes": int(counters.episodes[index]),
            "test_win_rate": None,
            **{name: float(values[index]) for name, values in results.items()},
            "test_episodes": self.setup.config.evaluation.num_episodes,
            "wall_s": round(self.progress.wall_s, 3),
            "env_steps_per_s": round(self._meter.env_steps_per_s, 1),
            "is_failed": bool(self.is_failed[index]),
        }
        return make_row(**fields, **self._meter.per_seed(index))

    def _keep_best(self, results: dict[str, np.ndarray]) -> None:
        score = results.get("test_win_rate", results["test_return_mean"])
        best = np.asarray([-np.inf if best is None else best for best in self.progress.best_score])
        is_better = (score >= best) & ~self.is_failed
        if not is_better.any():
            return
        progress = self.progress
        progress.best_score = [float(x) if np.isfinite(x) else None for x in np.where(is_better, score, best)]
        progress.best_iteration = np.where(is_better, progress.iteration, progress.best_iteration).tolist()
        chosen = put_seeds(is_better, self.setup.mesh)
        self._best_params = _select(chosen, self.state.learner.params, self._best_params)
        host: dict[str, list[Any]] = {"iteration": progress.best_iteration, "score": progress.best_score}
        self._save_params("best", self._best_params, host, is_better)
