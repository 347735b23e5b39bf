"""Engines: clips run one at a time in this process or in several processes. pipeline/run.py does the work."""
