import logging
import sys

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import Processor

# Without the variables of each frame, which hold whatever the request held: passwords, keys, readings.
WRITE_TRACEBACK = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)
FACTS: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]
WRITE: list[Processor] = [WRITE_TRACEBACK, structlog.processors.JSONRenderer()]


def configure_logging(level: str) -> None:
    """Write one JSON object per line to standard error, each with the correlation id of what caused it.

    What libraries log in the standard way comes out likewise.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*FACTS, *WRITE],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        ProcessorFormatter(foreign_pre_chain=FACTS, processors=[ProcessorFormatter.remove_processors_meta, *WRITE])
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(number)
