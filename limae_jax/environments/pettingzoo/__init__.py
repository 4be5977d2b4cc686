"""PettingZoo and Gymnasium environments in worker processes."""
