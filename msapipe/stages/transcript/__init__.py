"""Stages that fill the slot transcript: where the spoken words come from.

One file per stage; the name of the file is the name of the stage.
"""
