"""A report as files to look at: JSON, the two pictures, and one page that opens without a network."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from recommender.attribution.drawing import signed
from recommender.attribution.report import MediaReport
from recommender.files import write_together
from recommender.pages import page_environment
from recommender.strict.json_documents import json_text

_TEMPLATES = Path(__file__).parent


def write_report(report: MediaReport, folder: Path) -> dict[str, Any]:
    """Write report.json, picture.png, sound.png (those that there are) and report.html; return what report.json holds."""
    told: dict[str, Any] = report.to_dict(pictures=False)
    contents: dict[str, bytes] = {}
    for name, part in (("picture", report.picture), ("sound", report.sound)):
        if part is not None:
            contents[f"{name}.png"] = part.png
            told[name]["png"] = f"{name}.png"
    contents["report.html"] = html(report).encode()
    contents["report.json"] = (json_text(told, indent=1) + "\n").encode()
    write_together(folder, contents)
    return told


def html(report: MediaReport) -> str:
    """Return the page, its pictures inside."""
    environment = page_environment(_TEMPLATES)
    environment.filters |= {"signed": signed, "png": _data_url}
    effects = [e.effect for e in report.modalities] + [e.effect for e in report.history]
    largest = max(map(abs, effects), default=0.0) or 1.0
    page = environment.get_template("media_report.html.jinja")
    return page.render(report=report, widest=largest, seconds=_strongest_seconds(report))


def _data_url(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _strongest_seconds(report: MediaReport) -> str:
    """Return the windows of a sound that raise the score most, in words."""
    if report.sound is None:
        return ""
    best = sorted(report.sound.windows, key=lambda window: -window.value)[:3]
    raising = sorted((window for window in best if window.value > 0), key=lambda window: window.start)
    return ", ".join(f"{window.start:.0f} to {window.end:.0f} s ({signed(window.value)})" for window in raising)
