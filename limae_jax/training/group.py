"""Trains one group of seeds to the end of the run: train a chunk, evaluate, write, save, repeat."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import jax
import numpy as np

from limae_jax.catalogue.systems import label
from limae_jax.checkpoints.params import check_place
from limae_jax.checkpoints.store import CheckpointStore
from limae_jax.devices.hosts import any_host, fetch
from limae_jax.devices.sharding import put_seeds
from limae_jax.errors import GameError, InputError
from limae_jax.metrics.schema import Row, make_row
from limae_jax.metrics.waiting import TimeLeft
from limae_jax.runs.records import LAST, state_folder
from limae_jax.training.best_params import BestParams, load_shares, save_shares
from limae_jax.training.forecast import Forecast
from limae_jax.training.loop import SeedState
from limae_jax.training.meter import Meter
from limae_jax.training.plan import PhasePlan, is_evaluation_due, phase_at, plans_after, rows_to_refill, with_refill
from limae_jax.training.progress import Observer, Progress, progress_of
from limae_jax.training.setup import Setup, clock_at
from limae_jax.training.shares import Share, traced_arrays
from limae_jax.training.signals import StopRequest
from limae_jax.types import PyTree


def _templates(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), tree)


class GroupTrainer:
    """Trains one group of seeds.

    Attributes:
        is_restored: whether the group continues from a checkpoint.
        staging_bytes: largest memory that a save needed on top of the state.
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
        forecast: Forecast | None = None,
    ):
        """Restores the group's newest complete checkpoint, or starts from scratch.

        Args:
            setup: of the run.
            seeds: [S]; those beyond `num_reported` only fill up the devices.
            num_reported: how many of the seeds belong to a run.
            directory: for checkpoints.
            observer: notified of progress.
            shares: which seeds belong to which run; by default all to the run of `setup`.
            forecast: of this group and those after it.
        """
        self.setup, self.seeds, self.num_reported, self.observer = setup, seeds, num_reported, observer
        self._began = time.monotonic()
        self.staging_bytes = 0
        self._store = CheckpointStore(state_folder(directory), row_axis=setup.parts.replay.row_axis)
        self._directory = directory
        self._stores_rows = setup.parts.system.stores_rows
        count = len(seeds)
        self._shares = shares or [Share(setup.config, seeds, 0, directory)]
        self.progress = Progress(0, 0.0, 0.0, [None] * count, [0] * count, None, 0)
        self._forecast = forecast or Forecast(setup.config, setup.plans, setup.compiler)
        setup.compiler.num_seeds = count
        sharded_seeds = put_seeds(seeds, setup.mesh)
        if not self._store.exists():
            setup.start_compiling(sharded_seeds, setup.plans)
        state: SeedState = setup.init(sharded_seeds)
        settings = {
            name: put_seeds(values.astype(state.settings[name].dtype), setup.mesh)
            for name, values in traced_arrays(self._shares).items()
        }
        self.state = state.replace(settings=settings)
        self._best = BestParams(self.state.learner.team_params, self._shares, setup.mesh)
        # The iteration at which the replay was last empty.
        self._replay_from = 0
        for share in self._shares:
            check_place(share.directory / LAST)
        self.is_restored = self._restore()
        self._plans = with_refill(setup.plans, self._replay_from)
        self.counters, self.is_failed = fetch((self.state.counters, self.state.is_failed))
        self._meter = Meter(self.counters.env_steps[:num_reported], self.progress.meter)
        self._saved_at = self._began
        self._saved_iteration = self.progress.iteration if self.is_restored else -1
        if self.is_restored:
            self._best.restore(self.progress, observer.warning)
            if not self.is_complete:
                setup.start_compiling(sharded_seeds, plans_after(self._plans, self.progress.iteration))

    # Checkpoints

    def _split(self) -> tuple[PyTree, PyTree]:
        ring, rest = self.setup.parts.replay.split(self.state.replay)
        return self.state.replace(replay=rest, settings={}), ring

    def _restore(self) -> bool:
        if not self._store.exists():
            return False
        small, ring = self._split()
        # The fresh replay is freed before the stored one is read: memory may suffice for one only.
        small_template, ring_template = _templates(small), _templates(ring)
        jax.tree.map(lambda x: x.delete(), ring)
        restored = self._store.restore(small_template, ring_template)
        if restored is None:
            raise InputError(f"checkpoints={self._directory}: disappeared while being read; start the run again")
        for warning in restored.warnings:
            self.observer.warning(warning)
        rest = restored.small.replay
        if self._stores_rows and restored.rows_added == 0:
            rest = self.setup.parts.replay.emptied(rest)
        replay = self.setup.parts.replay.join(restored.ring, rest)
        if self._stores_rows:
            self._replay_from = restored.step - restored.rows_added // self.setup.config.env.num_envs
        self.state = restored.small.replace(replay=replay, settings=self.state.settings)
        self.progress = progress_of(restored.host, len(self.seeds), self._directory)
        return True

    def check(self, directory: Path) -> None:
        """Checks the checkpoint of another group with the same number of seeds, without restoring it.

        Raises:
            InputError: the checkpoint cannot be restored.
        """
        store = CheckpointStore(state_folder(directory), row_axis=self.setup.parts.replay.row_axis)
        host = store.check(*map(_templates, self._split()))
        if host is not None:
            progress_of(host, len(self.seeds), directory)

    def _rebuild(self) -> None:
        """Writes damaged or missing best and last parameters again, as far as the checkpoint allows."""
        if self._best.is_lost.any():
            self._keep_best(self._results(), self._best.is_lost)
        _, hosts = load_shares(self._shares, LAST, self.state.learner.team_params)
        is_gone = np.zeros(len(self.seeds), bool)
        for share, host in zip(self._shares, hosts, strict=True):
            if host is None or min(host["iteration"]) < self.progress.iteration:
                is_gone[share.begin : share.end] = True
                self.observer.warning(f"{share.directory / 'last'}: is damaged or gone; written again, nothing is lost")
        self._save_last(is_gone)

    def _save_last(self, chosen: np.ndarray) -> None:
        host = {"iteration": [self.progress.iteration] * len(self.seeds)}
        save_shares(self._shares, LAST, self.state.learner.team_params, host, chosen)

    def _keep_best(self, results: dict[str, np.ndarray], among: np.ndarray) -> None:
        self._best.keep(self.state.learner.team_params, results, among & ~self.is_failed, self.progress)

    def save(self) -> None:
        """Saves everything that a bit-exact continuation needs, except a dropped replay."""
        is_dropped = 0 < self._replay_from == self.progress.iteration
        # A process that was killed while dropping the replay leaves rows that are no longer needed.
        if self._saved_iteration == self.progress.iteration and not (is_dropped and self._store.holds_rows()):
            return
        began = time.monotonic()
        self._count_wall_time()
        progress = self.progress
        progress.meter = self._meter.state
        # Parameters first: a run is finished if they are of the iteration of the last metrics row.
        self._save_last(np.ones(len(self.seeds), bool))
        small, ring = self._split()
        rows_added = (progress.iteration - self._replay_from) * self.setup.config.env.num_envs * self._stores_rows
        # Twice if the replay is dropped: neither of the two kept checkpoints may need its rows.
        for _ in range(2 if is_dropped else 1):
            saved = self._store.save(progress.iteration, small, ring, rows_added, asdict(progress))
        self.staging_bytes = max(self.staging_bytes, saved.staging_bytes)
        self.observer.checkpoint()
        seconds = time.monotonic() - began
        progress.save_s += seconds
        self._forecast.saved(seconds)
        self._saved_at, self._saved_iteration = began, self.progress.iteration

    def _drop_replay(self) -> None:
        """Drops the replay from the last save of a finished group, unless one of its runs keeps it.

        A group that has not reached the training phase keeps it too: a refill would replace part of its pre-training.
        """
        keeps = any(share.config.checkpoint.keep_replay for share in self._shares)
        is_training = phase_at(self._plans, self.progress.iteration).phase.time_steps is None
        if self._stores_rows and is_training and not keeps and self._saved_iteration != self.progress.iteration:
            self._replay_from = self.progress.iteration

    def _count_wall_time(self) -> None:
        now = time.monotonic()
        self.progress.wall_s += now - self._began
        self._began = now

    # Training

    @property
    def rows_to_refill(self) -> int:
        """Rows that each seed collects to refill a dropped replay before it learns again; 0 if it learns at once."""
        return 0 if self.is_complete else rows_to_refill(self.setup.config, self._plans, self.progress.iteration)

    @property
    def is_complete(self) -> bool:
        """Whether every reported seed has all its environment steps or has failed."""
        has_enough = self.counters.env_steps >= self.setup.config.run.total_env_steps
        return bool(np.all((has_enough | self.is_failed)[: self.num_reported]))

    def train(self, stop: StopRequest) -> bool:
        """Trains until the group is complete or a stop is requested; saves regularly and at the end.

        Returns:
            Whether the group is complete.
        """
        if self.is_restored:
            self._rebuild()
        longest_turn = 0.0
        while not self.is_complete:
            at_risk = time.monotonic() - self._saved_at + 1.5 * longest_turn
            save_due, stop_asked = any_host(at_risk > self.setup.config.checkpoint.every_s, stop.signal is not None)
            if stop_asked:
                break
            if save_due:
                self.save()
            began, compile_s = time.monotonic(), self.setup.compiler.seconds
            try:
                self._take_turn()
            except GameError:
                self.save()
                raise
            longest_turn = max(longest_turn, time.monotonic() - began - (self.setup.compiler.seconds - compile_s))
        if self.is_complete:
            self._drop_replay()
        self.save()
        return self.is_complete

    def _take_turn(self) -> None:
        """Runs one chunk, and an evaluation if one is due."""
        before, plan = self.progress.iteration, phase_at(self._plans, self.progress.iteration)
        began = self._working_s()
        self._run_chunk(plan)
        self._forecast.worked(plan.phase.name, plan.iterations_per_chunk, self._working_s() - began)
        loss, failed = self._meter.last.get("loss"), self.is_failed[: self.num_reported]
        # Failed seeds are left out: their steps no longer grow, and their loss is not finite.
        losses = None if loss is None or failed.all() else loss[: self.num_reported][~failed]
        mean_loss = None if losses is None else float(np.mean(losses))
        reported_steps = self.counters.env_steps[: self.num_reported]
        going = np.ma.masked_array(reported_steps, failed)
        self.observer.progress(plan.phase.name, going, self._meter.env_steps_per_s, mean_loss, self._time_left())
        if is_evaluation_due(self.setup.config, before, self.progress.iteration) or self.is_complete:
            began = self._working_s()
            self.observer.evaluation(self._evaluate(plan))
            self._forecast.evaluated(self._working_s() - began)
            if self.progress.evaluations is not None:
                self.progress.evaluations += 1
            self._meter = Meter(reported_steps)

    def _working_s(self) -> float:
        """Returns a clock's time that excludes compilation."""
        return time.monotonic() - self.setup.compiler.seconds

    def _time_left(self) -> TimeLeft | None:
        failed, steps = self.is_failed[: self.num_reported], self.counters.env_steps[: self.num_reported]
        # Failed seeds are left out.
        slowest = self.setup.config.run.total_env_steps if failed.all() else int(np.min(steps[~failed]))
        return self._forecast.left(self.progress.iteration, slowest, self._plans)

    def _run_chunk(self, plan: PhasePlan) -> None:
        program = self.setup.chunks[plan.phase.name]
        began = self._working_s()
        self.state, metrics = program(self.state, clock_at(self.progress.iteration))
        metrics, self.counters, is_failed = fetch((metrics, self.state.counters, self.state.is_failed))
        seconds = self._working_s() - began
        self.progress.iteration += plan.iterations_per_chunk
        self._meter.add(metrics, self.counters.env_steps[: self.num_reported], seconds)
        for index in np.flatnonzero((is_failed & ~self.is_failed)[: self.num_reported]):
            steps = self.counters.env_steps[index]
            self.observer.warning(
                f"{self._name(int(index))} failed: its loss is not finite after {steps:,} env steps;"
                " its training stops there, the other seeds continue"
            )
        self.is_failed = is_failed

    def _name(self, index: int) -> str:
        owner = next(share.config for share in self._shares if index < share.end)
        return f"seed {self.seeds[index]}" + (f" of {owner.run_dir}" if len(self._shares) > 1 else "")

    def _evaluate(self, plan: PhasePlan) -> list[Row]:
        """Evaluates, keeps each seed's best parameters, and returns one row per seed."""
        results = self._results()
        self._keep_best(results, np.ones(len(self.seeds), bool))
        self._count_wall_time()
        return [self._row(index, plan, results) for index in range(self.num_reported)]

    def _results(self) -> dict[str, np.ndarray]:
        """Returns evaluation results of the current parameters, [S] each."""
        iteration = put_seeds(np.full(len(self.seeds), self.progress.iteration, np.int32), self.setup.mesh)
        return fetch(self.setup.evaluate((self.state.seed, self.state.learner.team_params, iteration)))

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
