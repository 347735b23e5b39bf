"""Media files, decoded in a child process that may die without taking the run with it."""
