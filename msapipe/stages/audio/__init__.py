"""Stages that fill the slot audio: acoustic features.

One file per stage; the name of the file is the name of the stage.
"""
