"""The words of a predicate, as PostgreSQL would part them, of those that can stand in one."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from iotsphere.assets.predicate_errors import PredicateMalformedError


class Kind(Enum):
    NUMBER = auto()
    STRING = auto()
    WORD = auto()
    SIGN = auto()
    OTHER = auto()
    """Nothing that can stand anywhere."""
    END = auto()


_TOKENS = {
    Kind.NUMBER: r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?(?![\w.])",
    Kind.STRING: r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"',
    Kind.WORD: r"[^\W\d]\w*",
    Kind.SIGN: r"&&|\|\||==|!=|<>|<=|>=|\$(?!\w)|[<>!()?@.*\[\]]",
    # A text that has no end, or an escape that JSON has not, is shown from where it begins; variables by their names,
    # and what begins as a number whole.
    Kind.OTHER: r'".*|\$\w+|-?[0-9](?:[eE][+-]|[\w.])*|.',
    Kind.END: r"\Z",
}
# No other white space: what PostgreSQL does not skip belongs to the name of a member.
_TOKEN = re.compile(
    r"[ \t\n\r\f]*(?:" + "|".join(f"(?P<{kind.name}>{pattern})" for kind, pattern in _TOKENS.items()) + ")", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Token:
    """``position`` is that of its first character, counted from 1."""

    kind: Kind
    text: str
    position: int

    def __str__(self) -> str:
        return "the end" if self.kind is Kind.END else self.text


def tokens(text: str) -> Iterator[Token]:
    """Give what a predicate consists of; the last one is its end."""
    for found in _TOKEN.finditer(text):
        kind = Kind[found.lastgroup or Kind.END.name]
        yield Token(kind, found[kind.name], found.start(kind.name) + 1)
        if kind is Kind.END:
            return


def text_of(token: Token) -> str:
    """Give the text that a token in double quotes stands for.

    :raises PredicateMalformedError: it holds what no stored text can hold.
    """
    text: str = json.loads(token.text)
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise PredicateMalformedError(token.position, token.text, "a text without U+0000 and half surrogate pairs")
    return text


def quoted(text: str) -> str:
    """Write a text as PostgreSQL reads it back, whatever it holds."""
    return json.dumps(text, ensure_ascii=False)
