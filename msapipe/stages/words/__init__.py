"""Stages that fill the slot words: when each word was spoken.

One file per stage; the name of the file is the name of the stage.
"""
