"""Why a value of an instance is not taken."""


class Refused(Exception):
    """What was expected instead of a value."""
