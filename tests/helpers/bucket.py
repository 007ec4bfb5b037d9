"""Stand-ins for a bucket: gs:// in memory, for this process; file:// for several."""

from fsspec.implementations.memory import MemoryFileSystem


class Memory(MemoryFileSystem):
    """gs:// without folders and in memory. `failing` names what fails, as libraries' calls do."""

    protocol = "gs"
    cachable = False
    store = {}
    pseudo_dirs = [""]
    failing = set()
    calls = []

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.removeprefix("gs://"))

    def _told(self, call, path):
        self.calls.append((call, path))
        if call in self.failing or (call, path) in self.failing:
            raise RuntimeError("403 Forbidden:\nno rights")

    def find(self, path, **options):
        self._told("find", path)
        return super().find(path, **options)

    def get_file(self, rpath, *arguments, **options):
        self._told("get", rpath)
        super().get_file(rpath, *arguments, **options)

    def put_file(self, lpath, rpath, **options):
        self._told("put", rpath)
        super().put_file(lpath, rpath, **options)

    def rm_file(self, path):
        self._told("remove", path)
        super().rm_file(path)

    def files(self) -> dict[str, bytes]:
        return {path: file.getvalue() for path, file in [*self.store.items()]}
