"""Stages that fill the slot speaker: which of the faces speaks.

One file per stage; the name of the file is the name of the stage.
"""
