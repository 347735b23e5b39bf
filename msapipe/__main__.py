"""python -m msapipe."""

from msapipe.cli import main

main()
