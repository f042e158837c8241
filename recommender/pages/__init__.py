"""Reports as one HTML file each: one look, pictures inside, nothing loaded from elsewhere, readable on paper too."""

from recommender.pages.report import Picture, Report, Table, embedded, page_environment, report_html

__all__ = ["Picture", "Report", "Table", "embedded", "page_environment", "report_html"]
