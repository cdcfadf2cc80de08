"""Predicates on properties, in a part of the SQL/JSON path language: ``$.rated_power_kw > 5 && $.maker == "Wilo"``.

They come from outside and end in PostgreSQL, which reads more than is good for it: two arrays compared with each
other keep it busy past every time-out. So a predicate is read here, by a grammar in which the work grows no faster
than the document does, and what PostgreSQL is given is written anew from what was read.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from sys import float_info
from typing import NamedTuple

from iotsphere.assets.predicate_errors import PredicateMalformedError, PredicateTooLargeError
from iotsphere.assets.predicate_pattern import check_pattern
from iotsphere.assets.predicate_tokens import Kind, Token, quoted, text_of, tokens

MAX_BYTES = 4 * 1024
# Each of these may look at everything that an asset has, 130 000 elements at the most, and PostgreSQL keeps what it
# looks at until it is through: 10 MB for a condition. A pattern twice as long takes up to four times as long.
MAX_CONDITIONS = 20
MAX_STEPS = 100
MAX_PATTERN_CHARACTERS = 100
MAX_LEVELS = 16
# No array that is kept has more elements; PostgreSQL refuses what is beyond 32 bits.
MAX_SUBSCRIPT = 2**17 - 1

# What each comparison becomes when its two sides change places.
_MIRRORED = {"==": "==", "!=": "!=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_COMPARISONS = "==, !=, <, <=, > or >="
_LITERALS = "a number, a text in double quotes, true, false or null"


@dataclass(frozen=True, slots=True)
class Range:
    """Says that a number from ``at_least`` to ``at_most`` is where the members ``keys`` lead to, one below the other.

    It may be an element of an array there, and arrays on the way are gone through, whatever is nested in them. Both
    ends are doubles and belong to the range: a comparison of exact numbers stays true of what they are rounded to.
    Two ranges of the same keys may be met by two numbers of one array.
    """

    keys: tuple[str, ...]
    at_least: float = -inf
    at_most: float = inf


@dataclass(frozen=True, slots=True)
class Predicate:
    """A predicate that PostgreSQL can be given as a ``jsonpath``, for ``@@``.

    ``indexed`` is the part of it that a GIN index of ``jsonb_path_ops`` narrows down, which holds wherever the whole
    does; of the rest the index knows nothing, and there may be nothing else.
    Whatever satisfies the predicate satisfies each of the ``ranges``, and much else may do so too.
    """

    text: str
    indexed: str | None = None
    ranges: tuple[Range, ...] = ()

    @property
    def is_indexed(self) -> bool:
        return self.indexed is not None


def read_predicate(text: str) -> Predicate:
    """Read a predicate as it was sent.

    :raises PredicateMalformedError: it cannot be read, or uses what is not supported.
    :raises PredicatePatternError: likewise a pattern in it.
    :raises PredicateTooLargeError: it asks for too much at once.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise PredicateMalformedError(error.start + 1, "half of a surrogate pair", "a character") from error
    if size > MAX_BYTES:
        raise PredicateTooLargeError(f"{MAX_BYTES} bytes")
    return _Reader(text).read()


class _Scope(NamedTuple):
    """What paths begin with, and the members that lead there."""

    root: str
    keys: tuple[str, ...]


_WHOLE = _Scope("$", ())


@dataclass(frozen=True, slots=True)
class _Path:
    text: str
    keys: tuple[str, ...]
    is_indexed: bool = False
    ranges: tuple[Range, ...] = ()

    def below(self, key: str) -> "_Path":
        return replace(self, text=f"{self.text}.{quoted(key)}", keys=(*self.keys, key))

    def at(self, subscript: str) -> "_Path":
        return replace(self, text=f"{self.text}[{subscript}]")

    def only(self, those: Predicate) -> "_Path":
        return replace(
            self,
            text=f"{self.text} ?{those.text}",
            is_indexed=self.is_indexed or those.is_indexed,
            ranges=self.ranges + those.ranges,
        )


class _Reader:
    """Reads by recursive descent: a method for each rule of the grammar, which begins where the one before ended."""

    def __init__(self, text: str) -> None:
        self._tokens = list(tokens(text))
        self._place = 0
        self._spent: Counter[str] = Counter()
        self._levels = 0
        self._scope = _WHOLE

    def read(self) -> Predicate:
        predicate = self._alternatives()
        if self._next.kind is not Kind.END:
            raise self._refusal("&&, || or the end")
        return predicate

    def _alternatives(self) -> Predicate:
        of = [self._conjunction()]
        while self._take("||"):
            of.append(self._conjunction())
        return of[0] if len(of) == 1 else _any_of(of)

    def _conjunction(self) -> Predicate:
        of = [self._condition()]
        while self._take("&&"):
            of.append(self._condition())
        return of[0] if len(of) == 1 else _all_of(of)

    def _condition(self) -> Predicate:
        if self._take("!"):
            return Predicate(f"!{self._existence_or_parentheses('( or exists').text}")
        if self._is_next("exists", "("):
            return self._existence_or_parentheses("")
        return self._comparison()

    def _existence_or_parentheses(self, allowed: str) -> Predicate:
        if self._is_next("("):
            return self._parentheses()
        self._need("exists", allowed)
        self._spend("conditions", 1, MAX_CONDITIONS)
        self._need("(")
        path = self._path()
        self._need(")", "., [, ? or )")
        text = f"exists({path.text})"
        return Predicate(text, text if path.is_indexed else None, path.ranges)

    def _parentheses(self) -> Predicate:
        self._need("(")
        self._levels += 1
        if self._levels > MAX_LEVELS:
            raise PredicateTooLargeError(f"{MAX_LEVELS} levels of parentheses")
        inner = self._alternatives()
        self._need(")", "&&, || or )")
        self._levels -= 1
        return replace(inner, text=f"({inner.text})", indexed=inner.indexed and f"({inner.indexed})")

    def _comparison(self) -> Predicate:
        self._spend("conditions", 1, MAX_CONDITIONS)
        if self._is_literal_next():
            literal = self._literal()
            comparison = _MIRRORED[self._comparison_sign(_COMPARISONS)]
            return _compared(self._path(), comparison, literal)
        path = self._path(f"{self._scope.root}, exists, !, ( or {_LITERALS}")
        if self._take("starts"):
            self._need("with")
            return Predicate(f"{path.text} starts with {quoted(text_of(self._string()))}", ranges=path.ranges)
        if self._take("like_regex"):
            return Predicate(f"{path.text} like_regex {quoted(self._pattern())}", ranges=path.ranges)
        comparison = self._comparison_sign(f"., [, ?, starts with, like_regex, {_COMPARISONS}")
        return _compared(path, comparison, self._literal())

    def _comparison_sign(self, allowed: str) -> str:
        if not self._is_next(*_MIRRORED):
            raise self._refusal(allowed)
        return self._advance().text

    def _is_literal_next(self) -> bool:
        return self._next.kind in {Kind.NUMBER, Kind.STRING} or self._is_next("true", "false", "null")

    def _literal(self) -> str:
        if not self._is_literal_next():
            raise self._refusal(_LITERALS)
        token = self._advance()
        if token.kind is Kind.STRING:
            return quoted(text_of(token))
        if token.kind is Kind.NUMBER and abs(float(token.text)) >= float_info.max:
            # What is stored and larger has been rounded to infinity.
            raise PredicateMalformedError(token.position, token.text, "a number within ±1.79e308")
        return token.text

    def _string(self) -> Token:
        if self._next.kind is not Kind.STRING:
            raise self._refusal("a text in double quotes")
        return self._advance()

    def _pattern(self) -> str:
        pattern = check_pattern(self._string())
        self._spend("characters in patterns", len(pattern), MAX_PATTERN_CHARACTERS)
        return pattern

    def _path(self, allowed: str = "") -> _Path:
        self._need(self._scope.root, allowed)
        path = _Path(*self._scope)
        while self._is_next(".", "[", "?"):
            self._spend("steps in paths", 1, MAX_STEPS)
            path = self._step(path)
        return path

    def _step(self, path: _Path) -> _Path:
        if self._take("."):
            return path.below(self._key())
        if self._take("["):
            step = path.at(self._subscript())
            self._need("]")
            return step
        return path.only(self._filter(path.keys))

    def _key(self) -> str:
        if self._next.kind is Kind.STRING:
            return text_of(self._advance())
        if self._next.kind is Kind.WORD:
            return self._advance().text
        raise self._refusal("the name of a member (a word, or a text in double quotes)")

    def _subscript(self) -> str:
        is_number = (
            self._next.kind is Kind.NUMBER and self._next.text.isdigit() and int(self._next.text) <= MAX_SUBSCRIPT
        )
        if not is_number and not self._is_next("*"):
            raise self._refusal(f"* or the number of an element, 0 to {MAX_SUBSCRIPT},")
        return self._advance().text

    def _filter(self, keys: tuple[str, ...]) -> Predicate:
        outer = self._scope
        if outer is not _WHOLE:
            raise self._refusal(f"., [, starts with, like_regex, {_COMPARISONS} (filters hold no filters)")
        self._need("?")
        self._scope = _Scope("@", keys)
        those = self._parentheses()
        self._scope = outer
        return those

    def _spend(self, what: str, amount: int, limit: int) -> None:
        self._spent[what] += amount
        if self._spent[what] > limit:
            raise PredicateTooLargeError(f"{limit} {what}")

    @property
    def _next(self) -> Token:
        return self._tokens[self._place]

    def _advance(self) -> Token:
        self._place += 1
        return self._tokens[self._place - 1]

    def _is_next(self, *texts: str) -> bool:
        return self._next.kind in {Kind.WORD, Kind.SIGN} and self._next.text in texts

    def _take(self, text: str) -> bool:
        is_next = self._is_next(text)
        if is_next:
            self._advance()
        return is_next

    def _need(self, text: str, allowed: str = "") -> None:
        if not self._take(text):
            raise self._refusal(allowed or text)

    def _refusal(self, allowed: str) -> PredicateMalformedError:
        return PredicateMalformedError(self._next.position, str(self._next), allowed)


def _any_of(predicates: Sequence[Predicate]) -> Predicate:
    text = " || ".join(predicate.text for predicate in predicates)
    indexed = [predicate.indexed for predicate in predicates if predicate.indexed is not None]
    return Predicate(text, " || ".join(indexed) if len(indexed) == len(predicates) else None)


def _all_of(predicates: Sequence[Predicate]) -> Predicate:
    return Predicate(
        " && ".join(predicate.text for predicate in predicates),
        " && ".join(predicate.indexed for predicate in predicates if predicate.indexed is not None) or None,
        tuple(found for predicate in predicates for found in predicate.ranges),
    )


def _compared(path: _Path, comparison: str, literal: str) -> Predicate:
    # Of a comparison that is none for equality, the index takes not even the filters of the path.
    text = f"{path.text} {comparison} {literal}"
    return Predicate(text, text if comparison == "==" else None, path.ranges + _ranges(path, comparison, literal))


def _ranges(path: _Path, comparison: str, literal: str) -> tuple[Range, ...]:
    if not path.keys or literal[0] not in "-0123456789":
        return ()
    number = float(literal)
    match comparison:
        case "==":
            return (Range(path.keys, number, number),)
        case ">" | ">=":
            return (Range(path.keys, at_least=number),)
        case "<" | "<=":
            return (Range(path.keys, at_most=number),)
        case _:
            return ()
