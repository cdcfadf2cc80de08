"""Predicates of the grammar that is read, texts that nearly are, and properties that they speak of."""

import json
from typing import Any

from hypothesis import strategies as st

KEYS = ("a", "b", "größe", "exists", "", '"\\ x')
NUMBERS = (0, 1, -1, 2, 1.5, 9007199254740992, 9007199254740993, 10**22, 1e-7)
TEXTS = ("", "x", "xy", "Xy", 'x"\\\n', "größe 😀", "1")
PATTERNS = ("x", "^x", "y$", "^x?y*$", "[^x]", "[w-z]+", ".", "^.*$", "\\.", "ö", "\\\\")
WORDS = ("a", "a", "b", "größe", "exists")
WHITE_SPACE = ("", "", "", " ", " ", "\n\t ")
FRAGMENTS = (
    *(
        "$",
        "@",
        "$.a",
        ".b",
        ".*",
        ".**",
        "[*]",
        "[0]",
        "[last]",
        "?",
        "(",
        ")",
        "!",
        "&&",
        "||",
        "==",
        "<",
        "<>",
        "=",
    ),
    *(
        "exists(",
        "starts with ",
        "like_regex ",
        ' flag "i"',
        " is unknown",
        "strict ",
        "$x",
        ".size()",
        ".keyvalue()",
    ),
    *(
        '"x"',
        '"(a+)+b"',
        '"\\1"',
        "'",
        '"',
        "\\",
        "1e400",
        "-",
        "+",
        "/*",
        "--",
        ";",
        "null",
        "\0",
        "\ud800",
        "é",
        "%",
    ),
)


def numbers() -> st.SearchStrategy[str]:
    return st.sampled_from(
        [*(repr(number) for number in NUMBERS), "-0", "1.50", "1E2", "1e-7", "-0.0000000000000000001"]
    )


@st.composite
def texts(draw: st.DrawFn, values: tuple[str, ...]) -> str:
    return json.dumps(draw(st.sampled_from(values)), ensure_ascii=draw(st.booleans()))


def literals() -> st.SearchStrategy[str]:
    return st.one_of(numbers(), numbers(), texts(TEXTS), st.sampled_from(["true", "false", "null"]))


@st.composite
def paths(draw: st.DrawFn, root: str = "$") -> str:
    steps = [
        st.tuples(spaces(), spaces(), st.sampled_from(WORDS)).map(lambda step: "{}.{}{}".format(*step)),
        texts(("a", "b", *KEYS)).map(".{}".format),
        st.sampled_from(["[*]", "[ * ]", "[0]", "[1]"]),
    ]
    if root == "$":
        steps += [predicates("@").map("?({})".format)] * 2
    return root + "".join(draw(st.lists(st.one_of(steps), max_size=3 if root == "$" else 2)))


def spaces() -> st.SearchStrategy[str]:
    return st.sampled_from(WHITE_SPACE)


@st.composite
def comparisons(draw: st.DrawFn, root: str) -> str:
    path, between = draw(paths(root)), draw(spaces())
    sign = draw(st.sampled_from(["==", "!=", "<>", "<", "<=", ">", ">="]))
    match draw(st.sampled_from(["path first", "path first", "literal first", "text", "exists"])):
        case "path first":
            return f"{path}{between}{sign}{between}{draw(literals())}"
        case "literal first":
            return f"{draw(literals())}{between}{sign}{between}{path}"
        case "text":
            how, values = draw(st.sampled_from([("starts with", TEXTS), ("like_regex", PATTERNS)]))
            return f"{path} {how}{between}{draw(texts(values))}"
        case _:
            return f"{draw(st.sampled_from(['', '!', '! ']))}exists{between}({path})"


@st.composite
def predicates(draw: st.DrawFn, root: str = "$") -> str:
    """Predicates that can be read; within a filter they speak of ``@``."""
    conditions = draw(st.lists(comparisons(root), min_size=1, max_size=4 if root == "$" else 2))
    made = conditions[0]
    for condition in conditions[1:]:
        form = draw(st.sampled_from(["{} && {}", "{}||{}", "({}) && {}", "!({})||{}", "{} && !( {} )", "({} || {})"]))
        made = form.format(made, condition)
    return draw(spaces()) + made + draw(spaces())


@st.composite
def mutated_predicates(draw: st.DrawFn) -> str:
    """Predicates to which something was done that mostly leaves none."""
    text = draw(predicates())
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 5)))
        text = (
            text[:start] + draw(st.one_of(st.just(""), st.sampled_from(FRAGMENTS), st.text(max_size=2))) + text[end:]
        )
    return text


def documents() -> list[dict[str, Any]]:
    """Properties of which the predicates speak: every value, in everything that members and elements can be in."""
    values: list[Any] = [*NUMBERS, *TEXTS, True, False, None, [], {}]
    pairs = [(value, values[(place + step) % len(values)]) for step in (1, 5) for place, value in enumerate(values)]
    return [document for value, other in pairs for document in _documents(value, other)]


def _documents(value: Any, other: Any) -> list[dict[str, Any]]:
    return [
        {"a": value, "b": other},
        {"a": [value, other], "b": {"a": value, "b": [other]}},
        {"a": {"b": value, "a": other}, "b": [[value], other]},
        {"a": [{"b": value}, {"b": other, "a": value}], "größe": other},
        {"a": [[{"b": value}], {"b": [value, other]}], "größe": {"a": value}},
        {key: {"a": value, "b": [other]} for key in KEYS},
    ]
