"""Recipes, plans, the one loop, and scores."""
