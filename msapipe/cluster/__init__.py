"""Clips on several machines. Needs Ray; only the command line imports it."""
