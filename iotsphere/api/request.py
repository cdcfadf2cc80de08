"""What a request is before it has found its way to an operation."""

import re
from typing import Any

from quart import Request

NOT_ASCII = re.compile(rb"[\x80-\xff]")


class RoutableRequest(Request):
    """A request on which the router cannot fail: where it does, no handler of ours is there yet to answer.

    It asks for the host, which none of our routes depends on and for which a client may send anything; and it reads
    the query as UTF-8, so what is not ASCII is handed on percent-encoded, to be judged by the operation.
    """

    host = "localhost"

    def __init__(self, method: str, scheme: str, path: str, query_string: bytes, *rest: Any, **options: Any) -> None:
        ascii_query = NOT_ASCII.sub(lambda byte: b"%%%02X" % byte[0][0], query_string)
        super().__init__(method, scheme, path, ascii_query, *rest, **options)
