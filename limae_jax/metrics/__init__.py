"""Metrics of a run: metrics.jsonl on disk, the terminal, TensorBoard and Weights & Biases."""
