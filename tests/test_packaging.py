"""What pyproject.toml and its neighbours say of the package is true."""

import importlib
import re
import tomllib
from pathlib import Path

import yaml

import jaxalign
from jaxalign.__main__ import main
from jaxalign.weights import WEIGHTS
from tests.helpers import ROOT


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read_yaml(path):
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def test_one_script():
    assert list(PROJECT["scripts"]) == ["jaxalign"]
    module, name = PROJECT["scripts"]["jaxalign"].split(":")
    assert getattr(importlib.import_module(module), name) is main


def test_pins_are_of_what_the_package_needs():
    """Whatever it needs stands in requirements.txt too, which then installs the package itself."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if line and not line.startswith("#")]
    pinned = {re.split(r"[<>=\[]", line)[0] for line in lines[:-1]}
    extras = PROJECT["optional-dependencies"]
    needed = [*PROJECT["dependencies"], *extras["docs"], *extras["test"]]
    needed = {re.split(r"[<>=\[]", line)[0] for line in needed} - {PROJECT["name"]}
    assert needed <= pinned
    assert lines[-1] == "-e .[test]" and "jaxalign[docs]" in extras["test"]


def test_what_runs_onnx_models_is_part_of_what_is_installed():
    """With the same bounds as in the package and its extra, and without JAX."""
    lines = (ROOT / "requirements-onnxruntime.txt").read_text(encoding="utf-8").splitlines()
    light = {line for line in lines if not line.startswith("#")}
    known = {*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["onnx"]}
    assert light <= known and not any(line.startswith("jax>") for line in light)
    assert "requirements-onnxruntime.txt" in (ROOT / "MANIFEST.in").read_text(encoding="utf-8")


def test_the_source_distribution_names_what_there_is():
    for line in (ROOT / "MANIFEST.in").read_text(encoding="utf-8").splitlines():
        kind, *names = line.split()
        if kind in ("graft", "include"):
            assert all((ROOT / name).exists() for name in names)


def test_the_wheel_holds_the_weights_and_is_small():
    """At most 15 MB, counted before the wheel's compression."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = pyproject["tool"]["setuptools"]["package-data"]["jaxalign"]
    for row in WEIGHTS.values():
        assert any(Path("weights", row.file).match(pattern) for pattern in patterns)
    packed = {path for pattern in patterns for path in (ROOT / "jaxalign").glob(pattern)}
    for folder in ("jaxalign", "configs", "datasets"):
        packed |= set((ROOT / folder).rglob("*.py"))
    assert len(packed) > 100 and sum(path.stat().st_size for path in packed) < 15e6


def test_pictures_of_the_readme_are_seen_elsewhere():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    pictures = re.findall(r"!\[[^]]*\]\(([^)]*)\)", readme)
    assert pictures
    start = PROJECT["urls"]["Source"].replace("github.com", "raw.githubusercontent.com") + "/main/"
    for address in pictures:
        assert address.startswith(start) and (ROOT / address.removeprefix(start)).is_file()


def test_the_version_is_everywhere_the_same():
    """In the package, the changelog and the citation; what comes next stands above."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    first, second = re.findall(r"^## (\S+)(?: \((.*)\))?$", changelog, re.MULTILINE)[:2]
    citation = read_yaml("CITATION.cff")
    assert first == ("Unreleased", "")
    assert second == (jaxalign.__version__, str(citation["date-released"]))
    assert citation["version"] == jaxalign.__version__
    assert citation["license"] == PROJECT["license"]
    assert citation["repository-code"] == PROJECT["urls"]["Source"]
    assert citation["keywords"] == PROJECT["keywords"]


def test_continuous_integration_covers_what_is_promised():
    """Every Python of the classifiers with the newest jax, and one with the oldest."""
    job = read_yaml(".github/workflows/ci.yml")["jobs"]["test"]
    matrix = job["strategy"]["matrix"]
    pythons = re.findall(r"Python :: (3\.\d+)", " ".join(PROJECT["classifiers"]))
    assert matrix["python"] == pythons and matrix["jax"] == [""]
    (jax,) = (line for line in PROJECT["dependencies"] if line.startswith("jax>="))
    oldest = re.split(">=|,", jax)[1]
    assert matrix["include"] == [{"python": pythons[0], "jax": oldest}]
    assert any(step.get("run", "").startswith("make test") for step in job["steps"])


def test_templates_can_be_read():
    for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"):
        form = read_yaml(path)
        assert path.stem == "config" or all(form[key] for key in ("name", "description", "body"))
    assert (ROOT / ".github/pull_request_template.md").is_file()
