r"""Which patterns ``like_regex`` may be given.

Characters stand for themselves, ``.`` for any one, ``[...]`` for one of several, and behind each may stand ``*``,
``+`` or ``?``. What is not here makes PostgreSQL take longer, to prepare a pattern or to match, than pattern and text
are long: groups, counts, references back, looking around, and the large classes that ``\w`` and its like stand for.
"""

import re

from iotsphere.assets.predicate_errors import PredicatePatternError
from iotsphere.assets.predicate_tokens import Token, text_of

_PLAIN = r"[^.^$*+?()\[\]{}|\\]"
_ESCAPED = r"\\[.^$*+?()\[\]{}|\\/-]"
_RANGE = r"\w-\w"
_CLASS = rf"\[\^?(?:{_RANGE}|[^\[\]\\^-])+-?\]"
_PATTERN = re.compile(rf"\^?(?:(?:{_CLASS}|{_ESCAPED}|\.|{_PLAIN})[*+?]?)*\$?")
_CLASSES, _RANGES = re.compile(_CLASS), re.compile(_RANGE)


def check_pattern(token: Token) -> str:
    """Give the pattern that a token in double quotes stands for.

    :raises PredicatePatternError: it is none that may be used.
    :raises PredicateMalformedError: it holds what no text can hold.
    """
    pattern = text_of(token)
    understood = _PATTERN.match(pattern)
    end = understood.end() if understood else 0
    if end < len(pattern):
        reason = (
            f"{pattern[end]} as its character {end + 1} is not supported there. There are . and [a-z] with *, + and"
            " ?, ^ at the beginning, $ at the end, and \\ before what shall stand for itself."
        )
        raise PredicatePatternError(token.position, reason)
    for found in _RANGES.findall("".join(_CLASSES.findall(pattern))):
        if found[0] > found[2]:
            raise PredicatePatternError(token.position, f"{found} is no range: {found[2]} comes before {found[0]}.")
    return pattern
