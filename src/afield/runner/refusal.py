"""What the node answers when it does not do what it was asked."""


class Refusal(Exception):
    """An order that cannot be followed, with a stable code; `hints` are ways on."""

    def __init__(self, code, what, why="", hints=()):
        Exception.__init__(self, what)
        self.code = code
        self.what = what
        self.why = why
        self.hints = hints
