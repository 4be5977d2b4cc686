"""Independent Q-learning: every agent learns from its own TD error on the team reward (Tampuu et al. 2017).

`system=iql` on the command line uses one-step targets and half the step size (configs/system/iql.yaml);
`SystemConfig(name="iql")` in Python has the defaults of the other systems.
"""

from limae_jax.config import TrainConfig
from limae_jax.systems.value_spec import ValueBasedSpec
from limae_jax.types import EnvSpec


def make_spec(config: TrainConfig, env: EnvSpec) -> ValueBasedSpec:
    """Returns a specification without a mixer: each agent learns from its own TD error."""
    return ValueBasedSpec(mixer=None)
