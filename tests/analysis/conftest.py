"""Tests that need a browser are left out where there is none."""

import shutil

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def find_browser() -> str | None:
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def pytest_collection_modifyitems(items):
    """The reason is printed with the summary of what was skipped."""
    if find_browser() is None:
        for item in items:
            if item.get_closest_marker("browser"):
                item.add_marker(pytest.mark.skip(reason=f"no browser: none of {', '.join(BROWSERS)} is installed"))


@pytest.fixture(scope="session")
def browser() -> str:
    """The program's path."""
    path = find_browser()
    if path is None:
        raise RuntimeError("a test that needs a browser lacks the marker")
    return path
