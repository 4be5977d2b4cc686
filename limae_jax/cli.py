"""The command line. Everything about input is checked before jax is imported, so that mistakes are answered at once."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from limae_jax.checks import one_line, printable, shorten
from limae_jax.cli_arguments import parse
from limae_jax.errors import GameError, InputError

if TYPE_CHECKING:
    from limae_jax.config import TrainConfig


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


def _check_installed(config: TrainConfig) -> None:
    from limae_jax.environments import check_env
    from limae_jax.metrics.writers import check_extras

    check_env(config.env)
    check_extras(config.metrics)


def _train(args: argparse.Namespace) -> int:
    from limae_jax.compose import load_config
    from limae_jax.config_file import check_run_dir

    config = load_config(args.overrides)
    _check_hosts(args, config.env.is_played_by_host)
    _check_installed(config)
    if args.coordinator is None:
        check_run_dir(config)
    _join_hosts(args)

    from limae_jax.training.runner import train

    return train(config, console=True).exit_code


def _resume(args: argparse.Namespace) -> int:
    from limae_jax.compose import override_config
    from limae_jax.config_file import check_continuation, check_stays, read_run

    stored = read_run(args.run_dir)
    _check_hosts(args, stored.env.is_played_by_host)
    check_stays(args.overrides)
    check_continuation(stored, override_config(stored, args.overrides), args.run_dir)
    _check_installed(stored)
    _join_hosts(args)

    from limae_jax.training.runner import resume

    return resume(args.run_dir, args.overrides, console=True).exit_code


def _sweep(args: argparse.Namespace) -> int:
    from limae_jax.grid import load_sweep

    sweep = load_sweep(args.overrides)
    # What is missing here need not be on the machines of a cluster.
    if not args.dry_run and sweep.settings.cluster != "slurm":
        for cell in sweep.cells:
            _check_installed(cell.config)

    from limae_jax.training.sweep import run_sweep, show_plan

    if args.dry_run:
        show_plan(sweep)
        return 0
    return run_sweep(sweep, console=True).exit_code


def _evaluate(args: argparse.Namespace) -> int:
    from limae_jax.checks import check_one_of
    from limae_jax.compose import plan_evaluation
    from limae_jax.config_file import expand_sweeps
    from limae_jax.environments import check_env

    check_one_of("--checkpoint", args.checkpoint, ("latest", "best"))
    words = [*args.run_dirs, *args.overrides]
    overrides = [word for word in words if "=" in word and not os.path.isdir(word)]
    run_dirs = expand_sweeps(Path(word) for word in words if word not in overrides)
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
    from limae_jax.config_file import expand_sweeps

    try:
        from limae_jax.analysis.report import PAGE, write_report
    except ModuleNotFoundError as error:
        raise InputError(f"report: needs the package {error.name}; pip install {error.name}") from None

    study = write_report(expand_sweeps(args.run_dirs), args.out)
    for note in study.notes:
        print(f"note: {printable(note)}")
    print(f"{len(study.methods)} method(s) on {len(study.maps)} map(s): open {printable(str(args.out / PAGE))}")
    return 0


def _render(args: argparse.Namespace) -> int:
    from limae_jax.analysis.render import render_run

    gif, sheet = render_run(args.run_dir, args.out, args.seed, args.checkpoint, args.agent, args.battle)
    print(f"{printable(str(gif))}\n{printable(str(sheet))}")
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


# Commands that go on from what they saved.
_CONTINUED = ("train", "resume", "sweep")

_LONGEST_MESSAGE = 300


def _system_error(error: OSError, command: str) -> str:
    """What the system refused, and what to do."""
    where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
    fix = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "see to that"
    saved = ", which goes on from what is saved" if command in _CONTINUED else ""
    return f"{where}{error.strerror or error}; {fix}, then give the same command again{saved}"


def _print_error(message: str) -> None:
    """One line of at most _LONGEST_MESSAGE characters, whatever names and values the message quotes."""
    line = shorten(f"limae-jax: error: {one_line(message)}", _LONGEST_MESSAGE)
    print(line, file=sys.stderr)


def _drop_output() -> None:
    """Python would complain once more when it closes a stream that cannot be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: arguments without the program's name; None takes the process's.

    Returns:
        Exit code: 0 fine, 1 a seed, a game or the disk failed, or the output was cut off, 2 a mistake in the input,
        128 + n stopped by signal n.
    """
    command = ""
    try:
        args = parse(argv)
        command = args.command
        code = _COMMANDS[command](args)
        sys.stdout.flush()
        return code
    except InputError as error:
        _print_error(str(error))
        return 2
    except GameError as error:
        _print_error(str(error))
        return 1
    except KeyboardInterrupt:
        print("limae-jax: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        _drop_output()  # the reader has gone
        return 1
    except OSError as error:
        _print_error(_system_error(error, command))
        try:
            sys.stdout.flush()
        except OSError:
            _drop_output()
        return 1
