import csv
import hashlib
import json
import re
from dataclasses import dataclass
from html.parser import HTMLParser

import cv2
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign import drawing, folders, metrics
from jaxalign.errors import InputError
from jaxalign.evaluation.model import shown_maps
from jaxalign.evaluation.page import STYLE
from jaxalign.evaluation.report import FILES, KIND, MAPS, replaced, write_report
from jaxalign.evaluation.results import Results
from jaxalign.evaluation.summary import summarise
from jaxalign.locks import HIDDEN, Lock
from jaxalign.protocols import protocol_for
from jaxalign.schemes import AFLW19, COFW29, CURVES, IBUG68, LAPA106, WFLW98
from jaxalign.systems.interface import System
from tests.helpers.fakes import CHALLENGING, COMMON, PROTOCOL, crops, fake, rows_of


MARK = folders.mark(KIND)


def test_order_of_the_faces_does_not_matter(tmp_path):
    results = fake(50, subsets=[CHALLENGING] * 20 + [COMMON] * 30)
    other = results.take(np.random.default_rng(3).permutation(50))
    assert summarise(other, PROTOCOL) == summarise(results, PROTOCOL)
    for name, faces in (("a", results), ("b", other)):
        write_report(tmp_path / name, faces, PROTOCOL, {}, lambda index: crops(0))
    for name in set(FILES) - {"predictions.jsonl"}:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_report_is_complete_and_agrees_with_itself(tmp_path):
    results = fake(40, subsets=[CHALLENGING] * 15 + [COMMON] * 25)
    about = {"checkpoint": "runs/a", "date": "2024-01-01", "versions": {"jax": "0.10.2"}}
    summary = write_report(tmp_path / "deep" / "report", results, PROTOCOL, about, crops)
    folder = tmp_path / "deep" / "report"
    assert sorted(path.name for path in folder.iterdir()) == sorted({*FILES, MARK})
    assert [path.name for path in folder.parent.iterdir()] == ["report"]
    report = json.loads((folder / "report.json").read_text())
    assert report == {"about": about, "summary": summary}

    with (folder / "table.csv").open() as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(summary["rows"]) * 4
    row = next(row for row in table if row["subset"] == "common" and row["normaliser"] == "box")
    assert float(row["auc@8"]) == rows_of(summary)["common"]["box"]["auc@8"]
    low_high = rows_of(summary)["common"]["intervals"]["box"]["auc@8"]
    assert [float(row["auc@8_low"]), float(row["auc@8_high"])] == low_high

    curve = np.genfromtxt(folder / "ced.csv", delimiter=",", names=True)
    errors = results.nme("inter_ocular")
    np.testing.assert_allclose(curve["all"], metrics.ced(errors, curve["error"]), atol=1e-6)
    np.testing.assert_allclose(curve["error"][[0, 160, -1]], [0, 0.08, 0.12], atol=1e-12)

    for name in (name for name in FILES if name.endswith(".png")):
        assert cv2.imread(str(folder / name)).std() > 5


def test_predictions_read_back_give_the_same_numbers(tmp_path):
    results = fake(20, WFLW98, subsets=[("pose",), ()] * 10)
    protocol = protocol_for("mine", WFLW98)
    summary = write_report(tmp_path / "report", results, protocol, {})
    assert cv2.imread(str(tmp_path / "report" / "faces.png")).std() > 5  # points on plain ground
    path = tmp_path / "report" / "predictions.jsonl"
    again = Results.load(path)
    assert (again.ids, again.subsets, again.scheme) == (results.ids, results.subsets, WFLW98)
    for name in ("predicted", "truth", "score", "visible"):
        np.testing.assert_array_equal(getattr(again, name), getattr(results, name))
    assert summarise(again, protocol) == summary

    first = json.loads(path.read_text().splitlines()[0])
    assert first["nme"] == pytest.approx(results.nme("inter_ocular")[0], abs=1e-6)
    assert first["hidden"] == [3, 4]
    assert all(round(x, 3) == x for point in first["points"] for x in point)


@pytest.mark.heavy
def test_failed_report_leaves_the_old_one(tmp_path):
    write_report(tmp_path / "report", fake(5), PROTOCOL, {"run": 1}, crops)
    old = {path.name: path.read_bytes() for path in (tmp_path / "report").iterdir()}

    def broken(index):
        raise RuntimeError("no photo")

    for folder in ("report", "other"):
        with pytest.raises(RuntimeError, match="no photo"):
            write_report(tmp_path / folder, fake(5, seed=1), PROTOCOL, {"run": 2}, broken)
    assert [path.name for path in tmp_path.iterdir()] == ["report"]
    assert {p.name: p.read_bytes() for p in (tmp_path / "report").iterdir()} == old

    (tmp_path / "report" / "notes.txt").write_text("mine")
    write_report(tmp_path / "report", fake(5, seed=1), PROTOCOL, {"run": 2})
    left = {path.name for path in (tmp_path / "report").iterdir()}
    assert left == {*FILES, MARK, "notes.txt"}
    assert json.loads((tmp_path / "report" / "report.json").read_text())["about"] == {"run": 2}


def written(folder, *names):
    """As write_report does, but quick: a report of these files."""
    with replaced(folder, KIND, (*FILES, MAPS)) as partial:
        for name in names:
            (partial / name).write_text("report")


@pytest.mark.parametrize("name", ["table.csv", "maps_mine.png"])
@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_files_of_others_stay(tmp_path, name, kind):
    """In a folder that no report made, and in one that it made; nothing else is written either."""
    written(tmp_path / "made", "report.html", "maps_edges.png")
    (tmp_path / "own").mkdir()
    (tmp_path / "target").write_text("mine")
    for folder in (tmp_path / "own", tmp_path / "made"):
        path = folder / name
        if kind == "file":
            path.write_text("mine")
        elif kind == "link":
            path.symlink_to(tmp_path / "target")
        else:
            path.mkdir()
        before = {p.name for p in folder.iterdir()}
        with pytest.raises(InputError, match=f"holds {name}.*name another folder"):
            written(folder, "report.html", "table.csv")
        assert {p.name for p in folder.iterdir()} == before
        assert kind == "folder" or path.read_text() == "mine"
    assert (tmp_path / "target").read_text() == "mine"


def test_a_report_replaces_its_own(tmp_path):
    written(tmp_path, "report.html", "maps_edges.png")
    (tmp_path / "notes.txt").write_text("mine")
    written(tmp_path, "report.html", "table.csv")
    found = {path.name for path in tmp_path.iterdir()}
    assert found == {"report.html", "table.csv", "notes.txt", MARK}


def test_one_report_at_a_time_takes_its_place(tmp_path):
    folder = tmp_path / "report"
    with pytest.raises(InputError, match="is in use by process"):  # noqa: SIM117
        with Lock(folder, "", HIDDEN) as lock, replaced(folder, KIND, ["table.csv"]) as partial:
            (partial / "table.csv").write_text("1")
    assert list(folder.iterdir()) == [] and not lock.path.exists()
    with replaced(folder, KIND, ["table.csv"]) as partial:
        (partial / "table.csv").write_text("2")
    assert {path.name for path in folder.iterdir()} == {"table.csv", folders.mark(KIND)}


def test_reports_written_at_once_do_not_mix(tmp_path):
    """The later one is there, whole; both write beside the folder, and nothing of them is left."""
    folder = tmp_path / "report"
    with replaced(folder, KIND, FILES) as first:
        with replaced(folder, KIND, FILES) as second:
            for partial in (first, second):
                (partial / "table.csv").write_text(partial.name)
                (partial / "ced.csv").write_text(partial.name)
            (second / "pck.csv").write_text(second.name)
        assert (folder / "pck.csv").read_text() == (folder / "ced.csv").read_text() == second.name
    assert {path.name for path in folder.iterdir()} == {"table.csv", "ced.csv", MARK}
    assert (folder / "table.csv").read_text() == (folder / "ced.csv").read_text() == first.name
    assert list(tmp_path.iterdir()) == [folder]


def test_what_a_killed_report_left_is_removed(tmp_path):
    """But not what another process writes at the moment."""
    left, used = (tmp_path / f".report.{name}{folders.PARTIAL}" for name in "ab")
    for folder in (left, used):
        folder.mkdir()
        (folder / "table.csv").write_text("half")
    with Lock(used, "", HIDDEN):
        written(tmp_path / "report", "table.csv")
        assert not left.exists() and (used / "table.csv").exists()


def test_links_are_replaced_not_written_through(tmp_path):
    written(tmp_path / "r", "table.csv")
    (tmp_path / "target").write_text("mine")
    (tmp_path / "r" / "table.csv").unlink()
    (tmp_path / "r" / "table.csv").symlink_to(tmp_path / "target")
    written(tmp_path / "r", "table.csv")
    assert (tmp_path / "target").read_text() == "mine"
    assert not (tmp_path / "r" / "table.csv").is_symlink()


@pytest.mark.parametrize(
    "content", ['["../mine.txt", "..", "", 3]', '"../mine.txt"', "[" * 100_000, "no JSON", "{}"]
)
def test_a_mark_that_names_files_elsewhere(tmp_path, content):
    """Nothing outside the folder is deleted, whatever its mark says."""
    written(tmp_path / "r", "table.csv")
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "r" / MARK).write_text(content)
    with pytest.raises(InputError, match="holds"):
        written(tmp_path / "r", "table.csv")
    folders.keep(tmp_path / "r", KIND, ())
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_report_into_a_file_is_refused(tmp_path):
    (tmp_path / "report").write_text("")
    for folder in ("report", "report/deeper"):
        with pytest.raises(InputError, match="name a"):
            write_report(tmp_path / folder, fake(3), PROTOCOL, {})


def test_report_of_yaw_bins_and_of_normalising_boxes(tmp_path):
    bins = [("yaw_0_30",), ("yaw_30_60",), ("yaw_60_90",)]
    write_report(tmp_path / "a", fake(3, subsets=bins), protocol_for("aflw2000_3d", IBUG68), {})
    assert "mean_of_bins" in (tmp_path / "a/report.html").read_text()
    assert "mean_of_bins" not in (tmp_path / "a/ced.csv").read_text()

    truth = np.zeros((2, 19, 2))
    truth[:, 0] = 40
    results = Results(
        ids=("a", "b"),
        predicted=truth + (6, 8),
        truth=truth,
        score=None,
        visible=np.ones((2, 19)),
        subsets=[("full", "frontal"), ("full",)],
        scheme=AFLW19,
        norm_box=[(0, 0, 100, 100), (0, 0, 50, 200)],
    )
    protocol = protocol_for("aflw", AFLW19)
    rows = rows_of(write_report(tmp_path / "b", results, protocol, {}))
    assert rows["full"]["norm_box"]["nme"] == rows["frontal"]["norm_box"]["nme"] == 0.1
    assert rows["full"]["box"]["nme"] == 0.25
    again = Results.load(tmp_path / "b/predictions.jsonl")
    np.testing.assert_array_equal(again.norm_box, results.norm_box)
    assert again.score is None
    assert rows_of(summarise(again, protocol)) == rows
    with pytest.raises(InputError, match="no normalising box is known for a, b"):
        summarise(
            Results(
                ids=results.ids,
                predicted=truth,
                truth=truth,
                score=None,
                visible=np.ones((2, 19)),
                subsets=[(), ()],
                scheme=AFLW19,
            ),
            protocol,
        )


def test_page_is_complete_in_itself_and_escapes_names(tmp_path):
    results = fake(20, subsets=[("<b>&",)] * 20)
    about = {
        "data": "a<b",
        "checkpoint": "runs/&`<b>\n<b>`",
        "recipe": {"x": "</pre>"},
        "device": "CPU",
    }
    summary = write_report(tmp_path / "r", results, PROTOCOL, about, crops)
    page = (tmp_path / "r/report.html").read_text()
    assert page.count("<img") == page.count('src="data:image/') == 4
    assert "<script" not in page and "http" not in page and "<link" not in page
    assert "&lt;b&gt;&amp;" in page and "<b>&" not in page and "&lt;/pre&gt;" in page
    text = (tmp_path / "r/report.md").read_text()
    assert "# Evaluation on a&lt;b\n" in text and "\n| &lt;b>& | 20 |" in text
    assert "checkpoint: `runs/&'<b>\\n<b>'`\n" in text  # in code, which is no HTML
    for value in summary["sha256"].values():
        assert value in page and value in text

    class Balanced(HTMLParser):
        open_tags = []

        def handle_starttag(self, tag, attributes):
            if tag not in ("meta", "img"):
                self.open_tags.append(tag)

        def handle_endtag(self, tag):
            assert self.open_tags.pop() == tag

    parser = Balanced()
    parser.feed(page)
    assert not parser.open_tags


def test_pages_link_to_their_files(tmp_path):
    write_report(tmp_path, fake(5), PROTOCOL, {})
    page, text = ((tmp_path / f"report.{end}").read_text() for end in ("html", "md"))
    links = set(re.findall('href="([^"]+)"', page))
    assert {name for name in FILES if name.endswith(".csv")} <= links
    assert links == set(re.findall(r"[^!]\[.*?\]\((.*?)\)", text))
    assert all((tmp_path / name).is_file() for name in links)


def test_every_head_of_a_table_has_its_scope(tmp_path):
    write_report(tmp_path, fake(5), PROTOCOL, {})
    page = (tmp_path / "report.html").read_text()
    scopes = re.findall('<th(?: scope="(.*?)")?>', page)
    rows, bodies = page.count("<tr"), page.count("<thead>")
    assert scopes.count("row") == rows - bodies and set(scopes) == {"row", "col"}


def test_page_has_dark_colours_for_each_of_its_own(tmp_path):
    light, dark = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    assert "prefers-color-scheme: dark" in STYLE
    names = [set(re.findall(r"(--\w+):", part)) for part in (light, dark)]
    assert names[0] == names[1] >= set(re.findall(r"var\((--\w+)\)", STYLE))
    assert "background: #fff" in re.findall(r"img \{.*?\}", STYLE)[0]  # under plots in black


HISTORY = [
    {"step": 10, "phase": "first", "loss": 4.0, "rate": 0.1},
    {"step": 20, "phase": "second", "loss": 0.5},
    {"step": 20, "phase": "second", "val_nme": 0.06, "val_loss": 2.0},
    {"step": 30, "phase": "second", "loss": float("inf")},
    {"step": 30, "phase": "second", "val_nme": "0.1"},
]


def test_report_of_a_run_has_its_curves(tmp_path):
    write_report(tmp_path, fake(5), PROTOCOL, {}, history=HISTORY, step=20)
    assert (tmp_path / "training.csv").read_text() == (
        "step,phase,loss,val_nme\n10,first,4.0,\n20,second,0.5,\n20,second,,0.06\n"
    )
    both = cv2.imread(str(tmp_path / "training.png"))
    assert both.std() > 5
    for name in ("report.html", "report.md"):
        assert "training.csv" in (tmp_path / name).read_text()
    assert "](training.png)" in (tmp_path / "report.md").read_text()
    # One panel, of losses that no logarithm takes.
    write_report(tmp_path, fake(5), PROTOCOL, {}, history=[{"step": 1, "loss": -1}])
    assert cv2.imread(str(tmp_path / "training.png")).shape[0] < both.shape[0]
    write_report(tmp_path, fake(5), PROTOCOL, {}, history=HISTORY[3:])
    assert {path.name for path in tmp_path.iterdir()} == {*FILES, MARK}
    assert "## Training" not in (tmp_path / "report.md").read_text()


@dataclass(frozen=True)
class Fake(System):
    """Shows crops reduced by four, in as many channels as `channels` says of each name."""

    size: int = 128
    channels: tuple[tuple[str, int], ...] = ()

    def shown(self, variables, images):
        grey = jnp.tile(images[:, 2::4, 2::4, :1] * variables["scale"], (1, 1, 1, 40))
        return {name: grey[..., :count] for name, count in self.channels}


@pytest.mark.heavy
def test_maps_of_a_system_are_shown_in_the_report(tmp_path):
    variables = {"scale": jnp.float32(1 / 255)}
    assert shown_maps(Fake(), variables) is None
    maps = shown_maps(Fake(channels=(("boundaries", 16), ("attention", 40))), variables)
    picture = np.zeros((128, 128, 3), np.uint8)
    picture[40:44, 80:84] = 255
    found = maps(picture)
    assert {name: part.shape for name, part in found.items()} == {
        "boundaries": (32, 32, 16), "attention": (32, 32, 40),
    }  # fmt: skip
    np.testing.assert_array_equal(np.argwhere(found["attention"][..., 3]), [(10, 20)])
    assert found["attention"].max() == 1

    def lit(index):
        return picture, crops(index)[1]

    folder = tmp_path / "r"
    write_report(folder, fake(20), PROTOCOL, {}, lit, maps=maps)
    names = {"maps_boundaries.png", "maps_attention.png"}
    assert {path.name for path in folder.iterdir()} == {*FILES, MARK, *names}
    assert (folder / "report.html").read_text().count("<img") == 6
    for name in names:
        assert f"({name})" in (folder / "report.html").read_text()
        assert f"]({name})" in (folder / "report.md").read_text()
    # Pairs of tiles from 6 across and 34 + 34 down: four faces in the first section, 16 worst.
    sheet = cv2.imread(str(folder / "maps_attention.png"))[..., ::-1]
    assert sheet.shape == (34 + 34 + 258 + 34 + 4 * 258, 8 * 238 + 6, 3)
    plain, heat = sheet[68:300, 6:238], sheet[68:300, 244:476]
    spot = slice(74, 78), slice(147, 151)  # crop pixels 40 to 43 and 80 to 83, of 232 / 128
    assert plain[spot].min() == 255 and not plain[:60].any() and not heat[:60].any()
    np.testing.assert_allclose(heat[75:77, 148:150], np.full((2, 2, 3), drawing.HEAT), atol=12)
    np.testing.assert_allclose(heat[spot], np.full((4, 4, 3), drawing.HEAT), atol=40)

    write_report(folder, fake(20), PROTOCOL, {}, crops)
    assert {path.name for path in folder.iterdir()} == {*FILES, MARK}
    assert "maps_" not in (folder / "report.html").read_text()


@pytest.mark.parametrize("channel", [0, 6, 14])
def test_hot_map_pixel_covers_its_crop_pixels_in_the_colour_of_its_curve(channel):
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 1), dtype=np.uint8).repeat(3, 2)
    maps = np.zeros((16, 16, 16), np.float32)
    maps[3, 9, [channel, 15]] = 1  # the last is the union and is left out
    maps[5, 5, 15] = 1
    maps[12, 2, channel] = 0.25
    seen = drawing.overlay(picture, maps, curves=True)
    name, colour = drawing.CURVES_LEGEND[channel]
    assert name == CURVES[channel]
    expected = picture.copy()
    expected[12:16, 36:40] = colour
    faint = picture[48:52, 8:12] * 0.75 + 0.25 * np.array(colour)
    np.testing.assert_allclose(seen[48:52, 8:12], faint, atol=0.51)
    expected[48:52, 8:12] = seen[48:52, 8:12]
    np.testing.assert_array_equal(seen, expected)
    np.testing.assert_array_equal(drawing.overlay(picture, maps[..., :15], curves=True), seen)


def test_mean_of_many_maps_is_stretched():
    maps = np.full((8, 8, 256), 0.5, np.float32)
    picture = np.full((32, 32, 3), 200, np.uint8)
    assert (drawing.overlay(picture, maps) == 200).all()  # nothing stands out: nothing is shown
    maps[1, 2, :4] += 0.4
    maps[6, 6, :2] += 0.4
    seen = drawing.overlay(picture, maps)
    assert (seen[4:8, 8:12] == drawing.HEAT).all()
    np.testing.assert_allclose(
        seen[24:28, 24:28], np.full((4, 4, 3), (200 + np.array(drawing.HEAT)) / 2), atol=1
    )
    seen[4:8, 8:12] = seen[24:28, 24:28] = 200
    assert (seen == 200).all()


def test_fingerprints_are_those_of_the_stated_text():
    truth = np.zeros((2, 19, 2))
    truth[:, 0] = (1.5, -0.0)
    results = Results(
        ids=("b", "a"),
        predicted=truth,
        truth=truth,
        score=None,
        visible=np.ones((2, 19)),
        subsets=[(), ()],
        scheme=AFLW19,
    )
    found = results.fingerprints()
    assert found["ids"] == hashlib.sha256(b"a\nb\n").hexdigest()
    numbers = "1.500 0.000" + " 0.000" * 36
    text = f"a {numbers}\nb {numbers}\n".encode()
    assert found["annotations"] == hashlib.sha256(text).hexdigest()
    assert results.by_id().fingerprints() == found


def change(**fields):
    results = fake(3)
    names = ("ids", "predicted", "truth", "score", "visible", "subsets", "scheme")
    return Results(**{name: getattr(results, name) for name in names} | fields)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"scheme": WFLW98}, r"predicted has shape \(3, 68, 2\).*wflw98 need \(3, 98, 2\)"),
        ({"truth": np.zeros((2, 68, 2))}, "truth has shape"),
        ({"score": np.zeros((3, 68, 1))}, "score has shape"),
        ({"visible": np.zeros((3, 1))}, "visible has shape"),
        ({"norm_box": np.zeros((3, 2))}, "norm_box has shape"),
        ({"subsets": ((),)}, "subsets of 1 faces for 3"),
        ({"ids": ("a", "b", "a")}, "id a comes more than once"),
        ({"ids": ()}, "no faces"),
        ({"predicted": np.full((3, 68, 2), np.nan)}, "predicted of 3 faces.*face_000"),
    ],
)
def test_results_that_do_not_fit_are_refused(fields, message):
    with pytest.raises(InputError, match=message):
        change(**fields)


def edited(line, **fields):
    return json.dumps({k: v for k, v in (json.loads(line) | fields).items() if v is not None})


@pytest.mark.parametrize(
    "edit, message",
    [
        (lambda line: line[:100], "line 2: not JSON"),
        (lambda line: "[]", "line 2: lacks id"),
        (lambda line: edited(line, truth=None), "line 2: lacks truth"),
        (lambda line: edited(line, points=[[1, 2]] * 67), "line 2: points must be 68 x 2"),
        (lambda line: edited(line, points=[[1, 2], [1]] * 34), "line 2: points must be 68 x 2"),
        (lambda line: edited(line, scheme="mine68"), "line 2: unknown scheme 'mine68'"),
        (lambda line: edited(line, subsets="full"), "line 2: subsets must be a list"),
        (lambda line: edited(line, score=None), "face_001 lacks score, which others have"),
        (lambda line: edited(line, norm_box=[1, 2]), "line 2: norm_box must be 4 numbers"),
        (lambda line: edited(line, hidden=[68]), "line 2: hidden must hold indices below 68"),
        (lambda line: edited(line, id="face_000"), "id face_000 comes more than once"),
        (lambda line: re.sub(r'"score":\[[^,]*', '"score":[NaN', line), "score of 1 faces"),
    ],
)
def test_bad_line_is_named(tmp_path, edit, message):
    path = tmp_path / "predictions.jsonl"
    fake(3).save(path, "box")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], edit(lines[1]), lines[2]]))
    with pytest.raises(InputError, match=message) as caught:
        Results.load(path)
    assert str(path) in str(caught.value)


def test_missing_empty_or_mixed_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"gone.jsonl: cannot be read \(No such file"):
        Results.load(tmp_path / "gone.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(InputError, match="holds no faces"):
        Results.load(tmp_path / "empty.jsonl")
    fake(2).save(tmp_path / "a.jsonl", "box")
    fake(2, COFW29).save(tmp_path / "b.jsonl", "box")
    both = (tmp_path / "a.jsonl").read_text() + (tmp_path / "b.jsonl").read_text()
    (tmp_path / "both.jsonl").write_text(both)
    with pytest.raises(InputError, match="2 schemes"):
        Results.load(tmp_path / "both.jsonl")


@pytest.mark.parametrize("point", [(20, 20), (20.5, 12.25), (9.8, 30.1)])
def test_drawn_dot_lies_on_its_point(point):
    picture = np.zeros((41, 41, 3), np.uint8)
    drawing.draw_points(picture, np.array([point]), (0, 255, 0), radius=2.5)
    weight = picture[..., 1].astype(float)
    y, x = np.mgrid[:41, :41]
    centre = [(weight * axis).sum() / weight.sum() for axis in (x, y)]
    np.testing.assert_allclose(centre, point, atol=0.15)
    assert not picture[..., [0, 2]].any()


def test_curves_join_points_in_order_and_single_points_draw_none():
    points = np.zeros((29, 2))
    points[[20, 21]] = [(5, 30), (35, 30)]  # the bridge; all others lie on one spot
    points[28] = (20, 10)  # the chin, a curve of one point
    picture = np.zeros((41, 41, 3), np.uint8)
    drawing.draw_curves(picture, points, COFW29, (255, 255, 255))
    assert picture[30, 6:35].min() > 200
    assert not picture[8:13, 18:23].any()


def test_contact_sheet_holds_every_tile_with_its_label_cut_to_fit():
    picture = np.full((64, 64, 3), 120, np.uint8)
    points = np.random.default_rng(0).uniform(5, 60, (106, 2))
    tile = drawing.Tile(
        picture=picture,
        label="3.10 %",
        predicted=points,
        truth=points + 1,
        name="a/very/long/name" * 5,
    )
    marked = drawing.Tile(picture=picture, label="9.99 %", predicted=points, marked=True)
    sheet = drawing.contact_sheet([("Some", [tile] * 5), ("Worst", [marked])], LAPA106, "T", 100, 3)
    # Legend 34; two headings of 34; two rows and one, each 100 + 20 + 6.
    assert sheet.shape == (34 + 2 * 34 + 3 * 126, 560, 3)
    assert np.array_equal(drawing.draw_tile(tile, LAPA106, 100), sheet[68:168, 6:106])
    np.testing.assert_array_equal(sheet[68 + 2 * 126 + 34, 6], drawing.ALARM)
    assert (sheet[:, 3 * 106 + 6 :][68:] == 255).all()  # no label runs out of its column
