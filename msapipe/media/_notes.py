"""The wording of notes."""


def counted(number: int, thing: str) -> str:
    """ "1 packet", "3 packets"."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
