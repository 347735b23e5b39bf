"""Stages that fill the slot words: when each word was spoken. One file per stage; the file's name is the stage's name."""
