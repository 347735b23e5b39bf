"""Stages that fill the slot words: when each word was spoken."""
