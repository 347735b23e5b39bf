"""Training: one loop over a model's phases, metrics, splits, and the exported model folder."""
