"""The command line. Everything about input is checked before jax is imported, so that mistakes are answered at once."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from limae_jax import __version__
from limae_jax.errors import GameError, InputError

_OVERRIDES = """\
overrides choose, or set one value each (later ones win):
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
  limae-jax evaluate runs/quickstart runs/quickstart_qmix env=smac evaluation.num_episodes=32
  limae-jax list scenarios
  limae-jax config system=vdn env.scenario=8m
  limae-jax doctor smac

exit codes: 0 fine, 1 a seed or a game failed, 2 a mistake in the input, 130 or 143 stopped by a signal
"""

_WITHOUT_OVERRIDES = ("list", "report", "render", "doctor")


_SWEEPS = """\
a sweep has a cell for each combination of the values of
  system=qmix,vdn  replay.batch_rows=range(16,65,16)   and of the axes of experiment=study_a_headroom
settings of the sweep, not of its runs:
  sweep.dir=runs/lr  sweep.cluster=slurm  sweep.cluster_options={timeout_min:600,slurm_partition:gpu}
"""
_SWEEP = "sweep system=qmix,li_ma2e env.scenario=3m,8m system.learning_rate=5e-4,1e-3 run.num_seeds=3 sweep.dir=runs/lr"


class _Parser(argparse.ArgumentParser):
    """Reports mistakes as InputError."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")


def _build_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="limae-jax",
        description="Train QMIX, LI-MA2E and their relatives on SMAX in JAX: many seeds in one compiled program.",
        epilog=f"{_OVERRIDES}\n{_EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"limae-jax {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, title="commands")

    command = _add(commands, "train", "train, or continue the run in its directory", "train experiment=quickstart")
    _add_overrides(command)
    _add_hosts(command)
    command = _add(commands, "resume", "continue a run, longer if you say so", "resume runs/quickstart")
    _add_run_dir(command)
    _add_overrides(command)
    _add_hosts(command)
    command = _add(commands, "sweep", "train a grid of settings, or continue it", _SWEEP, _SWEEPS)
    _add_overrides(command)
    _add_evaluate(commands)
    command = _add(commands, "report", "compare finished runs: tables, pictures, a page", "report runs/* --out report")
    command.add_argument("run_dirs", metavar="RUN_DIR", type=Path, nargs="+", help="directories that `train` made")
    command.add_argument("--out", metavar="DIR", type=Path, required=True, help="where to write the report")
    command = _add(commands, "render", "show a greedy battle of a trained team", "render runs/quickstart --agent 1")
    _add_run_dir(command)
    command.add_argument("--seed", type=int, metavar="N", help="whose team plays (default: the run's first)")
    command.add_argument("--checkpoint", default="latest", metavar="latest|best", help="which one (default: latest)")
    command.add_argument("--agent", type=int, default=0, metavar="I", help="whose beliefs are shown (default: 0)")
    command.add_argument("--out", metavar="FILE", type=Path, help="the GIF to write (default: RUN_DIR/battle.gif)")
    command = _add(commands, "list", "show what there is to choose from", "list scenarios")
    command.add_argument("what", metavar="scenarios|systems|masking|experiments")
    command = _add(commands, "config", "print the settings that a run would have", "config system=vdn env.scenario=8m")
    _add_overrides(command)
    command = _add(commands, "doctor", "check what is installed, and say what to do about what is not", "doctor smac")
    command.add_argument("what", metavar="smac", nargs="?", help="real StarCraft II: checks it and launches a game")
    return parser


def _add(
    commands: argparse._SubParsersAction, name: str, summary: str, example: str, more: str = ""
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"{'' if name in _WITHOUT_OVERRIDES else _OVERRIDES + more + chr(10)}example:\n  limae-jax {example}\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _add_evaluate(commands: argparse._SubParsersAction) -> None:
    command = _add(commands, "evaluate", "play trained teams greedily", "evaluate runs/quickstart --checkpoint best")
    command.add_argument("run_dirs", metavar="RUN_DIR", nargs="+", help="directories that `train` made")
    _add_overrides(command)
    command.add_argument("--checkpoint", default="latest", metavar="latest|best", help="which one (default: latest)")
    command.add_argument("--replays", action="store_true", help="with env=smac: save the games in RUN_DIR/smac/replays")


def _add_run_dir(command: argparse.ArgumentParser) -> None:
    command.add_argument("run_dir", metavar="RUN_DIR", type=Path, help="a directory that `train` made")


def _add_overrides(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "overrides", metavar="KEY=VALUE", nargs="*", default=[], help="choices and settings, see below"
    )


def _add_hosts(command: argparse.ArgumentParser) -> None:
    hosts = command.add_argument_group("several hosts (start the same command on each)")
    hosts.add_argument("--coordinator", metavar="HOST:PORT", help="of process 0; `auto` asks the cluster (SLURM, ...)")
    hosts.add_argument("--num-processes", type=int, metavar="N", help="processes in all")
    hosts.add_argument("--process-id", type=int, metavar="I", help="which one this is, from 0")


def _check_hosts(args: argparse.Namespace, is_played_by_host: bool) -> None:
    if args.coordinator is not None and is_played_by_host:
        raise InputError(f"--coordinator={args.coordinator}: games in processes of their own train on one host only")
    by_hand = (args.num_processes, args.process_id)
    if args.coordinator in (None, "auto"):
        if by_hand != (None, None):
            raise InputError("--num-processes and --process-id: need --coordinator=HOST:PORT")
    elif None in by_hand or not 0 <= args.process_id < args.num_processes:
        raise InputError(
            f"--coordinator={args.coordinator}: needs --num-processes N and --process-id I with 0 <= I < N"
        )


def _join_hosts(args: argparse.Namespace) -> None:
    if args.coordinator is None:
        return
    import jax

    if args.coordinator == "auto":
        jax.distributed.initialize()
    else:
        jax.distributed.initialize(args.coordinator, args.num_processes, args.process_id)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    # argparse gives up on overrides that follow an option; they come back as unknown arguments.
    parser = _build_parser()
    args, others = parser.parse_known_args(argv)
    options = [other for other in others if other.startswith("-") or not hasattr(args, "overrides")]
    if options:
        parser.error(f"unrecognized arguments: {' '.join(options)}")
    if others:
        args.overrides = [*args.overrides, *others]
    return args


def _train(args: argparse.Namespace) -> int:
    from limae_jax.compose import load_config
    from limae_jax.config_file import check_run_dir
    from limae_jax.environments import check_env

    config = load_config(args.overrides)
    _check_hosts(args, config.env.is_played_by_host)
    check_env(config.env)
    if args.coordinator is None:
        check_run_dir(config)
    _join_hosts(args)

    from limae_jax.training.runner import train

    return train(config, console=True).exit_code


def _resume(args: argparse.Namespace) -> int:
    from limae_jax.compose import override_config
    from limae_jax.config_file import check_continuation, read_run
    from limae_jax.environments import check_env

    stored = read_run(args.run_dir)
    _check_hosts(args, stored.env.is_played_by_host)
    check_continuation(stored, override_config(stored, args.overrides), args.run_dir)
    check_env(stored.env)
    _join_hosts(args)

    from limae_jax.training.runner import resume

    return resume(args.run_dir, args.overrides, console=True).exit_code


def _sweep(args: argparse.Namespace) -> int:
    from limae_jax.grid import load_sweep

    sweep = load_sweep(args.overrides)

    from limae_jax.training.sweep import run_sweep

    return run_sweep(sweep, console=True).exit_code


def _evaluate(args: argparse.Namespace) -> int:
    from limae_jax.checks import check_one_of
    from limae_jax.compose import plan_evaluation
    from limae_jax.environments import check_env

    check_one_of("--checkpoint", args.checkpoint, ("latest", "best"))
    words = [*args.run_dirs, *args.overrides]
    overrides = [word for word in words if "=" in word and not Path(word).is_dir()]
    run_dirs = [Path(word) for word in words if word not in overrides]
    if not run_dirs:
        raise InputError("the following arguments are required: RUN_DIR; see limae-jax evaluate --help")
    envs = [plan_evaluation(run_dir, overrides)[1].env for run_dir in run_dirs]
    in_smac = [run_dir for run_dir, env in zip(run_dirs, envs, strict=True) if env.is_played_by_host]
    if args.replays and in_smac != run_dirs:
        raise InputError("--replays: only games of StarCraft II have them; choose env=smac")
    for env in envs:
        check_env(env)
    _evaluate_compiled([run_dir for run_dir in run_dirs if run_dir not in in_smac], overrides, args.checkpoint)
    _evaluate_in_smac(in_smac, overrides, args.checkpoint, args.replays)
    return 0


def _report(args: argparse.Namespace) -> int:
    try:
        from limae_jax.analysis.report import PAGE, write_report
    except ModuleNotFoundError as error:
        raise InputError(f"report: needs the package {error.name}; pip install {error.name}") from None

    study = write_report(args.run_dirs, args.out)
    for note in study.notes:
        print(f"note: {note}")
    print(f"{len(study.methods)} method(s) on {len(study.maps)} map(s): open {args.out / PAGE}")
    return 0


def _render(args: argparse.Namespace) -> int:
    from limae_jax.analysis.render import render_run

    gif, sheet = render_run(args.run_dir, args.out, args.seed, args.checkpoint, args.agent)
    print(f"{gif}\n{sheet}")
    return 0


def _evaluate_compiled(run_dirs: Sequence[Path], overrides: Sequence[str], checkpoint: str) -> None:
    for run_dir in run_dirs:
        from limae_jax.listing import print_evaluation
        from limae_jax.training.evaluate import evaluate_run

        print_evaluation(evaluate_run(run_dir, overrides, checkpoint))


def _evaluate_in_smac(run_dirs: Sequence[Path], overrides: Sequence[str], checkpoint: str, replays: bool) -> None:
    if not run_dirs:
        return
    from limae_jax.listing import smac_evaluations
    from limae_jax.training.smac_evaluation import evaluate_in_smac

    with smac_evaluations() as (say, show):
        for report in evaluate_in_smac(run_dirs, overrides, checkpoint, replays, say):
            show(report)


def _list(args: argparse.Namespace) -> int:
    from limae_jax.listing import LISTINGS, list_things
    from limae_jax.registry import check_name

    list_things(check_name("list", args.what, LISTINGS))
    return 0


def _config(args: argparse.Namespace) -> int:
    from limae_jax.compose import load_config
    from limae_jax.config_file import to_yaml

    print(to_yaml(load_config(args.overrides)), end="")
    return 0


def _doctor(args: argparse.Namespace) -> int:
    from limae_jax.checks import check_one_of
    from limae_jax.doctor import examine, examine_smac

    if args.what is not None:
        check_one_of("doctor", args.what, ("smac",))
    is_fine = True
    for finding in examine() if args.what is None else examine_smac():
        print(f"{'ok' if finding.is_fine else 'MEND':4}  {finding.name:12}  {finding.text}", flush=True)
        is_fine &= finding.is_fine
    return 0 if is_fine else 2


_COMMANDS = {
    "train": _train,
    "resume": _resume,
    "sweep": _sweep,
    "evaluate": _evaluate,
    "report": _report,
    "render": _render,
    "list": _list,
    "config": _config,
    "doctor": _doctor,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: arguments without the program's name; None takes the process's.

    Returns:
        Exit code: 0 fine, 1 a seed or a game failed, or the output was cut off, 2 a mistake in the input, 128 + n
        stopped by signal n.
    """
    try:
        args = _parse(argv)
        code = _COMMANDS[args.command](args)
        sys.stdout.flush()
        return code
    except InputError as error:
        print(f"limae-jax: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except GameError as error:
        print(f"limae-jax: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("limae-jax: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader has gone. Python would complain once more when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
