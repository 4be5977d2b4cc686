"""What a run tells of itself: rows on the disk, and a terminal, TensorBoard and Weights & Biases to watch."""
