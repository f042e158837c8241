"""Pages of reports: they stand alone, show what they are given as text, and mark the best of a column."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import jinja2
import pytest

from recommender.pages import Picture, Report, Table, embedded, page_environment, report_html
from recommender.pages.drawing import bar_chart, line_chart
from recommender.pages.report import shown

PNG = b"\x89PNG\r\n\x1a\n"


class Read(HTMLParser):
    """Collects tags and the text of cells."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.cells, self._in_cell = [], [], False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("td", "th"):
            self.cells.append("")
            self._in_cell = True

    def handle_endtag(self, tag):
        self._in_cell = self._in_cell and tag not in ("td", "th")

    def handle_data(self, data):
        if self._in_cell:
            self.cells[-1] += data


def test_pages_include_the_shared_style_and_escape_what_they_are_given(tmp_path):
    (tmp_path / "page.jinja").write_text('<style>{% include "page_style.css.jinja" %}</style>{{ name }}')
    page = page_environment(tmp_path).get_template("page.jinja").render(name="<b> & co")
    assert "--accent" in page and page.endswith("&lt;b&gt; &amp; co")


def test_a_name_that_a_page_is_not_given_is_an_error(tmp_path):
    (tmp_path / "page.jinja").write_text("{{ nobody }}")
    with pytest.raises(jinja2.UndefinedError, match="nobody"):
        page_environment(tmp_path).get_template("page.jinja").render()


def test_a_folder_of_templates_comes_before_the_shared_one(tmp_path):
    (tmp_path / "page_style.css.jinja").write_text("mine")
    assert page_environment(tmp_path).get_template("page_style.css.jinja").render() == "mine"


def test_pictures_become_data_urls():
    (source,) = embedded({"title": b"png"}).values()
    assert base64.b64decode(source.removeprefix("data:image/png;base64,")) == b"png"


def test_a_report_stands_alone_and_holds_every_part_in_its_order():
    rows = [
        {"model": "<script>alert(1)</script>", "N@10": 0.12345, "users": 12000},
        {"model": "b", "N@10": 0.2, "more": True},
    ]
    parts = [Picture("A picture", PNG, "what it shows"), Table("A table", rows, "A note.", {"N@10": True})]
    html = report_html(Report("Title & more", "What was done.", parts, ["Read it so."], {"seed": 1, "gpu": None}))
    read = Read(html)
    assert not {"script", "link"} & {tag for tag, _ in read.tags}
    assert all(attrs["src"].startswith("data:image/png;base64,") for tag, attrs in read.tags if tag == "img")
    assert not re.search(r"https?://", html)
    assert read.cells[:4] == ["model", "N@10", "users", "more"]
    assert read.cells[4:] == ["<script>alert(1)</script>", "0.1235", "12,000", "–", "b", "0.2", "–", "yes"]
    assert [attrs["class"].strip() for tag, attrs in read.tags if tag == "td"].count("best") == 1
    assert html.index("A picture") < html.index("A table") < html.index("A note.") < html.index("Read it so.")
    assert "seed 1" in html and "gpu" not in html and "Title &amp; more" in html and "@media print" in html


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (float("nan"), "–"), (False, "no"), (1234567, "1,234,567"), (0.00012, "0.00012")]
)
def test_values_are_shown_short(value, text):
    assert shown(value) == text


def test_plots_are_png():
    bars = bar_chart({"a": 1.0, "b" * 80: 2.0}, "nats", [0.9, 1.8], [1.1, 2.2])
    lines = line_chart({"a": ([1, 2], [0.1, 0.2])}, "round", "share", {"a": ([0.0, 0.1], [0.2, 0.3])}, whole=True)
    assert bars.startswith(PNG) and lines.startswith(PNG) and len(lines) > 5000
    assert bar_chart({}, "nothing").startswith(PNG)
