"""Scores over HTTP and in a web page: `msapipe serve`, `msapipe demo`. This package makes no outside request."""
