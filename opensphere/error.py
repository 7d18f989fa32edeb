"""The one exception meant for people: what is wrong with what they gave, in one line."""


class UserError(Exception):
    """Input that cannot be used: a file, a line, a key. The message names it and says what to do next.

    Commands print the message alone and exit with status 2; anything else that is raised is a defect of ours.
    """


class Diverged(UserError):
    """A training whose numbers are no longer finite: where losses are compared, a result of its own."""
