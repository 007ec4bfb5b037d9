"""A work directory in a bucket: the run works in a folder of this machine, which is copied there.

The run is as safe in its folder as any other. The bucket always holds whole steps: a step counts
from when its file LAST is there, which comes last and goes first.
"""

import logging
import threading
from pathlib import Path

from jaxalign import buckets, checkpoints, locks
from jaxalign.checkpoints import FILE, FOLDER, LAST, TAKEN
from jaxalign.downloads import cache
from jaxalign.errors import InputError
from jaxalign.folders import PARTIAL
from jaxalign.training.checkpoints import DAMAGED, OLD, TEMPORARY


EVERY = 30.0  # seconds between two copies
OWN = FOLDER, "tensorboard", FILE, "recipe.json"  # of the bucket's folder: the run's
UNFINISHED = TEMPORARY, OLD, PARTIAL  # in names of what is not copied
LOG = logging.getLogger(__name__)


class Mirror:
    """The folder of a run on this machine, and its copy in a bucket.

    Attributes:
        home: The folder to hold by a Lock, of which the bucket gets a copy.
        folder: The work directory on this machine, in `home`; each host of a run has its own.
        holder: Who is noted to train in the bucket's folder, "" where nobody is.
    """

    def __init__(self, workdir: Path | str, host: int = 0):
        """Names the folder, and reads nothing yet.

        Args:
            workdir: The work directory in the bucket.
            host: The number of this host.

        Raises:
            InputError: The package is missing that reaches the bucket.
        """
        self.bucket = buckets.Bucket(workdir)
        self.home = cache() / "runs" / f"{self.bucket.folder.parent.name}-{host}"
        self.folder = self.home / "run"
        self.holder = ""
        self._sent: dict[str, tuple[int, int] | None] = {}  # name -> what was copied, None: unknown
        self._ended, self._thread = threading.Event(), None

    def pull(self, resume: bool = True):
        """Makes the folder what the bucket holds, without steps that were set aside.

        Args:
            resume: Whether steps are to be resumed from; else there must be none, here or there.

        Raises:
            InputError: The bucket cannot be read, or there are steps and `resume` is False.
        """
        there = self.bucket.files()
        self.holder = self.bucket.text(locks.FILE) if locks.FILE in there else ""
        own = {name: one for name, one in there.items() if _is_own(name)}
        steps = tuple(checkpoints.finished(own))
        if steps and not resume:
            raise InputError(f"{self.bucket.url}: {TAKEN}")
        if not resume and any(checkpoints.finished(self._files())):
            raise InputError(
                f"{self.folder}: holds steps of this --workdir that the bucket lacks; remove the "
                "folder, or name another --workdir"
            )
        wanted = {
            name: one
            for name, one in own.items()
            if not name.startswith(f"{FOLDER}/") or name.startswith(steps)
        }
        self.bucket.pull(wanted, self.folder)
        now = self._files()
        self._sent = {name: now.get(name) for name in own}

    def start(self):
        """Copies the folder to the bucket, and from then on every EVERY seconds in a thread.

        Raises:
            InputError: The bucket cannot be written.
        """
        self.bucket.put(locks.FILE, self.home / locks.FILE)
        self.push()
        self._thread = threading.Thread(target=self._push_on, name="mirror", daemon=True)
        self._thread.start()

    def close(self):
        """Copies the folder to the bucket a last time.

        Raises:
            InputError: The bucket cannot be written.
        """
        if self._thread is None:
            return
        self._ended.set()
        self._thread.join()
        try:
            self.push()
            self.bucket.remove([locks.FILE])
        except InputError as error:
            raise InputError(
                f"{error}; the whole run is in {self.folder}: copy it to the bucket before you go "
                "on with --resume, which takes what the bucket holds"
            ) from error

    def push(self):
        """Copies to the bucket what has changed, new steps before old ones are removed.

        Raises:
            InputError: The bucket cannot be written.
        """
        now = self._files()
        changed = [name for name in now if now[name] != self._sent.get(name)]
        gone = [name for name in self._sent if name not in now]
        for name in sorted(changed, key=_is_last):
            try:
                self.bucket.put(name, self.folder / name)
            except InputError:
                if (self.folder / name).exists():
                    raise
            else:  # else its step was removed meanwhile
                self._sent[name] = now[name]
        for name in sorted(gone, key=_is_last, reverse=True):
            self.bucket.remove([name])
            del self._sent[name]

    def _push_on(self):
        while not self._ended.wait(EVERY):
            try:
                self.push()
            except (InputError, OSError) as error:  # a folder that was renamed while it was read
                LOG.warning("%s; tried again in %.0f seconds", error, EVERY)

    def _files(self):
        """The size and time of each file of the run."""
        found = {}
        for path in self.folder.rglob("*"):
            name = path.relative_to(self.folder).as_posix()
            if not name.startswith(OWN) or any(part in name for part in UNFINISHED):
                continue
            try:
                if path.is_file():
                    about = path.stat()
                    found[name] = about.st_size, about.st_mtime_ns
            except FileNotFoundError:  # its step was removed meanwhile
                continue
        steps = self.folder / FOLDER
        gone = tuple(
            f"{FOLDER}/{step.name}/" for step in steps.glob("*") if not (step / LAST).exists()
        )
        return {name: about for name, about in found.items() if not name.startswith(gone)}


def _is_own(name):
    return name.split("/")[0] in OWN and f"{DAMAGED}/" not in name


def _is_last(name):
    return name.endswith(LAST)
