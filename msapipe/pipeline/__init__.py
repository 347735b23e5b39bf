"""Pipelines, plans, the one loop, and scores."""
