"""Clips on several machines; the room that needs Ray, and that only the command line opens."""
