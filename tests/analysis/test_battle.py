"""Battles as pictures: what is read from the game and from reconstructions, and what is drawn."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fakes import noise_like
from PIL import Image
from tests_tiny import TINY

from limae_jax.analysis import battle as battle_module
from limae_jax.analysis.battle import Battle, Beliefs, read_beliefs, shots_of
from limae_jax.analysis.frames import draw_battle, save_animation, save_sheet, sheet_steps, view
from limae_jax.cli import main
from limae_jax.compose import load_config
from limae_jax.config import SmaxConfig
from limae_jax.config_file import to_yaml
from limae_jax.environments import make_env
from limae_jax.networks.mae import other_agents
from limae_jax.networks.windows import make_tokens
from limae_jax.systems.build import build_system
from limae_jax.systems.guesses import make_guesses
from limae_jax.training.run_directory import group_directory
from limae_jax.training.stored_params import save_params

GREEN, ORANGE, BLUE = (0, 158, 115), (213, 94, 0), (0, 114, 178)
HEADER = 60  # rows of pixels above the field


def made_up(beliefs: Beliefs | None = None) -> Battle:
    """Two allies against one enemy, two steps; ally 1 falls in the second."""
    position = np.array([[[2, 2], [2, 6], [10, 4]], [[4, 2], [2, 6], [9, 4]], [[5, 2], [2, 6], [8, 4]]], float)
    health = np.array([[1, 1, 1], [1, 0.5, 1], [1, 0, 0.25]])
    target = np.array([[-1, -1, -1], [-1, -1, 1], [2, -1, 1]])
    return Battle(np.array([0, 0, 3]), 2, position, health, target, np.array([9.0, 9.0]), "time limit", beliefs)


def pixels(frame: Image.Image, colour: tuple[int, int, int]) -> int:
    """How many pixels have a colour, in the picture's upper part (the legend is below)."""
    array = np.asarray(frame)[HEADER:390, :440]
    return int(np.all(array == np.array(colour), axis=-1).sum())


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


def test_pictures_show_shots_and_beliefs_where_there_are_any():
    beliefs = Beliefs(np.array([1]), np.array([[0.8]] * 3), np.array([[[3.0, 8.0]]] * 3))
    frames, plain = draw_battle(made_up(beliefs), 0, "title"), draw_battle(made_up(), 0, "title")
    assert len(frames) == len(plain) == 3
    assert frames[0].width > plain[0].width and frames[0].size == frames[2].size
    # Beliefs about the living only.
    assert [pixels(frame, GREEN) > 20 for frame in frames] == [True, True, False]
    assert not any(pixels(frame, GREEN) for frame in plain)
    assert pixels(plain[0], ORANGE) > 50
    # The dead are no longer blue.
    assert pixels(plain[2], BLUE) < 0.6 * pixels(plain[0], BLUE)
    peace = draw_battle(dataclasses.replace(made_up(), target=np.full((3, 3), -1)), 0, "title")
    assert [mine == theirs for mine, theirs in zip(plain, peace, strict=True)] == [True, False, False]


def test_everything_is_within_the_view():
    beliefs = Beliefs(np.array([1]), np.ones((3, 1)), np.array([[[0.0, 20.0]], [[0.0, 20.0]], [[0.0, 31.0]]]))
    low, high = view(made_up(beliefs))
    # What is believed of the fallen is not shown, and needs no room.
    assert np.all(low < [0, 2]) and np.all(high > [10, 20]) and high[1] < 31
    assert high[0] - low[0] == pytest.approx(high[1] - low[1])
    low, high = view(made_up())
    assert low.tolist() == pytest.approx([-0.5, -2.5]) and high.tolist() == pytest.approx([12.5, 10.5])


def test_files(tmp_path):
    frames = [Image.new("RGB", (30, 20), (index * 20, 100, 100)) for index in range(8)]
    save_animation(frames, tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as gif:
        assert (gif.n_frames, gif.size, gif.info["loop"], gif.info["duration"]) == (8, (30, 20), 0, 250)
        assert gif.convert("RGB").getpixel((5, 5)) == (0, 100, 100)
        gif.seek(7)
        assert gif.info["duration"] == 2000
    save_sheet(frames, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as sheet:
        assert sheet.size == (90, 60)
    assert sheet_steps(12)[0] == 0 and sheet_steps(12)[-1] == 11 and len(sheet_steps(12)) == 9
    assert sheet_steps(4) == [0, 1, 2, 3]


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
    stacked = jax.tree.map(lambda x: x[None], noise_like(params, 0, 0.3))
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
        (["--seed", "0"], "--seed=0: the run has seeds 3 to 3"),
        (["--checkpoint", "first"], "--checkpoint=first: choose one of latest, best"),
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
