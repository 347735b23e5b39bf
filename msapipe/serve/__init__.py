"""Scores over HTTP and in a page: `msapipe serve`, `msapipe demo`. Nothing in here asks for an outside address."""
