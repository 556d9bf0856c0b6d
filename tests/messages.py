"""What a tool says when it stops."""


def one_line(stopped):
    """The message of a SystemExit, which has to be one line of ours."""
    message = str(stopped)
    assert message.startswith('error: ')
    assert '\n' not in message
    assert len(message) > 20
    return message
