"""Cooperative particle worlds (MPE)."""

from __future__ import annotations

from limae_jax.catalogue.scenarios import check_mpe_scenario
from limae_jax.config import MpeConfig
from limae_jax.environments.jaxmarl import NO_LIMIT, StackedEnvironment, import_jaxmarl


class Mpe(StackedEnvironment):
    """jaxmarl's MPE. Episodes always last `max_steps` and end truncated: there is no goal state."""

    def __init__(self, config: MpeConfig):
        """Builds the task of `config.scenario`.

        Raises:
            InputError: there is no such task, or its team size is fixed.
        """
        scenario = check_mpe_scenario(config.scenario, config.num_agents)
        options = {}
        if scenario.resizable and config.num_agents is not None:
            # One landmark per agent, as in the original: any other number changes the nature of the task.
            options = {"num_agents": config.num_agents, "num_landmarks": config.num_agents}
        game = import_jaxmarl().make(scenario.jaxmarl_id, max_steps=NO_LIMIT, **options)
        super().__init__(game, config.name, config.scenario, config.max_steps)
