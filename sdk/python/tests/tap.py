"""Runs tests with pytest, and prints in the end what came of each as TAP: tap.py [what pytest takes]."""

from __future__ import annotations

import sys
from typing import List

import pytest


class Tap:
    """A plugin that notes how each test ended."""

    def __init__(self) -> None:
        self.lines: List[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test is its call; what fails before or after it counts as a test of its own."""
        if report.failed:
            self.lines.append(f"not ok - {report.nodeid} ({report.when})")
        elif report.when == "call" or report.skipped:
            self.lines.append(f"ok - {report.nodeid}{' # SKIP' if report.skipped else ''}")


if __name__ == "__main__":
    tap = Tap()
    status = pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[1:]], plugins=[tap])
    print("\n".join(["", *tap.lines]))
    sys.exit(status)
