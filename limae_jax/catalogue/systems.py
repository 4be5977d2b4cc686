"""The systems as plain data, so that the command line can check a name without importing jax."""

from __future__ import annotations

from limae_jax.registry import check_name

SYSTEMS = {
    "iql": "independent Q-learning on the team reward, no mixer (Tan 1993; Tampuu et al. 2017)",
    "vdn": "the team's value is the sum of the agents' values (Sunehag et al. 2018)",
    "qmix": "the team's value is a monotone, state-conditioned mix of the agents' values (Rashid et al. 2018)",
    "qplex": "the team's value is any function that the greedy agents maximise; duplex dueling (Wang et al. 2021)",
    "mappo": "PPO with a recurrent policy for each agent and a critic that sees the state (Yu et al. 2022)",
    "ippo": "PPO whose critic sees the agent's own observations alone (de Witt et al. 2020)",
    "ma2e": "QMIX with context from a masked auto-encoder over the team; random masks (Kang et al. 2025)",
    "li_ma2e": "MA2E that hides the agents whose TD error is above the team's mean",
    "oracle": "QMIX with context from the team-mates' true windows; not decentralised, a bound for MA2E",
}

# Systems whose agents, at execution, read what a real agent could not know.
NOT_DECENTRALISED = ["oracle"]


def label(name: str, *details: str) -> str:
    """Returns a system's display name, `name (detail, detail)`; it always says if the system is not decentralised."""
    said = ["not decentralised"] * (name in NOT_DECENTRALISED) + list(details)
    return f"{name} ({', '.join(said)})" if said else name


def check_system(name: str) -> str:
    """Returns `name`, or raises InputError with the known names."""
    return check_name("system", name, SYSTEMS)
