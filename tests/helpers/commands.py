"""Commands as a user calls them."""

import signal
import time


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


def held_by(process, lock):
    """Waits until a process that was started holds a lock, the file of that name, and stops it
    there; SIGCONT lets it go on."""
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and process.poll() is None:
        if lock.exists() and f"process {process.pid} " in lock.read_text():
            process.send_signal(signal.SIGSTOP)
            return
        time.sleep(0.002)
    raise AssertionError(f"{lock} was not held: {process.communicate()}")
