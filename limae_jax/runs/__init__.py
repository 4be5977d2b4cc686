"""Run directories: settings, records, locks, and reading stored runs."""
