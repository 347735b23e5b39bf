"""Stages that fill the slot transcript: where the spoken words come from. One file per stage; the file's name is the stage's name."""
