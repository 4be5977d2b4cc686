"""Battles as pictures: what is read from the game and from reconstructions, and what is drawn."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from doubles.fakes import noise_like, with_some_scale
from doubles.tiny import TINY
from PIL import Image

from limae_jax.analysis import battle as battle_module
from limae_jax.analysis.battle import Battle, DrawnBeliefs, read_beliefs, shots_of
from limae_jax.analysis.field import unit_name, view_of
from limae_jax.analysis.frames import MAX_GIF_BYTES, Film, draw_battle, save_animation, save_sheet, sheet_steps
from limae_jax.checkpoints.params import save_params
from limae_jax.cli.main import main
from limae_jax.config import SmaxConfig
from limae_jax.config.compose import load_config
from limae_jax.config.text import to_yaml
from limae_jax.environments import make_env
from limae_jax.networks.mae import other_agents
from limae_jax.networks.windows import make_tokens
from limae_jax.runs.directory import group_directory
from limae_jax.systems.build import build_system
from limae_jax.systems.guesses import make_guesses

pytestmark = pytest.mark.slow

GREEN, ORANGE, BLUE = (0, 158, 115), (213, 94, 0), (0, 114, 178)
FIELD = (slice(34, None), slice(0, 715))  # pixels of a step's picture below its line, left of the chart


def made_up(beliefs: DrawnBeliefs | None = None) -> Battle:
    """Two allies against one enemy, two steps; ally 1 falls in the second."""
    position = np.array([[[2, 2], [2, 6], [10, 4]], [[4, 2], [2, 6], [9, 4]], [[5, 2], [2, 6], [8, 4]]], float)
    health = np.array([[1, 1, 1], [1, 0.5, 1], [1, 0, 0.25]])
    target = np.array([[-1, -1, -1], [-1, -1, 1], [2, -1, 1]])
    return Battle(np.array([0, 0, 3]), 2, position, health, target, np.array([9.0, 9.0]), "time limit", beliefs)


def pixels(picture: Image.Image, colour: tuple[int, int, int]) -> int:
    """How many pixels of a step's field have a colour."""
    return int(np.all(np.asarray(picture)[FIELD] == np.array(colour), axis=-1).sum())


def test_shots_are_told_by_weapons_that_were_loaded_anew():
    step_s = 0.5
    # Allies 0, 1, 2 then enemies 3, 4. Action 5 is the allies' attack on enemy 0, the enemies' on the last ally.
    actions = np.array([5, 6, 0, 5, 7])
    before = np.array([-0.2, 0.4, -3.0, -0.1, 0.3])
    after = np.array([0.4, -0.1, 0.2, 0.5, -0.2])
    # Ally 1 and enemy 4 were told to shoot, but their weapons only counted down; ally 2 was told to move.
    assert shots_of(actions, before, after, num_allies=3, step_s=step_s).tolist() == [3, -1, -1, 2, -1]
    assert shots_of(actions, before - 1.0, after, num_allies=3, step_s=step_s).tolist() == [3, 4, -1, 2, 0]


def test_beliefs_are_read_from_their_features():
    guesses = np.zeros((1, 2, 8))
    guesses[0, 0, 4:7] = [0.5, 0.25, 0.75]
    guesses[0, 1, 4:7] = [1.5, -0.5, 1.0]
    config = SmaxConfig(map_width=40, map_height=20)
    beliefs = read_beliefs(guesses, np.array([0, 2]), (4, 5, 6), config)
    assert beliefs.health.tolist() == [[0.5, 1.0]]
    # What is believed to be off the map is drawn on its edge.
    assert beliefs.position.tolist() == [[[10, 15], [0, 20]]]
    assert read_beliefs(guesses, np.array([0, 2]), (4,), config).position is None


def beliefs_at(*places: tuple[float, float]) -> DrawnBeliefs:
    """Of ally 1, at each step."""
    return DrawnBeliefs(np.array([1]), np.full((len(places), 1), 0.8), np.array(places, float)[:, None])


def test_pictures_show_shots_and_beliefs_where_there_are_any():
    film, plain = (draw_battle(made_up(some), 0, "title") for some in (beliefs_at(*[(3, 5)] * 3), None))
    assert len(film.steps) == len(plain.steps) == 3
    assert len({step.size for step in film.steps}) == 1 and film.steps[0].width > plain.steps[0].width
    # DrawnBeliefs about the living only.
    assert [pixels(step, GREEN) > 20 for step in film.steps] == [True, True, False]
    assert not any(pixels(step, GREEN) for step in plain.steps)
    peace = draw_battle(dataclasses.replace(made_up(), target=np.full((3, 3), -1)), 0, "title").steps
    assert [mine == theirs for mine, theirs in zip(plain.steps, peace, strict=True)] == [True, False, False]


def test_units_are_as_full_as_their_health():
    # All far from each other, at full health, at half of it, and nearly dead.
    position = np.array([[[2, 2], [2, 9], [14, 4]]] * 3, float)
    health = np.array([[1, 1, 1], [1, 1, 0.5], [1, 1, 0.05]])
    battle = dataclasses.replace(made_up(), position=position, health=health, target=np.full((3, 3), -1))
    full, half, hardly = (pixels(step, ORANGE) for step in draw_battle(battle, 0, "title").steps)
    assert 0.35 < half / full < 0.65 and hardly < 0.3 * full
    fallen = dataclasses.replace(battle, health=np.where(health < 0.1, 0, health))
    assert pixels(draw_battle(fallen, 0, "title").steps[2], ORANGE) < 0.3 * full


@pytest.mark.parametrize("outcome", ["won", "lost", "time limit"])
def test_it_is_said_how_a_battle_ended(outcome):
    film = draw_battle(dataclasses.replace(made_up(), outcome=outcome), 0, "title")
    others = {"won", "lost", "time limit"} - {outcome}
    for other in others:
        theirs = draw_battle(dataclasses.replace(made_up(), outcome=other), 0, "title")
        assert (film.header == theirs.header, film.steps[2] == theirs.steps[2]) == (False, False)
        assert film.steps[1] == theirs.steps[1]
    long = draw_battle(made_up(), 0, "title " * 50)
    # Cut where there is no room: nothing is written up to the edge.
    assert np.all(np.asarray(long.header)[:, -10:] == 255)


def test_the_view_holds_all_units_and_little_else():
    battle = made_up(beliefs_at((0, 20), (0, 20), (0, 31)))
    view = view_of(battle)
    assert np.all(view.low < [2, 2]) and np.all(view.high > [10, 6]) and view.high[0] - view.low[0] < 13
    assert view.aspect == pytest.approx(7 / 11)
    # What is believed to be elsewhere stands at the edge.
    assert view.held(np.array([0, 31])).tolist() == pytest.approx(
        [view.low[0] + view.radius, view.high[1] - view.radius]
    )
    tall = dataclasses.replace(battle, position=battle.position[..., ::-1])
    assert view_of(tall).aspect == pytest.approx(0.75)


@pytest.mark.parametrize(("gap", "is_named"), [(1.0, True), (0.3, False)])
def test_units_of_large_teams_are_smaller(gap, is_named):
    rows = np.stack(np.meshgrid(np.arange(6), np.arange(5)), axis=-1).reshape(-1, 2) * gap
    position = np.concatenate([rows, rows + np.array([20, 0])])[None]
    crowd = dataclasses.replace(
        made_up(),
        unit_type=np.zeros(60, int),
        num_allies=30,
        position=position,
        health=np.ones((1, 60)),
        target=np.full((1, 60), -1),
        sight=np.full(30, 9.0),
    )
    shares = [view.radius / (view.high[0] - view.low[0]) for view in map(view_of, (crowd, made_up()))]
    assert shares[0] < shares[1] and (view_of(crowd).font_size > 0) == is_named


def test_units_are_named():
    battle = dataclasses.replace(made_up(), unit_type=np.array([0, 0, 3]))
    assert [unit_name(battle, unit) for unit in range(3)] == ["0", "1", "0"]
    mixed = dataclasses.replace(made_up(), unit_type=np.array([2, 3, 4]))
    assert [unit_name(mixed, unit) for unit in range(3)] == ["s0", "z1", "0"]


def film_of(*steps: Image.Image) -> Film:
    line = Image.new("RGB", (steps[0].width, 10), "white")
    return Film(line, list(steps), line)


def test_files(tmp_path):
    film = film_of(*(Image.new("RGB", (30, 20), (index * 20, 100, 100)) for index in range(8)))
    save_animation(film, tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as gif:
        assert (gif.n_frames, gif.size, gif.info["loop"], gif.info["duration"]) == (8, (30, 40), 0, 350)
        assert gif.convert("RGB").getpixel((5, 15)) == (0, 100, 100)
        gif.seek(7)
        assert gif.info["duration"] == 2500
    save_sheet(film, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as sheet:
        # One header and one legend.
        assert sheet.size == (90, 80)
    assert sheet_steps(12)[0] == 0 and sheet_steps(12)[-1] == 11 and len(sheet_steps(12)) == 9
    assert sheet_steps(4) == [0, 1, 2, 3]


@pytest.mark.parametrize("count", [12, pytest.param(60, marks=pytest.mark.exhaustive)])
def test_an_animation_is_made_smaller_until_it_is_under_a_megabyte(tmp_path, count):
    noise = np.random.default_rng(0).integers(0, 256, (count, 200, 360, 3), dtype=np.uint8)
    save_animation(film_of(*map(Image.fromarray, noise)), tmp_path / "a.gif")
    assert (tmp_path / "a.gif").stat().st_size <= MAX_GIF_BYTES
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames > 1 and gif.size[0] <= 360


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """A run directory with noise for the parameters of its only seed, 3."""
    folder = tmp_path_factory.mktemp("untrained") / "run"
    folder.mkdir()
    settings = ["system=li_ma2e", "mae.width=8", "mae.num_heads=2", "mae.window=2", "env.max_steps=16"]
    settings.append("env.walls_cause_death=false")
    config = load_config([*TINY, *settings, "run.first_seed=3", f"run.dir={folder}"])
    (folder / "config.yaml").write_text(to_yaml(config))
    (folder / "groups.json").write_text(json.dumps([[3]]))
    params = jax.eval_shape(build_system(config, make_env(config.env).spec).init, jax.random.key(3)).params
    stacked = jax.tree.map(lambda x: x[None], with_some_scale(noise_like(params, 0, 0.3)))
    save_params(group_directory(folder, np.array([3])) / "last", stacked, {"iteration": [7]})
    return folder


def test_a_stored_team_is_shown(untrained, monkeypatch, tmp_path, capsys):
    """The battle is the game's; agents that know the truth are seen to be right, step for step."""
    shown = []

    def honest(config, spec):
        guess = make_guesses(config, spec)

        def tell(params, carry, timestep):
            last_action = jnp.where(timestep.is_first[:, None], -1, carry.last_action)
            truth = make_tokens(timestep.obs, last_action, spec.num_actions)[:, other_agents(spec.num_agents)]
            return truth + 0.0 * guess(params, carry, timestep)

        return tell

    def play_stored(*args):
        shown.append(stored(*args))
        return shown[-1]

    stored = battle_module.play_stored
    monkeypatch.setattr(battle_module, "make_guesses", honest)
    monkeypatch.setattr(battle_module, "play_stored", play_stored)
    out = tmp_path / "battle.gif"
    assert main(["render", str(untrained), "--agent", "1", "--out", str(out)]) == 0
    assert capsys.readouterr().out.split() == [str(out), str(tmp_path / "battle.png")]
    (seen,) = shown
    steps = len(seen.health) - 1
    with Image.open(out) as gif:
        assert gif.n_frames == steps + 1
    assert 1 < steps <= 16 and seen.outcome in ("lost", "time limit")
    mate = seen.health[:, 0] > 0
    assert seen.beliefs.mates.tolist() == [0]
    np.testing.assert_allclose(seen.beliefs.position[mate, 0], seen.position[mate, 0], atol=1e-3)
    np.testing.assert_allclose(seen.beliefs.health[mate, 0], seen.health[mate, 0], atol=1e-5)
    # Whoever lost health was shot at in that step.
    for step in range(1, steps + 1):
        hurt = np.flatnonzero(seen.health[step] < seen.health[step - 1])
        assert set(hurt) == set(seen.target[step][seen.target[step] >= 0])
    assert np.any(seen.target >= 0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--agent", "2"], "--agent=2: choose one of 0 to 1"),
        (["--battle", "-1"], "--battle=-1: must be a number from 0"),
        (["--seed", "0"], "--seed=0: the run has seeds 3 to 3"),
        (["--checkpoint", "first"], "--checkpoint=first: choose one of last, best"),
        (["--out", "battle.mp4"], "--out=battle.mp4: must end in .gif"),
        (["--out", "nowhere/battle.gif"], "--out=nowhere/battle.gif: there is no folder nowhere"),
        (["--checkpoint", "best"], "RUN_DIR={run}: holds no trained parameters yet"),
    ],
)
def test_what_cannot_be_shown_is_refused(untrained, capsys, monkeypatch, tmp_path, arguments, said):
    monkeypatch.chdir(tmp_path)
    assert main(["render", str(untrained), *arguments]) == 2
    assert said.format(run=untrained) in capsys.readouterr().err


def test_other_games_are_refused(tmp_path, capsys):
    (tmp_path / "config.yaml").write_text(to_yaml(load_config(["env=mpe"])))
    assert main(["render", str(tmp_path)]) == 2
    assert "env.name=mpe: render shows battles of smax only" in capsys.readouterr().err
