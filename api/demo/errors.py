"""What stops a demo: told to people in one line."""


class DemoError(Exception):
    """The demo cannot go on; the message says what to do about it."""
