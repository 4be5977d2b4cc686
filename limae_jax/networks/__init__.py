"""Networks as flax modules: the agents', the mixers and the auto-encoder."""
