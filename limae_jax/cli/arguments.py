"""The arguments of the command line, and its help."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from limae_jax.errors import InputError
from limae_jax.version import __version__

_OVERRIDES = """\
each override makes a choice or sets a value (later ones win):
  experiment=quickstart  system=li_ma2e  masking=ema   choices, see `limae-jax list`
  env.scenario=8m  run.num_seeds=3  system.gamma=0.95  settings, see `limae-jax config`
"""
_EXAMPLES = """\
examples:
  limae-jax train experiment=quickstart
  limae-jax train system=qmix env.scenario=3s_vs_4z run.num_seeds=3 run.total_env_steps=1e6
  limae-jax resume runs/quickstart run.total_env_steps=400000
  limae-jax sweep system=qmix,li_ma2e env.scenario=3m,8m run.num_seeds=3
  limae-jax evaluate runs/quickstart --checkpoint best
  limae-jax report runs/qmix_3m runs/li_ma2e_3m --out report
  limae-jax render runs/quickstart
  limae-jax export runs/quickstart --checkpoint best --out team.safetensors
  limae-jax prune runs/* --dry-run
  limae-jax evaluate runs/quickstart runs/quickstart_qmix env=smac evaluation.num_episodes=32
  limae-jax list scenarios
  limae-jax config system=vdn env.scenario=8m
  limae-jax doctor smac

exit codes: 0 fine, 1 a seed, a game or the disk failed, 2 a mistake in the input, 3 another process trains some runs of
a sweep, 130 or 143 stopped by a signal
"""

_WITHOUT_OVERRIDES = ("list", "report", "render", "export", "prune", "doctor")


_SWEEPS = """\
a sweep has a cell for each combination of the values of
  system=qmix,vdn  replay.batch_rows=range(16,65,16)   and of the axes of experiment=study_a_headroom
settings of the sweep, not of its runs:
  sweep.dir=runs/lr  sweep.cluster=slurm  sweep.cluster_options={timeout_min:600,slurm_partition:gpu}
"""
_SWEEP = "sweep system=qmix,li_ma2e env.scenario=3m,8m system.learning_rate=5e-4,1e-3 run.num_seeds=3 sweep.dir=runs/lr"


class _Parser(argparse.ArgumentParser):
    """Raises usage errors as InputError."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")


def _build_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="limae-jax",
        description="Train QMIX, LI-MA2E and related systems on SMAX in JAX: many seeds in one compiled program.",
        epilog=f"{_OVERRIDES}\n{_EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"limae-jax {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, title="commands")

    command = _add(commands, "train", "start a run, or continue it in its directory", "train experiment=quickstart")
    _add_overrides(command)
    _add_hosts(command)
    command = _add(commands, "resume", "continue a run, or extend it", "resume runs/quickstart")
    _add_run_dir(command)
    _add_overrides(command)
    _add_hosts(command)
    command = _add(commands, "sweep", "train a grid of settings, or continue it", _SWEEP, _SWEEPS)
    command.add_argument("--dry-run", action="store_true", help="show the runs and their progress; train nothing")
    _add_overrides(command)
    _add_evaluate(commands)
    command = _add(commands, "report", "compare finished runs in tables and figures", "report runs/* --out report")
    command.add_argument("run_dirs", metavar="RUN_DIR", type=Path, nargs="+", help="made by `train` or `sweep`")
    command.add_argument("--out", metavar="DIR", type=Path, required=True, help="where to write the report")
    command = _add(commands, "render", "render a greedy battle of a trained team", "render runs/quickstart --agent 1")
    _add_run_dir(command)
    _add_team(command)
    command.add_argument("--agent", type=int, default=0, metavar="I", help="agent whose beliefs are shown (default: 0)")
    command.add_argument("--battle", type=int, default=0, metavar="N", help="number of the battle, from 0 (default: 0)")
    command.add_argument("--out", metavar="FILE", type=Path, help="the GIF to write (default: RUN_DIR/battle.gif)")
    _add_export_and_prune(commands)
    command = _add(commands, "list", "list the available choices", "list scenarios")
    command.add_argument("what", metavar="scenarios|systems|masking|experiments")
    command = _add(commands, "config", "print the settings that a run would have", "config system=vdn env.scenario=8m")
    command.add_argument("--explain", action="store_true", help="explain each setting instead of printing YAML")
    _add_overrides(command)
    command = _add(commands, "doctor", "check the installation, and say how to fix it", "doctor smac")
    command.add_argument("what", metavar="smac", nargs="?", help="check real StarCraft II and launch a game")
    return parser


def _add(
    commands: argparse._SubParsersAction, name: str, summary: str, example: str, more: str = ""
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"{'' if name in _WITHOUT_OVERRIDES else _OVERRIDES + more + chr(10)}example:\n  limae-jax {example}\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    text = "import this module with your own parts first; can be repeated"
    command.add_argument("--plugin", metavar="MODULE", action="append", default=[], help=text)
    return command


def _add_evaluate(commands: argparse._SubParsersAction) -> None:
    command = _add(commands, "evaluate", "play trained teams greedily", "evaluate runs/quickstart --checkpoint best")
    command.add_argument("run_dirs", metavar="RUN_DIR", nargs="+", help="made by `train` or `sweep`")
    _add_overrides(command)
    command.add_argument("--checkpoint", default="last", metavar="last|best", help="checkpoint to use (default: last)")
    command.add_argument("--replays", action="store_true", help="with env=smac: save the games in RUN_DIR/smac/replays")


def _add_export_and_prune(commands: argparse._SubParsersAction) -> None:
    example = "export runs/quickstart --checkpoint best --out team.safetensors"
    command = _add(commands, "export", "write a trained team's parameters as safetensors", example)
    _add_run_dir(command)
    _add_team(command)
    command.add_argument("--out", metavar="FILE", type=Path, required=True, help="file to write, *.safetensors")
    summary = "delete the replay and older checkpoints of finished runs, which can still be evaluated and extended"
    command = _add(commands, "prune", summary, "prune runs/* --dry-run")
    command.add_argument("run_dirs", metavar="RUN_DIR", type=Path, nargs="+", help="made by `train` or `sweep`")
    command.add_argument("--dry-run", action="store_true", help="show what would be freed; change nothing")


def _add_team(command: argparse.ArgumentParser) -> None:
    command.add_argument("--seed", type=int, metavar="N", help="seed of the team (default: the run's first seed)")
    command.add_argument("--checkpoint", default="last", metavar="last|best", help="checkpoint to use (default: last)")


def _add_run_dir(command: argparse.ArgumentParser) -> None:
    command.add_argument("run_dir", metavar="RUN_DIR", type=Path, help="a directory that `train` made")


def _add_overrides(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "overrides", metavar="KEY=VALUE", nargs="*", default=[], help="choices and settings, see below"
    )


def _add_hosts(command: argparse.ArgumentParser) -> None:
    hosts = command.add_argument_group("several hosts (start the same command on each)")
    hosts.add_argument("--coordinator", metavar="HOST:PORT", help="of process 0; `auto` asks the cluster (SLURM, ...)")
    hosts.add_argument("--num-processes", type=int, metavar="N", help="number of processes")
    hosts.add_argument("--process-id", type=int, metavar="I", help="index of this process, from 0")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parses the command line; None takes `sys.argv`.

    Raises:
        InputError: the arguments are invalid.
    """
    # argparse returns overrides after an option as unknown arguments.
    parser = _build_parser()
    args, others = parser.parse_known_args(argv)
    options = [other for other in others if other.startswith("-") or not hasattr(args, "overrides")]
    if options:
        parser.error(f"unrecognized arguments: {' '.join(options)}")
    if others:
        args.overrides = [*args.overrides, *others]
    return args
