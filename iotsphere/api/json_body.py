"""JSON as it comes in, with every way in which it can be bad turned into a refusal, and JSON as it goes out."""

from collections.abc import Iterator
from typing import Any

import msgspec

from iotsphere.kernel.errors import MalformedInputError, RuleViolationError


class JsonMalformedError(MalformedInputError):
    code = "request.json.malformed"


def decode_json(body: bytes) -> Any:
    """Read JSON strictly: no NaN, no lone surrogates, no bad UTF-8, no nesting that exhausts the stack.

    :raises JsonMalformedError: it is not JSON, or it is nested too deeply to be read.
    """
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
        raise JsonMalformedError(f"The body is not valid JSON: {error}.") from error
    except RecursionError as error:
        raise JsonMalformedError("The body is nested too deeply.") from error


def decode_storable_json(body: bytes) -> Any:
    r"""Read JSON of which every text can be stored: PostgreSQL keeps no ``\u0000``.

    :raises JsonMalformedError: it cannot be read.
    :raises RuleViolationError: a text holds the character, named by its path.
    """
    value = decode_json(body)
    if b"\\u0000" in body:
        paths = [path for path, text in _texts(value, "") if "\0" in text]
        if paths:
            errors = {path or "body": ["Must not contain the character U+0000."] for path in paths}
            raise RuleViolationError("A text contains the character U+0000, which cannot be stored.", errors)
    return value


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            # A key is named by where it stands: shown as it is, it would carry the character into the answer.
            yield path, key
            yield from _texts(item, f"{path}.{key}".lstrip(".").replace("\0", "�"))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, f"{path}.{index}".lstrip("."))


encode_json = msgspec.json.encode
