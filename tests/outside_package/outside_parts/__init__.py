"""A game, a mixer, a masking rule and a system for limae_jax, from a package of its own."""

import limae_jax
from outside_parts.parts import (
    FirstConfig,
    MeetConfig,
    ScaledMixerConfig,
    ScaledSystemConfig,
    make_game,
    make_mixer,
    make_rule,
    make_system,
)

limae_jax.register_environment(MeetConfig, make_game, "agents that are paid for choosing alike")
limae_jax.register_mixer(ScaledMixerConfig, make_mixer)
limae_jax.register_masking_rule(FirstConfig, make_rule, "the agent that masking.agent names", ("batch",))
limae_jax.register_system(ScaledSystemConfig, make_system, "the sum of the agents' values, scaled")
