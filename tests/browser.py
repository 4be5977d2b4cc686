"""A pytest plugin: tests marked `browser` run where there is one, and the summary says so if there is none."""

import shutil

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def find_browser() -> str | None:
    """The program's path; None if there is none."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def pytest_collection_modifyitems(config, items):
    of_browser = [item for item in items if item.get_closest_marker("browser")]
    if of_browser and find_browser() is None:
        config.hook.pytest_deselected(items=of_browser)
        items[:] = [item for item in items if item not in of_browser]


def pytest_terminal_summary(terminalreporter):
    # With several workers the process that prints has collected nothing itself.
    if find_browser() is None:
        names = ", ".join(BROWSERS)
        terminalreporter.write_line(f"tests marked browser are left out: none of {names} is installed")


@pytest.fixture(scope="session")
def browser() -> str:
    """The browser's path."""
    path = find_browser()
    if path is None:
        raise RuntimeError("a test that asks for a browser has to be marked so")
    return path
