"""Pipelines, their plans, the loop that runs them, and scores."""
