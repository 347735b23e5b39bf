"""How many clips are run at once: in this process, in several, or on a cluster. The work itself is pipeline/run.py."""
