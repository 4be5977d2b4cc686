"""Any cooperative jaxmarl game with discrete actions, built from its name and options."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from limae_jax.catalogue.jaxmarl_games import JaxmarlGame, check_jaxmarl_game
from limae_jax.checks import check, one_line
from limae_jax.config import JaxmarlConfig
from limae_jax.environments.jaxmarl import NO_LIMIT, StackedEnvironment, import_jaxmarl
from limae_jax.errors import InputError
from limae_jax.registry import check_name
from limae_jax.types import PyTree

# Constructor arguments that set a time limit, and their values for no limit. A game with inner and outer steps restarts
# after the inner steps, and returns the first observation of the new episode instead of the final one.
_LIMITS = {"max_steps": NO_LIMIT, "num_inner_steps": NO_LIMIT, "num_outer_steps": 1}


class Jaxmarl(StackedEnvironment):
    """A jaxmarl game whose episodes end terminal by the game's rules, or truncated at the time limit.

    The game itself is built without a limit, so an observation of the time left stays constant.
    """

    def __init__(self, config: JaxmarlConfig):
        """Builds the game of `config.scenario`.

        Raises:
            InputError: there is no such game, the game is not supported, or it has no such option.
        """
        known = check_jaxmarl_game(config.scenario)
        game, limit = _build(config, known)
        for agent in game.agents:
            is_discrete = hasattr(game.action_space(agent), "n")
            fix = "has continuous actions with these settings; choose a game with discrete actions"
            check(is_discrete, "env.scenario", config.scenario, fix)
        max_steps = config.max_steps or limit
        if max_steps is None:
            raise InputError(f"env.max_steps=null: {config.scenario} has no time limit of its own; set one")
        self._has_agents_last = config.scenario == "storm"
        super().__init__(game, config.name, config.scenario, max_steps, known.is_reward_shared)

    def _by_agent(self, tree: PyTree) -> list[PyTree]:
        if self._has_agents_last and isinstance(tree, Mapping) and "inventory" in tree:
            # [kind, agent], unlike the other observations.
            tree = {**tree, "inventory": jnp.transpose(tree["inventory"])}
        return super()._by_agent(tree)


def _build(config: JaxmarlConfig, known: JaxmarlGame) -> tuple[Any, int | None]:
    """Returns the game without a time limit, and its default limit."""
    names = option_names(type(_make(config.scenario, {})))
    for name in config.options:
        check(name not in _LIMITS, f"env.options.{name}", config.options[name], "set the limit with env.max_steps")
        check_name("env.options", name, set(names) - set(_LIMITS))
    options = {name: _option(config, name) for name in config.options}
    limited = _make(config.scenario, options)
    limit = getattr(limited, "max_steps", getattr(limited, "num_inner_steps", known.max_steps))
    limits = {name: value for name, value in _LIMITS.items() if name in names}
    game = _make(config.scenario, {**options, **limits})
    if not limits and hasattr(game, "max_steps"):
        game.max_steps = NO_LIMIT  # read at every step
    return game, limit


def _make(name: str, options: Mapping[str, Any]) -> Any:
    try:
        return import_jaxmarl().make(name, **options)
    except (ImportError, TypeError, ValueError, AssertionError, KeyError) as error:
        given = f"env.options={one_line(dict(options))}" if options else f"env.scenario={name}"
        raise InputError(f"{given}: jaxmarl refuses it: {one_line(error)}") from None


def option_names(game: type) -> list[str]:
    """Returns the names of a game's constructor arguments, including those passed on to base classes."""
    classes = [one for one in game.__mro__ if "__init__" in vars(one)]
    if game.__name__ == "HeuristicEnemySMAX":
        # Wraps SMAX instead of subclassing it.
        classes = [game, import_jaxmarl("jaxmarl.environments.smax").SMAX]
    found: dict[str, None] = {}
    for one in classes:
        parameters = inspect.signature(one).parameters.values()
        found |= {each.name: None for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD}
        hands_on = any(each.kind is each.VAR_KEYWORD for each in parameters)
        if not hands_on:
            break
    return list(found)


def _option(config: JaxmarlConfig, name: str) -> Any:
    """Converts an option for the game: lists of numbers to arrays, names of Overcooked layouts to layouts."""
    value = config.options[name]
    if config.scenario == "overcooked" and name == "layout":
        layouts = importlib.import_module("jaxmarl.environments.overcooked").overcooked_layouts
        return layouts[check_name("env.options.layout", str(value), layouts)]
    if isinstance(value, list) and np.asarray(value).dtype.kind in "ifb":
        return np.asarray(value)
    return value
