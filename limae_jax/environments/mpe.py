"""Cooperative particle worlds."""

from __future__ import annotations

from limae_jax.catalogue.scenarios import check_mpe_scenario
from limae_jax.config import MpeConfig
from limae_jax.environments.jaxmarl import NO_LIMIT, StackedEnvironment, import_jaxmarl


class Mpe(StackedEnvironment):
    """MPE of jaxmarl. An episode always lasts `max_steps`, and always ends truncated: there is no goal to reach."""

    def __init__(self, config: MpeConfig):
        """Builds the task of `config.scenario`.

        Raises:
            InputError: there is no such task, or its team size is not to be chosen.
        """
        scenario = check_mpe_scenario(config.scenario, config.num_agents)
        options = {}
        if scenario.resizable and config.num_agents is not None:
            # One landmark for each agent, as in the original: with fewer or more the task changes its nature.
            options = {"num_agents": config.num_agents, "num_landmarks": config.num_agents}
        game = import_jaxmarl().make(scenario.jaxmarl_id, max_steps=NO_LIMIT, **options)
        super().__init__(game, config.name, config.scenario, config.max_steps)
