"""Networks as flax modules: the agent network, the mixers and the auto-encoder."""
