"""A run's folder on the disk: its settings and records, who may use it, reading what others left."""
