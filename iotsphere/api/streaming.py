"""Answers that go out piece by piece, as the client takes them."""

from collections.abc import AsyncIterator

from quart import Response, request

from iotsphere.api.operation import CSV

# For whoever reads an answer slowly; who has stopped to is hung up on.
MAX_ANSWER_SECONDS = 3600


def content_type_of(media_type: str) -> str:
    return f"{CSV}; charset=utf-8" if media_type == CSV else media_type


def streamed(pieces: AsyncIterator[bytes], media_type: str) -> Response:
    """Give the pieces as they come. A failure in the middle ends the connection, not the answer, so that it shows."""
    # The framework would read the whole of an answer that the server then leaves out.
    sent = iter(()) if request.method == "HEAD" else pieces
    response = Response(sent, content_type=content_type_of(media_type))
    response.timeout = MAX_ANSWER_SECONDS
    return response
