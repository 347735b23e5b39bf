"""Stages that fill the slot transcript: where the spoken words come from."""
