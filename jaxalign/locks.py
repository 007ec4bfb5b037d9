"""A folder that one process at a time may write into, and the name of that process."""

import os
import socket
import time
from pathlib import Path

from jaxalign import places
from jaxalign.errors import InputError
from jaxalign.folders import readable_errors


try:
    import fcntl
except ImportError:  # where there is none, nothing is held
    fcntl = None

FILE = "lock"
HIDDEN = ".jaxalign-lock"  # of folders that the user's files may lie in, too


class Lock:
    """Holds a folder for this process until `release`, or until the process ends in whatever way.

    The system holds the lock, and the file `name` in the folder says who has it. As a context, it
    is released at the end. The folder is made where it is missing. On a file system without locks
    nothing is held.

    `left` is the text that a killed process left in the file, "" where there was none. Raises
    InputError where another process holds the folder or it cannot be written into; `instead` ends
    the message.
    """

    def __init__(self, folder: Path, instead: str, name: str = FILE):
        places.check_local(folder)
        self.path, new = folder / name, not folder.exists()
        while True:
            with readable_errors(folder, instead):
                folder.mkdir(parents=True, exist_ok=True)
                self.file = self.path.open("a+b", buffering=0)
            self.file.seek(0)
            self.left = " ".join(self.file.read(500).decode("utf-8", "replace").split())
            if not _locked(self.file):
                self.file.close()
                raise InputError(
                    f"{folder}: is in use by {self.left or 'another process'}; wait for its end, "
                    f"or {instead}"
                )
            if _is(self.file, self.path):  # else its last holder removed it in between
                break
            self.file.close()
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        holder = f"process {os.getpid()} on host {socket.gethostname()} since {since}\n"
        with readable_errors(folder, instead):
            try:
                self.file.truncate(0)
                self.file.write(holder.encode("utf-8", "backslashreplace"))
            except OSError:  # a full disk
                self.release()
                if new:
                    folder.rmdir()
                raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.release()

    def release(self):
        if not self.file.closed:
            self.path.unlink(missing_ok=True)
            self.file.close()


def _locked(file):
    try:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        pass
    return True


def _is(file, path):
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
