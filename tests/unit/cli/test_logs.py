import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from iotsphere.cli.logs import configure_logging


@pytest.fixture(autouse=True)
def default_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def fail(password: str) -> int:
    return len(password) // 0


def test_an_unexpected_error_is_logged_with_its_place_and_none_of_the_values_at_hand(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("info")
    with pytest.raises(ZeroDivisionError) as caught:
        fail("correct horse battery staple")

    structlog.get_logger().error("request.failed", exc_info=caught.value)

    line = capsys.readouterr().err
    (exception,) = json.loads(line)["exception"]
    assert exception["exc_type"] == "ZeroDivisionError"
    assert exception["frames"][-1]["name"] == "fail"
    assert "correct horse" not in line


def test_a_line_carries_the_correlation_id_of_what_caused_it(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("warning")

    with structlog.contextvars.bound_contextvars(correlation_id="from-a-client"):
        structlog.get_logger().info("too.quiet")
        structlog.get_logger().warning("loud.enough")

    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["correlation_id"]) == ("loud.enough", "from-a-client")


def test_what_a_library_logs_is_an_object_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")
    with pytest.raises(ZeroDivisionError) as caught:
        fail("correct horse battery staple")

    with structlog.contextvars.bound_contextvars(correlation_id="from-a-client"):
        logging.getLogger("library").debug("too quiet")
        logging.getLogger("library").error("%s failed", "it", exc_info=caught.value)

    line = capsys.readouterr().err
    written = json.loads(line)
    assert (written["event"], written["level"], written["correlation_id"]) == ("it failed", "error", "from-a-client")
    assert written["exception"][0]["exc_type"] == "ZeroDivisionError"
    assert "correct horse" not in line
