"""For tests, of msapipe and of its plug-ins: clips made in memory, and the promises that every thing must keep."""
