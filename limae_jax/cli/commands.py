"""The commands of the command line.

Each command checks its input before it imports jax, so that mistakes are answered at once.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from limae_jax.checks import one_line, printable, user_path
from limae_jax.config import TrainConfig
from limae_jax.errors import InputError


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
    from limae_jax.devices.backend import import_jax

    jax = import_jax()
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
    from limae_jax.config.compose import load_config

    config = load_config(args.overrides)
    _check_hosts(args, config.env.is_played_by_host)
    _check_installed(config)
    _check_run(config, args)
    _join_hosts(args)

    from limae_jax.analysis.render import film_best
    from limae_jax.training.runner import train

    return train(config, console=True, film=film_best).exit_code


def _check_run(config: TrainConfig, args: argparse.Namespace) -> None:
    """Checks what a directory holds already; with several hosts the first one may be writing while another looks."""
    from limae_jax.metrics.jsonl import read_rows
    from limae_jax.runs.records import check_alone, check_saved, read_versions
    from limae_jax.runs.stored import check_run_dir

    if args.coordinator is not None:
        return
    run_dir = Path(config.run_dir)
    check_run_dir(config)
    check_alone(run_dir)
    check_saved(run_dir, config.seeds)
    read_versions(run_dir)
    read_rows(run_dir / "metrics.jsonl")


def _resume(args: argparse.Namespace) -> int:
    from limae_jax.config.changes import check_continuation, check_stays
    from limae_jax.config.compose import override_config
    from limae_jax.runs.stored import read_run

    stored = read_run(args.run_dir)
    _check_hosts(args, stored.env.is_played_by_host)
    check_stays(args.overrides)
    config = override_config(stored, args.overrides)
    check_continuation(stored, config, args.run_dir)
    _check_installed(config)
    _check_run(replace(config, run=replace(config.run, dir=str(args.run_dir))), args)
    _join_hosts(args)

    from limae_jax.analysis.render import film_best
    from limae_jax.training.runner import resume

    return resume(args.run_dir, args.overrides, console=True, film=film_best).exit_code


def _sweep(args: argparse.Namespace) -> int:
    from limae_jax.sweeps.grid import load_sweep

    sweep = load_sweep(args.overrides)
    # What is missing here need not be on the machines of a cluster.
    if not args.dry_run and sweep.settings.cluster != "slurm":
        for cell in sweep.cells:
            _check_installed(cell.config)

    from limae_jax.analysis.render import film_best
    from limae_jax.devices.backend import import_jax

    import_jax()  # what jax refuses is told in one line
    from limae_jax.sweeps.sweep import run_sweep, show_plan

    if args.dry_run:
        show_plan(sweep)
        return 0
    return run_sweep(sweep, console=True, film=film_best).exit_code


def _evaluate(args: argparse.Namespace) -> int:
    from limae_jax.checks import check_one_of
    from limae_jax.environments import check_env
    from limae_jax.runs.evaluation import plan_evaluation
    from limae_jax.runs.stored import expand_sweeps

    check_one_of("--checkpoint", args.checkpoint, ("last", "best"))
    words = [*args.run_dirs, *args.overrides]
    overrides = [word for word in words if "=" in word and not os.path.isdir(os.path.expanduser(word))]
    run_dirs = expand_sweeps(Path(word) for word in words if word not in overrides)
    if not run_dirs:
        raise InputError("the following arguments are required: RUN_DIR; see limae-jax evaluate --help")
    envs = [plan_evaluation(run_dir, overrides)[1].env for run_dir in run_dirs]
    in_smac = [run_dir for run_dir, env in zip(run_dirs, envs, strict=True) if env.name == "smac"]
    if args.replays and in_smac != run_dirs:
        raise InputError("--replays: only games of StarCraft II have them; choose env=smac")
    for env in envs:
        check_env(env)
    _evaluate_compiled([run_dir for run_dir in run_dirs if run_dir not in in_smac], overrides, args.checkpoint)
    _evaluate_in_smac(in_smac, overrides, args.checkpoint, args.replays)
    return 0


def _report(args: argparse.Namespace) -> int:
    from limae_jax.runs.stored import expand_sweeps

    try:
        from limae_jax.analysis.report import PAGE, write_report
    except ModuleNotFoundError as error:
        raise InputError(f"report: needs the package {error.name}; pip install {error.name}") from None

    out = Path(user_path("--out", args.out))
    study = write_report(expand_sweeps(args.run_dirs), out)
    for note in study.notes:
        print(printable(f"note: {note}"))
    print(printable(f"{len(study.methods)} method(s) on {len(study.maps)} map(s): open {out / PAGE}"))
    return 0


def _render(args: argparse.Namespace) -> int:
    from limae_jax.analysis.render import render_run
    from limae_jax.metrics.status import Status

    with Status() as status:
        gif, sheet = render_run(
            args.run_dir, args.out, args.seed, args.checkpoint, args.agent, args.battle, status.update
        )
    print(f"{printable(str(gif))}\n{printable(str(sheet))}")
    return 0


def _export(args: argparse.Namespace) -> int:
    from limae_jax.checks import check, check_one_of, check_out
    from limae_jax.runs.stored import read_run

    check_one_of("--checkpoint", args.checkpoint, ("last", "best"))
    seeds = read_run(args.run_dir).seeds
    check(args.seed in (None, *seeds), "--seed", args.seed, f"the run has seeds {seeds[0]} to {seeds[-1]}")
    check_out(args.out, ".safetensors")

    from limae_jax.evaluation.policy import export_policy

    print(printable(str(export_policy(args.run_dir, args.out, args.seed, args.checkpoint))))
    return 0


def _prune(args: argparse.Namespace) -> int:
    from limae_jax.runs.stored import expand_sweeps, read_run

    run_dirs = expand_sweeps(args.run_dirs)
    for run_dir in run_dirs:
        read_run(run_dir)

    from limae_jax.devices.backend import import_jax

    import_jax()
    from limae_jax.sweeps.prune import prune_runs

    verb = "would free" if args.dry_run else "freed"
    outcomes = list(prune_runs(run_dirs, args.dry_run))
    if all(outcome.reason for outcome in outcomes):
        more = f"; nor can the other {len(outcomes) - 1} be pruned" if len(outcomes) > 1 else ""
        raise InputError(f"RUN_DIR={outcomes[0].place}: {outcomes[0].reason}{more}")
    for one in outcomes:
        what = f"{verb} {one.freed / 1e6:.1f} MB, {one.left / 1e6:.1f} MB stay"
        print(one_line(f"{one.place}: {f'left as it is: {one.reason}' if one.reason else what}"))
    return 0


def _evaluate_compiled(run_dirs: Sequence[Path], overrides: Sequence[str], checkpoint: str) -> None:
    from limae_jax.metrics.status import Status

    for run_dir in run_dirs:
        with Status() as status:
            status.update("loading jax")
            from limae_jax.cli.listing import print_evaluation
            from limae_jax.evaluation.evaluate import evaluate_run

            rows = evaluate_run(run_dir, overrides, checkpoint, status)
        print_evaluation(rows)


def _evaluate_in_smac(run_dirs: Sequence[Path], overrides: Sequence[str], checkpoint: str, replays: bool) -> None:
    if not run_dirs:
        return
    from limae_jax.cli.listing import smac_evaluations
    from limae_jax.evaluation.starcraft2 import evaluate_in_smac

    with smac_evaluations() as (on_status, show):
        for report in evaluate_in_smac(run_dirs, overrides, checkpoint, replays, on_status):
            show(report)


def _list(args: argparse.Namespace) -> int:
    from limae_jax.cli.listing import LISTINGS, list_things
    from limae_jax.registry import check_name

    list_things(check_name("list", args.what, LISTINGS))
    return 0


def _config(args: argparse.Namespace) -> int:
    from limae_jax.config.compose import load_config
    from limae_jax.config.text import to_yaml

    config = load_config(args.overrides)
    if args.explain:
        from limae_jax.cli.explain import print_settings

        print_settings(config)
    else:
        print(to_yaml(config), end="")
    return 0


def _doctor(args: argparse.Namespace) -> int:
    from limae_jax.checks import check_one_of
    from limae_jax.cli.doctor import examine, examine_smac
    from limae_jax.cli.listing import print_finding

    if args.what is not None:
        check_one_of("doctor", args.what, ("smac",))
    is_fine = True
    for finding in examine() if args.what is None else examine_smac():
        print_finding(finding)
        is_fine &= finding.is_fine
    return 0 if is_fine else 2


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "train": _train,
    "resume": _resume,
    "sweep": _sweep,
    "evaluate": _evaluate,
    "report": _report,
    "render": _render,
    "export": _export,
    "prune": _prune,
    "list": _list,
    "config": _config,
    "doctor": _doctor,
}
