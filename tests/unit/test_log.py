"""Our log lines, as they are written."""

import json
import threading
from collections.abc import Iterator

import pytest
import structlog

from omapush import log


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Later tests log as if nobody had set it up."""
    yield
    structlog.reset_defaults()


def test_lines_of_every_thread_name_their_process(capsys: pytest.CaptureFixture[str]) -> None:
    log.setup("api", level="info", form="json")
    writer = threading.Thread(target=lambda: log.get().warning("store_trouble", problem="away"))
    writer.start()
    writer.join()

    line = json.loads(capsys.readouterr().err)
    assert (line["process"], line["event"], line["level"]) == ("api", "store_trouble", "warning")
