"""Rules that choose which agents the auto-encoder must guess: one file each, found by name in `masking.names`."""
