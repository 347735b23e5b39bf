"""Test helpers for msapipe and its plug-ins: synthetic clips, and contract checks."""
