"""Rules that choose which agents the auto-encoder must guess: one file each, named in `catalogue.masking_rules`."""
