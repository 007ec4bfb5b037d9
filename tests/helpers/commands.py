"""Commands as a user calls them."""


def call(command, *arguments):
    """The exit code of a command's main."""
    return command.main([str(argument) for argument in arguments])


def refused(capsys, command, *arguments):
    """The one line on stderr of a call that must exit with code 2."""
    capsys.readouterr()
    assert call(command, *arguments) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    return errors[0]
