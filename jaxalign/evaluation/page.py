"""A report as one page: report.html, which needs no other file, and the same as Markdown."""

import base64
import html
from collections.abc import Sequence
from pathlib import Path

import cv2

from jaxalign.errors import printable
from jaxalign.evaluation import tables
from jaxalign.evaluation.tables import Table, interval_name, percent, to_markdown
from jaxalign.records import json_text


STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1d2329; --faint: #5f6973;
  --line: #e2e6ea; --tint: #f5f7f9; --mark: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181d; --ink: #e3e7ea; --faint: #a0aab4;
  --line: #333b44; --tint: #1f252c; --mark: #6bb8e8; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1080px; padding: 2.2rem 1.4rem 4rem; color: var(--ink);
  background: var(--paper); overflow-wrap: anywhere;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .6rem; padding-top: 1rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
p { max-width: 46rem; margin: .4rem 0; }
a { color: var(--mark); }
.lead, .note, figcaption { color: var(--faint); }
.note, figcaption { font-size: .88rem; }
.cards { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.4rem 0 .6rem; }
.card { flex: 1 1 9rem; background: var(--tint); border-radius: 10px; padding: .8rem 1rem; }
.card b { display: block; font-size: 1.8rem; line-height: 1.15;
  font-variant-numeric: tabular-nums; }
.card span { font-size: .85rem; color: var(--faint); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .34rem .8rem; border-bottom: 1px solid var(--line);
  white-space: nowrap; vertical-align: top; }
th { color: var(--faint); font-weight: 600; border-bottom: 2px solid var(--line); }
th:first-child { text-align: left; padding-left: .2rem; }
tbody th { color: inherit; font-weight: 400; border-bottom-width: 1px; white-space: normal;
  min-width: 8rem; }
tbody tr:hover { background: var(--tint); }
tr.all > * { font-weight: 600; }
td small { display: block; color: var(--faint); font-weight: 400; font-size: .78rem; }
figure { margin: 1rem 0; }
img { max-width: min(100%, 780px); height: auto; background: #fff; border-radius: 6px; }
.photos img { max-width: 100%; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(320px, 1fr)); gap: 1rem; }
details { margin: .6rem 0; }
summary { cursor: pointer; font-weight: 600; padding: .2rem 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.2rem; font-size: .92rem; }
dt { color: var(--faint); } dd { margin: 0; min-width: 0; }
code, pre { font: .84rem/1.5 ui-monospace, Menlo, Consolas, monospace; }
pre { background: var(--tint); padding: .8rem 1rem; border-radius: 8px; white-space: pre-wrap; }
@media print { details { display: block; } body { max-width: none; } }
"""
ASIDE = ("recipe", "versions")  # of `about`: shown folded, not among the facts
TRAINED = "Loss and validation error of the checkpoint's run."
HOW = (
    "NME: mean over all labelled landmarks, visible or not, of the distance to the true point, "
    "divided by a distance of the true face; then the mean over faces.",
    "FR@a: share of faces with an NME greater than a %.",
    "AUC@a: area under the cumulative error distribution up to a %, divided by a; exact, "
    "mean(max(0, 1 - NME / a)).",
    "Intervals of NME and AUC: the faces are drawn anew, with repetition, and the central part of "
    "the means of these draws is printed. Intervals of FR: Wilson's (1927), which are right where "
    "few faces or none fail; for a mean of subsets those of the subsets are combined. Intervals "
    "measure the choice of the faces, not the chance in training.",
)


def write_page(folder: Path, summary: dict, about: dict, maps: Sequence[str] = ()) -> None:
    """Write report.html and report.md from a summary and the pictures in `folder`.

    `maps` are the names of its pictures of maps.
    """
    html_page = page(_title(about), _html_sections(folder, summary, about, maps))
    (folder / "report.html").write_text(html_page, encoding="utf-8")
    (folder / "report.md").write_text(_markdown(folder, summary, about, maps), encoding="utf-8")


def page(title: str, sections: Sequence[str]) -> str:
    """A whole HTML document that needs no other file."""
    body = "\n".join(sections)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"{body}\n</body>\n</html>\n"
    )


def to_html(table: Table) -> str:
    """The table as HTML, with error bars in small print under the numbers."""

    def cell(value):
        if isinstance(value, str):
            return f"<td>{html.escape(value)}</td>"
        return f"<td>{html.escape(value[0])}<small>{html.escape(value[1])}</small></td>"

    def line(first, *others):
        kind = " class=all" if first == "all" else ""
        head = f'<th scope="row">{html.escape(first)}</th>'
        return f"<tr{kind}>{head}{''.join(map(cell, others))}</tr>"

    heads = "".join(f'<th scope="col">{html.escape(head)}</th>' for head in table.heads)
    rows = "\n".join(line(*row) for row in table.rows)
    return (
        f"<h3>{html.escape(table.title)}</h3>\n"
        f'<div class="wide"><table><thead><tr>{heads}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody></table></div>"
    )


def beside(*names: str) -> str:
    """A line of links to files in the page's folder."""
    links = ", ".join(f'<a href="{html.escape(name)}">{html.escape(name)}</a>' for name in names)
    return f'<p class="note">Data: {links}</p>'


def beside_in_markdown(*names: str) -> str:
    """The same in Markdown."""
    return "Data: " + ", ".join(f"[{name}]({name})" for name in names)


def figure(path: Path, caption: str) -> str:
    """A picture inside the page. Photographs are stored as JPEG, because they are large."""
    photos = path.name.startswith(("faces", "maps"))
    if photos:
        picture = cv2.imread(str(path))
        assert picture is not None  # it was written by the report
        data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 88])[1]
        kind, data = "jpeg", data.tobytes()
    else:
        kind, data = "png", path.read_bytes()
    text, name = html.escape(caption), ' class="photos"' if photos else ""
    return (
        f'<figure{name}><img alt="{text}" src="data:image/{kind};base64,'
        f'{base64.b64encode(data).decode()}"><figcaption>{text}</figcaption></figure>'
    )


def cards(numbers: Sequence[tuple[str, float, Sequence[float]]]) -> str:
    """The few numbers that readers look for first: name, fraction, and the ends of its interval."""
    inner = "".join(
        f'<div class="card"><span>{html.escape(name)}</span><b>{percent(value)} %</b>'
        f"<span>[{percent(low)}, {percent(high)}]</span></div>"
        for name, value, (low, high) in numbers
    )
    return f'<div class="cards">{inner}</div>'


def facts(about: dict) -> str:
    """Names and values as HTML. Those without a value are left out."""
    inner = "".join(
        f"<dt>{html.escape(key.replace('_', ' '))}</dt><dd>{html.escape(in_words(value))}</dd>"
        for key, value in about.items()
        if value not in ("", None, [], {})
    )
    return f"<dl>{inner}</dl>"


def listed(about: dict) -> str:
    """The same as a Markdown list."""
    known = {key: value for key, value in about.items() if value not in ("", None, [], {})}
    texts = {key: printable(in_words(value)).replace("`", "'") for key, value in known.items()}
    return "\n".join(f"* {key.replace('_', ' ')}: `{text}`" for key, text in texts.items())


def in_words(value: object) -> str:
    """A value of `about` in words."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {part}" for key, part in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def folded(title: str, *inner: str) -> str:
    return f"<details><summary>{html.escape(title)}</summary>\n{''.join(inner)}\n</details>"


def _title(about):
    return f"Evaluation on {about['data']}" if about.get("data") else "Evaluation"


def _html_sections(folder, summary, about, maps):
    headline, row = summary["headline"], summary["rows"][-1]
    columns = tables.statistics(summary["limits"])
    numbers = [
        (tables.heading(key), row[headline][key], row["intervals"][headline][key])
        for key in columns
    ]
    of = [about[key] for key in ("checkpoint", "predictions") if about.get(key)]
    crop = [f"cropped by {about['box']} boxes"] if about.get("box") else []
    lead = ", ".join([*of, f"{summary['faces']} faces", summary["scheme"], *crop])
    remarks = [*tables.fractions(summary), *summary["notes"]]
    folds = [to_html(table) for table in tables.normaliser_tables(summary)]
    return [
        f"<h1>{html.escape(_title(about))}</h1>",
        f'<p class="lead">{html.escape(lead)}</p>',
        cards(numbers),
        f'<p class="note">All faces; in brackets the {interval_name(summary)}.</p>',
        "<h2>Results as in the papers</h2>",
        to_html(tables.papers_table(summary)),
        beside("table.csv", "report.json"),
        *(f'<p class="note">{html.escape(line)}</p>' for line in remarks),
        figure(folder / "ced.png", "Cumulative error distribution of each subset."),
        beside("ced.csv"),
        "<h2>Faces</h2>",
        figure(
            folder / "faces.png",
            "Predicted (blue) and true (yellow) points; the worst faces last.",
        ),
        beside("predictions.jsonl"),
        *(figure(folder / name, _of_maps(name)) for name in maps),
        "<h2>Where on the face</h2>",
        to_html(tables.region_table(summary)),
        beside("regions.csv", "landmarks.csv", "pck.csv"),
        '<div class="pair">',
        figure(folder / "landmarks.png", "Error of each landmark on the mean face."),
        figure(folder / "pck.png", "Share of correct landmarks, PCK."),
        "</div>",
        folded("Every landmark", to_html(tables.landmark_table(summary))),
        "<h2>Every normaliser and threshold</h2>",
        folded("Tables", *folds, to_html(tables.percentile_table(summary)), beside("table.csv")),
        *_training(folder),
        "<h2>How it was measured</h2>",
        *(f"<p>{html.escape(line)}</p>" for line in HOW),
        facts(_facts(summary, about)),
        *(
            folded(key.capitalize(), f"<pre>{html.escape(_json(about[key]))}</pre>")
            for key in ASIDE
            if about.get(key)
        ),
    ]


def _training(folder):
    """The curves of the checkpoint's run, if they are there."""
    path = folder / "training.png"
    if not path.exists():
        return []
    return ["<h2>Training</h2>", figure(path, TRAINED), beside("training.csv")]


def _of_maps(name):
    return f"The same faces, plain and under the maps that the system makes of them ({name})."


def _markdown(folder, summary, about, maps):
    def picture(name, caption):
        return f"![{caption}]({name})" if (folder / name).exists() else ""

    blocks = [
        f"# {tables.in_markdown(_title(about))}",
        f"{summary['faces']} faces, {summary['scheme']}. In brackets the {interval_name(summary)}.",
        to_markdown(tables.papers_table(summary)),
        beside_in_markdown("table.csv", "report.json"),
        *tables.fractions(summary),
        *map(tables.in_markdown, summary["notes"]),
        picture("ced.png", "cumulative error distribution"),
        beside_in_markdown("ced.csv"),
        to_markdown(tables.region_table(summary)),
        picture("landmarks.png", "error of each landmark"),
        picture("pck.png", "share of correct landmarks"),
        beside_in_markdown("regions.csv", "landmarks.csv", "pck.csv"),
        "## Every normaliser and threshold",
        *(to_markdown(table) for table in tables.normaliser_tables(summary)),
        to_markdown(tables.percentile_table(summary)),
        "## Faces",
        picture("faces.png", "predicted and true points"),
        beside_in_markdown("predictions.jsonl"),
        *(picture(name, _of_maps(name)) for name in maps),
        *(
            ["## Training", picture("training.png", TRAINED), beside_in_markdown("training.csv")]
            if (folder / "training.png").exists()
            else []
        ),
        "## How it was measured",
        *HOW,
        listed(_facts(summary, about)),
        *(f"{key}:\n\n```json\n{_json(about[key])}\n```" for key in ASIDE if about.get(key)),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _facts(summary, about):
    hashes = summary["sha256"]
    of = {"SHA-256 of the ids": hashes["ids"], "SHA-256 of the annotations": hashes["annotations"]}
    return {key: about[key] for key in about if key not in ASIDE} | of


def _json(value):
    return json_text(value, indent=2, default=str, ensure_ascii=False)
