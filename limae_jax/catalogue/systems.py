"""Names of the systems, as plain data, so that the command line can check one without starting jax."""

from __future__ import annotations

from limae_jax.registry import check_name

SYSTEMS = {
    "iql": "independent Q-learning on the team reward, no mixer (Tan 1993; Tampuu et al. 2017)",
    "vdn": "the team's value is the sum of the agents' (Sunehag et al. 2018)",
    "qmix": "the team's value is a monotone, state-conditioned mix of the agents' (Rashid et al. 2018)",
    "qplex": "the team's value is any that its greedy agents maximise, by duplex dueling (Wang et al. 2021)",
    "ma2e": "QMIX with context from a masked auto-encoder that guesses team-mates; random masks (Kang et al. 2025)",
    "li_ma2e": "MA2E that hides the agents whose TD error is above the team's mean",
    "oracle": "QMIX with context from the team-mates' true windows; not decentralised, a bound for MA2E",
}

# Systems whose agents read at execution what a real agent could not know.
NOT_DECENTRALISED = ["oracle"]


def label(name: str, *details: str) -> str:
    """A system as it is shown, `name (detail, detail)`: what is not decentralised is always said to be so."""
    said = ["not decentralised"] * (name in NOT_DECENTRALISED) + list(details)
    return f"{name} ({', '.join(said)})" if said else name


def check_system(name: str) -> str:
    """Returns `name`, or raises InputError with the names there are."""
    return check_name("system", name, SYSTEMS)
