"""Attributes from a file of one's own: their place in what is prepared, and wrong files."""

import numpy as np
import pytest

from jaxalign.commands.prepare import main
from jaxalign.datasets import BENCHMARKS, attributes
from jaxalign.datasets.faces import Bad, Benchmark, Face
from jaxalign.errors import InputError
from jaxalign.samples import ATTRIBUTES
from jaxalign.schemes import IBUG68
from jaxalign.sources import open_source
from tests.helpers.trees import make_300w


HEADER = "id,pose,expression,illumination,make-up,occlusion,blur"


@pytest.fixture
def tree(tmp_path):
    """A call of `prepare ibug_300w` with a file of these lines, and the ids of its faces."""
    made = list(make_300w(tmp_path / "300w", 1))

    def prepare(lines, *more):
        (tmp_path / "mine.csv").write_text("\n".join(lines) + "\n")
        places = ["--from", tmp_path / "300w", "--data-dir", tmp_path / "data"]
        arguments = ["ibug_300w", *places, "--attributes", tmp_path / "mine.csv", *more]
        return main([*map(str, arguments)])

    return prepare, made


def lines_of(ids):
    """Of the n-th face the flags are the binary digits of n."""
    return [f"{name},{','.join(f'{n:06b}')}" for n, name in enumerate(ids)]


def flags_of(split, config, data_dir):
    source = open_source(f"ibug_300w:{config}/{split}", IBUG68, data_dir)
    return {sample["id"]: "".join(map(str, sample["attributes"])) for sample in source}


def test_faces_have_the_flags_of_the_file(tree, tmp_path, capsys):
    prepare, ids = tree
    assert prepare([HEADER, *lines_of(ids)]) == 0
    spec = capsys.readouterr().out.splitlines()[-1].rpartition("data.train=")[2]
    config = spec.removeprefix("ibug_300w:").removesuffix("/train")
    assert config.startswith("attributes") and len(config) == len("attributes") + 8
    found = flags_of("train", config, tmp_path / "data") | flags_of(
        "test", config, tmp_path / "data"
    )
    assert found == {name: f"{n:06b}" for n, name in enumerate(ids)}


def test_another_file_is_another_data_set(tree, tmp_path, capsys):
    prepare, ids = tree
    lines = lines_of(ids)
    assert prepare([HEADER, *lines]) == 0
    assert prepare([HEADER, *reversed(lines)]) == 2  # the same flags
    assert "is already prepared" in capsys.readouterr().err
    changed = lines[-1][:-1] + str(1 - int(lines[-1][-1]))
    assert prepare([HEADER, *lines[:-1], changed]) == 0
    assert len(list((tmp_path / "data/ibug_300w").iterdir())) == 2
    with pytest.raises(InputError, match=r"not prepared .*prepare ibug_300w --from DIR .*FILE"):
        open_source("ibug_300w:attributes00000000/train", IBUG68, tmp_path / "data")
    with pytest.raises(InputError, match=r"data$"):
        open_source("ibug_300w/train", IBUG68, tmp_path / "data")


def test_columns_may_stand_in_any_order_beside_others(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        "remark, blur,id,pose,expression,occlusion,illumination,make-up\n"
        "tilted, 1, a ,0,0,1,0,0\n\nnone,0,b,1,0,0,0,0\n"
    )
    assert attributes.read(path).flags == {"a": (0, 0, 0, 0, 1, 1), "b": (1, 0, 0, 0, 0, 0)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lacks the columns id, pose"),
        (f"{HEADER[:-5]}\na,0,0,0,0,0", "lacks the column blur; its first line must name id, pose"),
        (f"{HEADER}\n", "holds no faces below its header"),
        (f"{HEADER}\na,0,0,0,0,0,0\nb,0,0,0,0,0", "line 3: 6 cells, the first line has 7"),
        (f"{HEADER}\na,0,0,0,0,0,0,1", "line 2: 8 cells, the first line has 7"),
        (f"{HEADER}\na,0,0,2,0,0,0", "line 2: illumination of a is '2'; write 0 or 1"),
        (f"{HEADER}\na,0,0,0,0,0,", "line 2: blur of a is ''; write 0 or 1"),
        (f"{HEADER}\n,0,0,0,0,0,0", "line 2: has no id"),
        (
            f"{HEADER}\na,0,0,0,0,0,0\nb,0,0,0,0,0,0\na,1,0,0,0,0,0",
            "line 4: the id a was in line 2 already",
        ),
    ],
)
def test_wrong_files_are_one_line(tmp_path, text, message):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as raised:
        attributes.read(path)
    assert str(raised.value).startswith(str(path)) and "\n" not in str(raised.value)


def test_a_file_that_is_not_there():
    with pytest.raises(InputError, match="name a CSV file with the columns id, pose"):
        attributes.read("nowhere.csv")


def test_ids_must_be_those_of_the_faces(tree, tmp_path, capsys):
    prepare, ids = tree
    lines = lines_of(ids)
    for more in ([], ["--check"]):
        assert prepare([HEADER, *lines[2:], "afw/nobody,0,0,0,0,0,0"], *more) == 2
        said = capsys.readouterr().err.splitlines()[-1]
        assert f"it has no line for 2 of the faces (first: {ids[0]})" in said
        assert "1 of its ids are no face of ibug_300w (first: afw/nobody)" in said
    assert not list((tmp_path / "data").rglob("*.json"))


def test_bad_faces_may_have_a_line_and_need_none(tmp_path):
    def faces():
        yield Bad("a", tmp_path, "odd")
        yield Bad("b", tmp_path, "odd")
        yield Face("test", "c", b"", {}, subsets=("blur", "indoor"))
        yield Face("train", "d", b"", {})

    benchmark = Benchmark("odd", (), faces, {}, "", options={"size": 1})
    labels = attributes.Labels(tmp_path, {"a": (0,) * 6, "c": (1, 0, 0, 0, 1, 0), "d": (1,) * 6})
    made = attributes.labelled(benchmark, labels)
    assert made.config({"size": 2, "attributes": labels.digest}) == (
        f"attributes{labels.digest}-size2"
    )
    *bad, good, learned = made.faces(attributes=labels.digest)
    assert [face.id for face in bad] == ["a", "b"]
    assert good.attributes == (1, 0, 0, 0, 1, 0)
    assert good.subsets == ("indoor", "pose", "occlusion")  # its own blur is none of the file's
    assert learned.attributes == (1,) * 6 and not learned.subsets


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_takes_a_file(name, tmp_path):
    labels = attributes.Labels(tmp_path, {"a": (1,) * 6})
    made, own = attributes.labelled(BENCHMARKS[name], labels), BENCHMARKS[name]
    options = own.options | {"attributes": labels.digest}
    if "scheme" in options:
        options["scheme"] = "ibug68"
    assert f"attributes{labels.digest}" in made.config(options).split("-")
    assert made.under(options).expected(options) == own.under(options).expected(options)
    assert attributes.OPTION not in own.options


def test_columns_are_the_attributes():
    assert HEADER == ",".join(("id", *ATTRIBUTES))
    assert np.unique(attributes.COLUMNS).size == 7
