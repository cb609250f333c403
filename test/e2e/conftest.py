"""Fixtures. A failing test shows the log of every server it used."""

import itertools
import os
import signal

import pytest

from harness import DTR, Peer, Workspace
from oci import Registry

_numbers = itertools.count(1)


# A shell starts what runs in the background with SIGINT ignored, and what we start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config):
    if "DTR_E2E_URL" not in os.environ and not os.access(DTR, os.X_OK) and not config.option.collectonly:
        pytest.exit(f"{DTR} is not there: build it (cmake --build --preset release), or set DTR_BIN", returncode=1)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" and report.failed:
        for value in item.funcargs.values():
            logs = getattr(value, "logs", None) or getattr(value, "log", None)
            if callable(logs):
                report.sections.append(("server log", logs()[-12000:]))


@pytest.fixture
def figure(record_property):
    """Takes a sentence with numbers that is shown at the end, also if all is well."""
    return lambda sentence: record_property("figure", sentence)


def pytest_terminal_summary(terminalreporter):
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, value in report.user_properties:
            if name == "figure" and report.when == "call":
                terminalreporter.write_line(f"figure: {value}")


@pytest.fixture(scope="module")
def module_space():
    space = Workspace()
    yield space
    space.close()


@pytest.fixture
def space():
    """A fresh scratch directory; servers made with space.server() are gone at the end of the test."""
    space = Workspace()
    yield space
    space.close()


@pytest.fixture(scope="module")
def server(module_space):
    """One running registry for all tests of a file."""
    if "DTR_E2E_URL" in os.environ:
        return Peer(os.environ["DTR_E2E_URL"])
    return module_space.server("shared").start()


@pytest.fixture
def registry(server):
    """A client for one repository that nobody else uses, logged in as the administrator."""
    return Registry(server, f"admin/t{next(_numbers)}")


@pytest.fixture
def other(server):
    """A second repository of the same owner."""
    return Registry(server, f"admin/o{next(_numbers)}")
