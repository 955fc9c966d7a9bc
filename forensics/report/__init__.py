"""The case report: one HTML file that works offline, and the tables beside it.

Example: ``save_report(data, "report/report.html")``.
"""

from __future__ import annotations

from forensics.report.data import ReportData
from forensics.report.page import render_report, save_report
from forensics.report.pdf import save_pdf
from forensics.report.tables import write_csv

__all__ = ["ReportData", "render_report", "save_pdf", "save_report", "write_csv"]
