"""Reports of a run: metrics.jsonl, the other metrics writers, and the console."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from limae_jax.catalogue.systems import label
from limae_jax.checkpoints.files import bytes_below
from limae_jax.checks import show
from limae_jax.config import TrainConfig
from limae_jax.errors import InputError
from limae_jax.metrics.console import RunConsole, Standing
from limae_jax.metrics.jsonl import JsonlWriter, read_rows
from limae_jax.metrics.schema import Row
from limae_jax.metrics.waiting import Compiling, TimeLeft
from limae_jax.metrics.wandb import read_id
from limae_jax.metrics.writers import Writers
from limae_jax.runs.records import CHECKPOINTS
from limae_jax.runs.stored import format_of, read_run

# Renders a battle: (run directory, seed whose best parameters play) -> path of a GIF.
Film = Callable[[Path, int], Path]


class RunReport:
    """Reports a run to files and the console. Only the first process writes files, and only after `open`.

    Attributes:
        config: settings of the run.
    """

    def __init__(self, config: TrainConfig, console: RunConsole):
        self.config = config
        self._is_first = jax.process_index() == 0
        self._path = Path(config.run_dir) / "metrics.jsonl"
        self._jsonl: JsonlWriter | None = None
        self._writers = Writers(config, console.warning)
        if config.metrics.wandb:
            read_id(self._path.parent)  # raises before anything is written if the id is damaged
        self._console = console
        self._win_rates: dict[int, float] = {}
        self._group: list[int] = []
        self._has_trained = False
        self._rows: list[Row] = read_rows(self._path)
        self._note_win_rates(self._rows)

    def start(self, memory: str, num_groups: int, num_devices: int) -> None:
        """Shows what is about to run."""
        config = self.config
        seeds = f"seed {config.seeds[0]}" if len(config.seeds) == 1 else f"seeds {config.seeds[0]}-{config.seeds[-1]}"
        order = f", {num_groups} groups one after the other" if num_groups > 1 else ""
        kind = jax.devices()[0].device_kind
        where = f"{num_devices} x {kind}" if num_devices > 1 else kind
        self._console.start(
            [
                f"{label(config.system.name)} on {config.env.scenario} ({config.env.name}), {seeds}{order}, on {where}",
                memory,
                f"run directory {config.run_dir}",
            ]
        )

    def open(self) -> None:
        """Opens metrics.jsonl for writing."""
        if self._is_first:
            self._jsonl = JsonlWriter(self._path)

    def was_saved(self, seeds: list[int]) -> bool:
        """Whether the metrics show that these seeds were saved: the run continued after a save was due.

        Only for runs of format 1, which did not record saves and could not change `checkpoint.every_s`.
        """
        run_dir = self._path.parent
        if format_of(run_dir) != 1:
            return False
        seconds = sorted({row["wall_s"] for row in self._rows if row["seed"] in seeds})
        return len(seconds) > 1 and seconds[-2] > read_run(run_dir).checkpoint.every_s

    def check_metrics(self) -> None:
        """Checks that a continued run still has its metrics file.

        Raises:
            InputError: the file is missing.
        """
        if not self._path.exists():
            fix = "put the file back from a copy, or create an empty one to continue without its rows"
            raise InputError(f"metrics={self._path}: is missing; {fix}")

    def continue_from(self, seeds: list[int], iteration: int, evaluations: int | None = None) -> None:
        """Cuts the metrics of these seeds back to where they continue, so that no row is lost or doubled.

        Args:
            seeds: seeds of the group in this run.
            iteration: the clock at which they continue.
            evaluations: number of evaluations of each seed until then; None if unknown.
        """
        self._group = seeds
        kept = [row for row in self._rows if row["seed"] not in seeds or row["iteration"] <= iteration]
        is_cut = len(kept) < len(self._rows)
        if self._jsonl and is_cut:
            self._jsonl.rewrite(kept)
        if self._jsonl and (is_cut or not self._writers.is_open):
            self._writers.go_on_from(kept)
        self._rows = kept
        for seed in seeds:
            missing = (evaluations or 0) - len([row for row in kept if row["seed"] == seed])
            if missing > 0:
                self.warning(f"{self._path}: {missing} row(s) of seed {seed} are missing; continuing without them")
        self._win_rates = {}
        self._note_win_rates(kept)

    def progress(
        self, phase: str, env_steps: np.ndarray, env_steps_per_s: float, loss: float | None, left: TimeLeft | None
    ) -> None:
        """Shows the progress after a chunk; `env_steps` [S] of the group's seeds, masked where they failed."""
        config = self.config
        total = config.run.total_env_steps
        ahead = [seed for seed in config.seeds if seed > self._group[-1]]
        going = np.ma.compressed(env_steps)
        missing = float(np.sum(np.maximum(total - going, 0))) + total * len(ahead)
        label = phase if len(self._group) == len(config.seeds) else f"{phase} {self._label()}"
        wins = list(self._win_rates.values()) or None
        slowest = int(np.min(going if going.size else np.ma.getdata(env_steps)))
        self._console.update(Standing(label, slowest, env_steps_per_s, missing, left, loss), wins)

    def _label(self) -> str:
        first, last = self._group[0], self._group[-1]
        return f"seed {first}" if first == last else f"seeds {first}-{last}"

    def evaluation(self, rows: list[Row]) -> None:
        """Writes and shows the rows of an evaluation, one per seed."""
        self._rows += rows
        self._note_win_rates(rows)
        if self._jsonl:
            self._jsonl.write(rows)
            self._writers.write(rows)
        self._has_trained = True
        self._console.evaluation(rows)

    def _note_win_rates(self, rows: list[Row]) -> None:
        self._win_rates |= {row["seed"]: row["test_win_rate"] for row in rows if row["test_win_rate"] is not None}

    def compiling(self, what: Compiling) -> None:
        """Called before a program is compiled."""
        self._console.compiling(what)

    def compiled(self) -> None:
        """Called after a program was compiled."""
        self._console.compiled()

    def warning(self, text: str) -> None:
        """Shows a warning."""
        self._console.warning(text)

    def saved(self, save_s: float, wall_s: float, staging_bytes: int) -> None:
        """Shows what saving cost a group."""
        share = 100 * save_s / wall_s if wall_s else 0.0
        self._console.note(
            f"saving took {save_s:.1f} s ({share:.1f} %) and up to {staging_bytes / 2**20:.0f} MiB on top of the state"
        )

    def summary(self, last_rows: list[Row], failed: list[int], seconds: float, compile_s: float) -> None:
        """Shows the final table."""
        self._console.summary(last_rows, failed, self.config.run_dir, seconds, compile_s)

    def kept(self) -> None:
        """Shows what a finished run keeps on disk."""
        folder = Path(self.config.run_dir) / CHECKPOINTS
        has_rows = any(folder.glob("*/*/rows_*"))
        replay = "with the replay, which `limae-jax prune` drops" if has_rows else "without the replay"
        self._console.note(f"checkpoints: {bytes_below(folder) / 1e6:.1f} MB on disk, {replay}")

    def add_video(self, film: Film) -> None:
        """Logs a battle of the run's best seed, if anything new was trained."""
        if not (self._is_first and self._has_trained and self.config.metrics.wandb_video):
            return
        best = max(self._rows, key=lambda row: (row["test_win_rate"] or 0.0, row["test_return_mean"] or -np.inf))
        try:
            path = film(Path(self.config.run_dir), best["seed"])
        except Exception as error:  # a failed video must not fail a trained run
            self.warning(f"metrics.wandb_video: cannot render a battle ({type(error).__name__}: {show(error)})")
        else:
            self._writers.add_video(max(row["env_steps"] for row in self._rows), path)

    def stopped(self, command: str) -> None:
        """Shows how to continue after a stop."""
        self._console.note(f"stopped and saved; continue with: {command}")

    def rows(self) -> list[Row]:
        """Returns all rows so far."""
        return list(self._rows)

    def close(self) -> None:
        """Closes the console and all writers."""
        self._console.close()
        self._writers.close()
