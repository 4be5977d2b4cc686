"""`limae-jax render`: draws a greedy battle of a trained team as a GIF. Arguments are checked before jax starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from limae_jax.catalogue.scenarios import smax_sizes
from limae_jax.catalogue.systems import label
from limae_jax.checks import MAX_INT, check, check_one_of, check_out, user_path
from limae_jax.config import SmaxConfig
from limae_jax.devices.backend import import_jax
from limae_jax.errors import InputError
from limae_jax.runs.stored import read_run


def render_run(
    run_dir: Path,
    out: Path | None = None,
    seed: int | None = None,
    checkpoint: str = "last",
    agent: int = 0,
    number: int = 0,
    on_status: Callable[[str], None] = lambda text: None,
) -> tuple[Path, Path]:
    """Writes the animation of a battle, and beside it a sheet of some frames.

    Args:
        run_dir: of a run on SMAX.
        out: the GIF; None for RUN_DIR/battle.gif. The sheet has the same name, ending in .png.
        seed: of the team; None for the run's first.
        checkpoint: "last" or "best".
        agent: whose sight and, if it has any, beliefs are shown.
        number: of the battle; each starts differently.
        on_status: called with status lines.

    Returns:
        The paths of both files.

    Raises:
        InputError: the run is not on SMAX, there is no such seed or agent, or the files cannot be written.
    """
    check_one_of("--checkpoint", checkpoint, ("last", "best"))
    config = read_run(run_dir)
    if not isinstance(config.env, SmaxConfig):
        raise InputError(f"env.name={config.env.name}: render shows battles of smax only; RUN_DIR={run_dir} has none")
    seed = config.seeds[0] if seed is None else seed
    check(seed in config.seeds, "--seed", seed, f"the run has seeds {config.seeds[0]} to {config.seeds[-1]}")
    agents = smax_sizes(config.env).num_agents
    check(0 <= agent < agents, "--agent", agent, f"choose one of 0 to {agents - 1}")
    check(0 <= number <= MAX_INT, "--battle", number, f"must be a number from 0 to {MAX_INT}")
    run_dir = Path(user_path("RUN_DIR", run_dir))
    gif = check_out(out or run_dir / "battle.gif", ".gif")

    on_status("loading jax")
    import_jax()
    from limae_jax.analysis.battle import play_stored
    from limae_jax.analysis.frames import draw_battle, save_animation, save_sheet
    from limae_jax.training.setup import configure_jax

    configure_jax(config)
    battle = play_stored(config, run_dir, seed, checkpoint, agent, number, on_status)
    method = label(config.system.name, *filter(None, [config.rule]))
    title = f"{method} on {config.env.scenario}, seed {seed}, {checkpoint} checkpoint, battle {number}"
    on_status("drawing the pictures")
    film = draw_battle(battle, agent, title)
    sheet = gif.with_suffix(".png")
    try:
        on_status(f"writing {gif}")
        save_animation(film, gif)
        save_sheet(film, sheet)
    except OSError as error:
        raise InputError(f"--out={gif}: cannot write there ({error.strerror}); choose another file") from None
    return gif, sheet


def film_best(run_dir: Path, seed: int) -> Path:
    """Renders a battle with a seed's best parameters to RUN_DIR/battle.gif; the `film` of `limae_jax.train`."""
    return render_run(run_dir, seed=seed, checkpoint="best")[0]
