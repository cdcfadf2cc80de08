"""JSON as it comes in, with every way in which it can be bad turned into a refusal, and JSON as it goes out."""

import re
from collections.abc import Iterable
from typing import Any, TypeAlias

import msgspec

from iotsphere.kernel.errors import MalformedInputError, RuleViolationError

# The names on the way to a value, the last one first.
Way: TypeAlias = "tuple[str | int, Way] | None"

HIGH_SURROGATE = re.compile(rb"\\u[dD][89abAB]")
STRICT = msgspec.json.Decoder()


class JsonMalformedError(MalformedInputError):
    code = "request.json.malformed"


def decode_json(body: bytes, decoder: msgspec.json.Decoder[Any] = STRICT) -> Any:
    """Read JSON strictly: no NaN, no lone surrogates, no bad UTF-8, no nesting that exhausts the stack.

    :raises JsonMalformedError: it is not JSON, or it is nested too deeply to be read.
    """
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
        raise JsonMalformedError(_reason(body, error)) from error
    except RecursionError as error:
        raise JsonMalformedError("The body is nested too deeply.") from error


def _reason(body: bytes, error: Exception) -> str:
    if not body:
        return "There is no body. Send JSON."
    # To the decoder that is a text which ends too soon.
    is_half = (
        str(error) == "Input data was truncated"
        and body.rstrip().endswith((b"}", b"]"))
        and HIGH_SURROGATE.search(body)
    )
    return f"The body cannot be read: {'half of a surrogate pair is no character' if is_half else error}."


def decode_storable_json(body: bytes) -> Any:
    r"""Read JSON of which every text can be stored: PostgreSQL keeps no ``\u0000``.

    :raises JsonMalformedError: it cannot be read.
    :raises RuleViolationError: a text or a key holds the character; ``errors`` names one by its path.
    """
    value = decode_json(body)
    if b"\\u0000" in body:
        path = _path_to_null(value)
        if path is not None:
            errors = {path or "body": ["Must not contain the character U+0000."]}
            raise RuleViolationError("A text contains the character U+0000, which cannot be stored.", errors)
    return value


def _path_to_null(value: Any) -> str | None:
    """Find a text with U+0000; a key is named by the object that it stands in.

    A path is written out only when it is found, and nothing recurses: a hostile body has long keys and is deep.
    """
    pending: list[tuple[Any, Way]] = [(value, None)]
    while pending:
        item, way = pending.pop()
        members: Iterable[tuple[Any, Any]] = ()
        if isinstance(item, dict):
            members = item.items()
        elif isinstance(item, list):
            members = enumerate(item)
        elif isinstance(item, str) and "\0" in item:
            return _written(way)
        for name, member in members:
            if isinstance(name, str) and "\0" in name:
                return _written(way)
            pending.append((member, (name, way)))
    return None


def _written(way: Way) -> str:
    names = []
    while way is not None:
        name, way = way
        names.append(str(name))
    return ".".join(reversed(names))


encode_json = msgspec.json.encode
