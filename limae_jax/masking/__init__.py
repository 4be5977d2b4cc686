"""Rules that choose which agents to hide from the auto-encoder: one file each, see `catalogue.masking_rules`."""
