"""Where a run's news goes: metrics.jsonl and the writers beside it, and the console."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np

from limae_jax.config import TrainConfig
from limae_jax.config_file import format_of, read_run, to_dict
from limae_jax.errors import InputError
from limae_jax.metrics.console import RunConsole
from limae_jax.metrics.jsonl import JsonlWriter, read_rows
from limae_jax.metrics.schema import Row
from limae_jax.metrics.wandb import read_id
from limae_jax.metrics.writers import MetricsWriter, make_writers
from limae_jax.systems.names import label


class RunReport:
    """Tells of a run. With several processes only the first one writes, and none before `open`.

    Attributes:
        config: of the run.
    """

    def __init__(self, config: TrainConfig, console: RunConsole):
        self.config = config
        self._is_first = jax.process_index() == 0
        self._path = Path(config.run_dir) / "metrics.jsonl"
        self._jsonl: JsonlWriter | None = None
        self._writers: list[MetricsWriter] = []
        if config.metrics.wandb:
            read_id(self._path.parent)  # if it is damaged, that is told before anything is written
        self._console = console
        self._win_rates: dict[int, float] = {}
        self._group: list[int] = []
        self._rows: list[Row] = read_rows(self._path)
        self._note_win_rates(self._rows)

    def start(self, memory: str, num_groups: int) -> None:
        """Says what is about to run."""
        config = self.config
        seeds = f"seed {config.seeds[0]}" if len(config.seeds) == 1 else f"seeds {config.seeds[0]}-{config.seeds[-1]}"
        order = f", {num_groups} groups one after the other" if num_groups > 1 else ""
        devices = f"{jax.device_count()} x {jax.devices()[0].device_kind}" if jax.device_count() > 1 else ""
        where = devices or jax.devices()[0].device_kind
        self._console.start(
            [
                f"{label(config.system.name)} on {config.env.scenario} ({config.env.name}), {seeds}{order}, on {where}",
                memory,
                f"run directory {config.run_dir}",
            ]
        )

    def open(self) -> None:
        """Opens what is written to."""
        if self._is_first:
            self._jsonl = JsonlWriter(self._path)
            self._writers = make_writers(self.config.metrics, Path(self.config.run_dir), settings=to_dict(self.config))

    def was_saved(self, seeds: list[int]) -> bool:
        """Whether the metrics tell that these seeds were saved: the run worked on after a save was due.

        Only of a run of a version that took no note of its saves, and could not change `checkpoint.every_s`.
        """
        run_dir = self._path.parent
        if format_of(run_dir) != 1:
            return False
        seconds = sorted({row["wall_s"] for row in self._rows if row["seed"] in seeds})
        return len(seconds) > 1 and seconds[-2] > read_run(run_dir).checkpoint.every_s

    def check_metrics(self) -> None:
        """Checks, of a run that goes on, that there is the file that its metrics were written to.

        Raises:
            InputError: it is gone.
        """
        if not self._path.exists():
            fix = "put it back from a copy, or make an empty one to go on without what was in it"
            raise InputError(f"metrics={self._path}: is missing; {fix}")

    def continue_from(self, seeds: list[int], iteration: int, evaluations: int | None = None) -> None:
        """Cuts the metrics of these seeds back to where they go on, so that no row is lost or doubled.

        Args:
            seeds: of the group, in this run.
            iteration: the clock where they go on.
            evaluations: how many each had until then; None if that is not known.
        """
        self._group = seeds
        kept = [row for row in self._rows if row["seed"] not in seeds or row["iteration"] <= iteration]
        if self._jsonl and len(kept) < len(self._rows):
            self._jsonl.rewrite(kept)
        self._rows = kept
        for seed in seeds:
            missing = (evaluations or 0) - len([row for row in kept if row["seed"] == seed])
            if missing > 0:
                self.warning(f"{self._path}: {missing} row(s) of seed {seed} are missing; the run goes on without them")
        self._win_rates = {}
        self._note_win_rates(kept)

    def progress(self, phase: str, env_steps: np.ndarray, env_steps_per_s: float, loss: float | None) -> None:
        """After each chunk. `env_steps` [S] of the group's seeds; those that failed are masked."""
        config = self.config
        total = config.run.total_env_steps
        ahead = [seed for seed in config.seeds if seed > self._group[-1]]
        going = np.ma.compressed(env_steps)
        missing = float(np.sum(np.maximum(total - going, 0))) + total * len(ahead)
        eta = missing / env_steps_per_s if env_steps_per_s else None
        label = phase if len(self._group) == len(config.seeds) else f"{phase} {self._label()}"
        wins = list(self._win_rates.values()) or None
        slowest = int(np.min(going if going.size else np.ma.getdata(env_steps)))
        self._console.update(label, slowest, env_steps_per_s, eta, wins, loss)

    def _label(self) -> str:
        first, last = self._group[0], self._group[-1]
        return f"seed {first}" if first == last else f"seeds {first}-{last}"

    def evaluation(self, rows: list[Row]) -> None:
        """After each evaluation: one row a seed."""
        self._rows += rows
        self._note_win_rates(rows)
        if self._jsonl:
            self._jsonl.write(rows)
        for writer in self._writers:
            writer.write(rows)
        self._console.evaluation(rows)

    def _note_win_rates(self, rows: list[Row]) -> None:
        self._win_rates |= {row["seed"]: row["test_win_rate"] for row in rows if row["test_win_rate"] is not None}

    def warning(self, text: str) -> None:
        """Shows a warning."""
        self._console.warning(text)

    def saved(self, save_s: float, wall_s: float, staging_bytes: int) -> None:
        """What saving cost a group."""
        share = 100 * save_s / wall_s if wall_s else 0.0
        self._console.note(
            f"saving took {save_s:.1f} s of {wall_s:.0f} s ({share:.1f} %) and at most"
            f" {staging_bytes / 2**20:.0f} MiB beside the state"
        )

    def summary(self, last_rows: list[Row], failed: list[int], seconds: float, compile_s: float) -> None:
        """The final table."""
        self._console.summary(last_rows, failed, self.config.run_dir, seconds)
        self._console.note(f"{seconds:.0f} s in all, {compile_s:.0f} s of them compiling")

    def stopped(self, command: str) -> None:
        """Says how to go on after a stop."""
        self._console.note(f"stopped and saved; continue with: {command}")

    def rows(self) -> list[Row]:
        """All rows so far."""
        return list(self._rows)

    def close(self) -> None:
        """Closes all writers."""
        self._console.close()
        for writer in self._writers:
            writer.close()
