"""How many clips are run at once on one machine: in this process, or in several. The work is pipeline/run.py."""
