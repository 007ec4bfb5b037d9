"""`jaxalign COMMAND`: how it is called, what it calls itself, and what `import jaxalign` gives."""

import errno
import importlib
import inspect
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest

import jaxalign
from jaxalign import __main__, parallel, prediction
from jaxalign.__main__ import COMMANDS, main
from jaxalign.commands import add_device, evaluate, import_files, new_parser, prepare, train
from jaxalign.errors import InputError, typed
from tests.helpers import ROOT
from tests.helpers.commands import refused


def python(*arguments, cwd=ROOT, **environment):
    return subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=cwd, capture_output=True, text=True,
        env={"PYTHONPATH": str(ROOT)} | environment,
    )  # fmt: skip


class TestOneCommand:
    @pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
    def test_the_list(self, arguments, capsys):
        assert main(arguments) == 0
        lines = capsys.readouterr().out.splitlines()
        listed = [line.split(maxsplit=1) for line in lines if line.startswith("  ")]
        assert [name for name, _ in listed] == list(COMMANDS)
        assert all(about.endswith(".") and len(about) < 90 for _, about in listed)

    @pytest.mark.parametrize("name", ["", *COMMANDS])
    def test_version(self, name, capsys):
        try:
            assert main([*filter(None, [name]), "--version"]) == 0
        except SystemExit as end:
            assert end.code == 0
        assert capsys.readouterr().out == f"jaxalign {jaxalign.__version__}\n"

    def test_an_unknown_command(self, capsys):
        line = refused(capsys, __main__, "evalute", "--ckpt", "W")
        assert "no command 'evalute'; did you mean evaluate?" in line and "download" in line
        assert "did you mean" not in refused(capsys, __main__, "xyz")

    def test_as_a_module_without_jax(self):
        """The list and the help of all commands are shown, and JAX is not even imported."""
        code = f"""
import sys
from jaxalign.__main__ import main
main([])
for name in {COMMANDS}:
    try:
        main([name, "--help"])
    except SystemExit as end:
        assert end.code == 0
sys.exit(any(name in sys.modules for name in ("jax", "tensorflow_datasets", "matplotlib")))
"""
        found = python("-c", code)
        assert found.returncode == 0, found.stderr
        assert found.stdout.count("usage: jaxalign ") == 1 + len(COMMANDS)

    def test_where_jax_is_not_installed(self):
        """As beside ONNX Runtime alone."""
        code = """
import sys
sys.modules["jax"] = None
from jaxalign.__main__ import main
for arguments in (["predict", "--ckpt", "a.onnx", "a.jpg"], ["evaluate", "--ckpt", "a"]):
    assert main(arguments) == 2
"""
        found = python("-c", code)
        told = "error: jaxalign {} needs jax, which is not installed; pip install . in a checkout"
        assert found.returncode == 0, found.stderr
        assert found.stderr.splitlines() == [told.format("predict"), told.format("evaluate")]

    def test_the_demo_only_helps(self):
        """Asked for help, it does no work, as a module of its own neither."""
        found = python("-m", "jaxalign", "demo", "--help")
        assert found.returncode == 0 and found.stdout.startswith("usage: jaxalign demo ")
        assert python("-m", "jaxalign.commands.demo", "--help").stdout == ""


def test_the_demo_goes_the_whole_road(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("jaxalign.commands.demo.DEFAULT_DATA_DIR", tmp_path)
    called = []

    def fake(name, code=0):
        def run(arguments):
            options = importlib.import_module(f"jaxalign.commands.{name}").parser()
            called.append((name, options.parse_args(arguments)))
            return code

        monkeypatch.setattr(f"jaxalign.commands.{name}.main", run)

    for name in ("prepare", "train", "evaluate"):
        fake(name)
    report = tmp_path / "runs/demo/report"
    report.mkdir(parents=True)
    row = {"subset": "all", "faces": 600, "box": {"nme": 0.025}}
    summary = {"summary": {"headline": "box", "rows": [row]}}
    (report / "report.json").write_text(json.dumps(summary))
    assert main(["demo"]) == 0
    assert [name for name, _ in called] == ["prepare", "train", "evaluate"]
    assert called[1][1].resume and called[1][1].workdir == called[2][1].ckpt == "runs/demo"
    printed = capsys.readouterr().out
    assert "NME 2.50 % (box) on 600 synthetic faces" in printed
    assert "$ jaxalign train --config demo" in printed and "jaxalign prepare ibug_300w" in printed
    (tmp_path / "runs/drawn").symlink_to(tmp_path / "runs/demo")
    called.clear()
    assert main(["demo", "--config", "drawn"]) == 0
    assert called[0][1].settings == ["train=40000", "seed=1"]
    assert called[1][1].workdir == "runs/drawn"
    assert main(["demo", "--config", "integral_ibug_300w"]) == 2
    assert "demo draws its faces" in capsys.readouterr().err
    fake("train", 2)
    called.clear()
    assert main(["demo"]) == 2 and [name for name, _ in called] == ["prepare", "train"]


class TestNamesInMessages:
    """A message names commands as they were typed."""

    @pytest.mark.parametrize(
        ("called", "command", "expected"),
        [
            ("/usr/bin/jaxalign", "train", "jaxalign train"),
            (ROOT / "jaxalign/__main__.py", "train", "python -m jaxalign train"),
            (ROOT / "train.py", "evaluate", f"python {ROOT / 'evaluate.py'}"),
            (ROOT / "train.py", "prepare", "jaxalign prepare"),
            ("/elsewhere/train.py", "evaluate", "jaxalign evaluate"),
            ("/elsewhere/__main__.py", "evaluate", "jaxalign evaluate"),
            ("", "evaluate", "jaxalign evaluate"),
        ],
    )
    def test_of_each_door(self, called, command, expected, monkeypatch):
        monkeypatch.setattr(sys, "argv", [str(called)])
        assert typed(command) == expected

    def test_from_the_root(self, monkeypatch):
        monkeypatch.chdir(ROOT)
        monkeypatch.setattr(sys, "argv", ["evaluate.py"])
        assert typed("train") == "python train.py"

    @pytest.mark.parametrize(
        ("door", "expected"),
        [
            (["-m", "jaxalign", "evaluate"], "write it again with python -m jaxalign evaluate"),
            (["evaluate.py"], "write it again with python evaluate.py"),
        ],
    )
    def test_in_a_refusal(self, door, expected, tmp_path):
        (tmp_path / "empty.jsonl").write_text("\n")
        found = python(*door, "--predictions", tmp_path / "empty.jsonl")
        assert found.returncode == 2 and found.stderr.rstrip().endswith(expected)

    @pytest.mark.parametrize("script", ["train.py", "evaluate.py"])
    def test_scripts_of_a_checkout(self, script):
        found = python(script, "--help")
        assert found.stdout.startswith(f"usage: {script} [-h] [--version]")


class TestAliases:
    def test_of_the_data_folder(self):
        arguments = ["--data_dir", "D"]
        for command, needed in ((train, ["--config", "c"]), (evaluate, ["--ckpt", "w"])):
            assert command.parser().parse_args([*needed, *arguments]).data_dir == Path("D")
        found = prepare.parser().parse_args(["wflw", "--manual_dir", "M", *arguments])
        assert (found.root, found.data_dir) == (Path("M"), Path("D"))

    def test_of_the_device(self, capsys):
        parser = new_parser("any", "")
        add_device(parser)
        for name, meant in {"cpu": "cpu", "gpu": "gpu", "cuda": "gpu", "tpu": "tpu"}.items():
            for option in ("--require", "--device"):
                assert parser.parse_args([option, name]).require == meant
        with pytest.raises(SystemExit):
            parser.parse_args(["--device", "abacus"])
        assert "abacus" in capsys.readouterr().err

    def test_of_files_to_import(self):
        found = evaluate.parser().parse_args(["--ckpt", "w", "--import", "a", "--system", "b"])
        assert found.imports == ["a", "b"]


class TestTheCPU:
    def test_is_chosen_before_anything_is_looked_at(self, monkeypatch, tmp_path):
        """By --device cpu, before a file of the user's runs; other devices are not chosen."""
        told = []
        monkeypatch.setattr(jax.config, "update", lambda *option: told.append(option))
        (tmp_path / "mine.py").write_text("import jax\njax.config.update('mine', 1)\n")
        files = [str(tmp_path / "mine.py")]
        import_files(SimpleNamespace(require="cpu", imports=files))
        assert told == [("jax_platforms", "cpu"), ("mine", 1)]
        import_files(SimpleNamespace(require="gpu", imports=[]))
        parallel.choose("")
        assert len(told) == 2

    def test_no_module_looks_at_devices_when_imported(self):
        code = """
import sys
import jaxalign.recipe, jaxalign.export, jaxalign.papers.tables, jaxalign.prediction.files
import jaxalign.training.train
from jax._src import xla_bridge
sys.exit(xla_bridge.backends_are_initialized())
"""
        found = python("-c", code)
        assert found.returncode == 0, found.stderr


class TestTheDevice:
    """Nothing but one line where JAX finds none, or no cluster; and where the user has no home."""

    @pytest.mark.parametrize(
        ("error", "reason"), [(AssertionError(), "no such device"), (RuntimeError("a\nb"), "a b")]
    )
    @pytest.mark.parametrize("asked", ["", "cuda"])
    def test_of_a_name_that_is_not_there(self, error, reason, asked, monkeypatch):
        def fails():
            raise error

        monkeypatch.setenv("JAX_PLATFORMS", asked)
        monkeypatch.setattr(jax, "devices", fails)
        with pytest.raises(InputError, match=reason) as caught:
            parallel.start()
        remedy = "JAX_PLATFORMS=cuda asks for that device: unset it" if asked else "--require cpu"
        assert remedy in str(caught.value)

    def test_of_jax_itself(self):
        """What it raises for a name that it does not know."""
        code = "from jaxalign import parallel\nparallel.start()"
        found = python("-c", code, JAX_PLATFORMS="abacus")
        assert found.stderr.splitlines()[-1].startswith("jaxalign.errors.InputError: JAX cannot")
        assert found.stderr.splitlines()[-1].endswith("unset it, or set JAX_PLATFORMS=cpu")

    def test_without_a_cluster(self, monkeypatch):
        def fails(*_):
            raise ValueError("coordinator_address should be defined.")

        monkeypatch.delenv("JAX_COORDINATOR_ADDRESS", raising=False)
        monkeypatch.setattr(jax.distributed, "initialize", fails)
        with pytest.raises(InputError, match=r"defined\.; for --distributed, set JAX_COORD.*leave"):
            parallel.start(distributed=True)

    def test_without_a_home(self):
        """As of an unknown user id in a container."""
        code = """
import pathlib
def home():
    raise RuntimeError("Could not determine home directory.")
pathlib.Path.home = home
from jaxalign import parallel
print(parallel.start("cpu"))
"""
        found = python("-c", code)
        assert "CPU" in found.stdout, found.stderr


@pytest.mark.parametrize("streams", [["stderr"], ["stdout", "stderr"]])
def test_a_reader_that_leaves_ends_no_command(streams):
    """As `| tee` under Ctrl-C, while the last step is saved."""
    code = """
import logging, sys, tqdm
from jaxalign.commands import run

def work():
    print("done")
    with tqdm.tqdm(total=9, mininterval=0) as bar:
        bar.update()
    logging.getLogger("jaxalign").warning("odd")
    return 130

sys.exit(run(work))
"""
    reader, writer = os.pipe()
    os.close(reader)
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={"PYTHONPATH": str(ROOT)},
                           **dict.fromkeys(streams, writer))  # fmt: skip
    os.close(writer)
    assert found.returncode == 130


@pytest.mark.parametrize(
    ("command", "option"), [("predict", "--ckpt"), ("predict", "--video"), ("export", "--out")]
)
def test_what_may_not_be_looked_at_is_one_line(command, option, tmp_path, monkeypatch, capsys):
    locked, stat = tmp_path / "locked", Path.stat

    def refuse(self, **options):
        if self.is_relative_to(locked):
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return stat(self, **options)

    monkeypatch.setattr(Path, "stat", refuse)
    (tmp_path / "me.png").touch()
    photo = [tmp_path / "me.png"] * (option == "--ckpt")
    arguments = [command, option, locked / "x.mp4", *photo, *["--ckpt", "drawn"] * (not photo)]
    line = refused(capsys, __main__, *arguments)
    assert f"{locked}" in line and line.endswith(": Permission denied; check your rights there")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a system without /dev/full")
class TestStandardOutput:
    def run(self, code, redirected, **environment):
        """A command's work, called by a shell -> how it ended."""
        program = f"import os, sys\nfrom jaxalign.commands import run\ndef work():\n {code}\n"
        program += "sys.exit(run(work))"
        call = shlex.join([sys.executable, "-c", program])
        return subprocess.run(
            ["/bin/sh", "-c", f"exec {call} {redirected}"], cwd=ROOT, capture_output=True,
            env={"PYTHONPATH": str(ROOT)} | environment,
        )  # fmt: skip

    @pytest.mark.parametrize("flush", [False, True])
    @pytest.mark.parametrize("unbuffered", ["", "1"])
    def test_full(self, flush, unbuffered):
        """Found out by the print, or at the end."""
        code = f"print('a', flush={flush})"
        found = self.run(code, "> /dev/full", PYTHONUNBUFFERED=unbuffered)
        assert found.returncode == 2
        assert found.stderr.decode() == (
            "error: standard output: cannot be written (No space left on device); send it "
            "elsewhere\n"
        )

    def test_an_error_of_something_else_is_a_bug(self):
        found = self.run("open('/dev/full', 'w', buffering=1).write('a\\n')", "")
        assert found.returncode == 1 and b"Traceback" in found.stderr

    def test_closed(self, tmp_path):
        """What is printed goes nowhere, and not into the next file that is opened."""
        code = f"file = open({str(tmp_path / 'file')!r}, 'w'); print('a', flush=True); "
        code += "print('b', file=sys.stderr, flush=True); os.write(1, b'c'); file.write('d')"
        assert self.run(code, ">&- 2>&- <&-").returncode == 0
        assert (tmp_path / "file").read_text() == "d"

    def test_of_another_encoding(self):
        found = self.run("print('ä', os.fsdecode(b'\\xff'))", "", PYTHONIOENCODING="ascii")
        assert found.returncode == 0 and found.stdout == b"\\xe4 \\udcff\n"


class TestImport:
    def test_imports_no_jax(self):
        code = """
import sys, jaxalign
assert set(jaxalign.__all__) <= set(dir(jaxalign))
assert "jax" not in sys.modules and "numpy" not in sys.modules
from jaxalign import *
assert "jax" not in sys.modules and load is jaxalign.load and photos.read
"""
        found = python("-c", code)
        assert found.returncode == 0, found.stderr

    def test_names(self):
        for name in jaxalign.__all__:
            assert getattr(jaxalign, name) is not None
        assert jaxalign.load is prediction.load and jaxalign.Face is prediction.Face
        signature = inspect.signature(jaxalign.load)
        assert signature.return_annotation is jaxalign.Aligner
        assert "min_score" in signature.parameters

    def test_a_name_that_is_not_there(self):
        with pytest.raises(AttributeError, match="module 'jaxalign' has no attribute 'lode'"):
            _ = jaxalign.lode
        with pytest.raises(ImportError):
            from jaxalign import lode  # noqa: F401
