"""Training: one loop over a model's phases, metrics, splits, and the model folder that comes out."""
