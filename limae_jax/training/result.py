"""The result of a run, as `limae_jax.train` returns it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limae_jax.catalogue.systems import label
from limae_jax.config import TrainConfig

EXIT_SEED_FAILED = 1


@dataclass(frozen=True, repr=False)
class TrainResult:
    """The result of a run.

    Attributes:
        run_dir: directory of the run.
        config: settings of the run.
        rows: every row of metrics.jsonl, in order.
        failed_seeds: seeds whose loss was not finite.
        is_complete: whether every other seed has played all its environment steps.
        exit_code: 0 if complete without failures, 1 with failed seeds, 128 + signal if it was stopped.
    """

    run_dir: Path
    config: TrainConfig
    rows: list[dict[str, Any]]
    failed_seeds: list[int]
    is_complete: bool
    exit_code: int

    @property
    def last_rows(self) -> list[dict[str, Any]]:
        """The last row of each seed."""
        return list({row["seed"]: row for row in self.rows}.values())

    def __repr__(self) -> str:
        """Three lines: the team, its score, the state and the directory of the run."""
        config, last = self.config, self.last_rows
        seeds = (
            f"seed {config.seeds[0]}" if config.run.num_seeds == 1 else f"seeds {config.seeds[0]}-{config.seeds[-1]}"
        )
        wins = [row["test_win_rate"] for row in last if row["test_win_rate"] is not None]
        name, scores = ("win rate", wins) if wins else ("return", [row["test_return_mean"] for row in last])
        # For many seeds the range.
        shown = " ".join(f"{x:.2f}" for x in scores) if len(scores) <= 8 else f"{min(scores):.2f} to {max(scores):.2f}"
        state = "complete" if self.is_complete else f"stopped, continue with limae-jax resume {self.run_dir}"
        failed = f"; failed seeds: {' '.join(map(str, self.failed_seeds))}" if self.failed_seeds else ""
        return (
            f"{label(config.system.name)} on {config.env.scenario} ({config.env.name}), {seeds}\n"
            f"{name} {shown or '-'} after {max((row['env_steps'] for row in last), default=0):,} env steps\n"
            f"{state}{failed}; in {self.run_dir}"
        )
