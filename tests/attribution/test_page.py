"""The files of a report: a page that opens offline, obeys nothing that a title says, and names what is missing."""

import json

from recommender.attribution import MediaOptions, explain_media
from recommender.attribution.page import html, write_report
from recommender.data.catalogue import Catalogue
from recommender.engine import make_request

FOUR = MediaOptions(rows=2, columns=2)


def test_the_folder_holds_the_report_and_its_pictures(media_engine, tmp_path):
    report = explain_media(media_engine, make_request(history=["102"]), "109", FOUR)
    told = write_report(report, tmp_path / "new")
    assert {path.name for path in (tmp_path / "new").iterdir()} >= {
        "report.json",
        "report.html",
        "picture.png",
        "sound.png",
    }
    assert json.loads((tmp_path / "new" / "report.json").read_text()) == told
    assert (
        told["picture"]["png"] == "picture.png"
        and (tmp_path / "new" / "picture.png").read_bytes() == report.picture.png
    )
    page = (tmp_path / "new" / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 2 and "http" not in page


def test_script_in_a_title_stays_text(make_media_engine, media_catalogue):
    items = list(media_catalogue)
    items[3] = type(items[3])(item_id="103", title="<script>alert(1)</script>", attributes={})
    engine = make_media_engine(catalogue=Catalogue(items))
    page = html(explain_media(engine, make_request(history=["102"]), "103", FOUR))
    assert "<script>" not in page and "&lt;script&gt;" in page
    assert "No map: the item has no picture" in page and "No seconds: the item has no sound" in page
