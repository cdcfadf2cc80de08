"""The size budgets of the project: what grows beyond them is two things."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for package in ("iotsphere", "repositories") for path in (ROOT / package).rglob("*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef

# The three places that may catch everything: whoever stands there answers for it.
MAY_CATCH_EVERYTHING = {"iotsphere/api/errors.py", "iotsphere/worker/delivery.py", "iotsphere/cli/main.py"}


def functions() -> Iterator[tuple[str, Function]]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, Function):
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node


def length(function: Function) -> int:
    """Count the lines of code: a docstring says what is promised, and is no part of how."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


def percentile_90(values: list[int]) -> float:
    return quantiles(values, n=10)[-1]


def test_functions_are_short() -> None:
    lengths = {name: length(function) for name, function in functions()}

    assert {name: lines for name, lines in lengths.items() if lines > 60} == {}
    assert median(lengths.values()) <= 10
    assert percentile_90(list(lengths.values())) <= 30


def test_files_are_short() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in SOURCES}
    lengths = {name: lines for name, lines in lengths.items() if lines}

    assert {name: lines for name, lines in lengths.items() if lines > 500} == {}
    assert median(lengths.values()) <= 120
    assert percentile_90(list(lengths.values())) <= 300


def test_functions_take_few_arguments() -> None:
    counts = [
        len(
            [
                argument
                for argument in (*node.args.posonlyargs, *node.args.args)
                if argument.arg not in {"self", "cls"}
            ]
        )
        + len(node.args.kwonlyargs)
        for _, node in functions()
    ]

    assert percentile_90(counts) <= 4


def test_class_names_are_unique() -> None:
    names = Counter(
        node.name
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    )

    assert [name for name, count in names.items() if count > 1] == []


def test_only_three_places_catch_everything() -> None:
    catching = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler) and _catches_everything(node)
    }

    assert catching <= MAY_CATCH_EVERYTHING


def _catches_everything(handler: ast.ExceptHandler) -> bool:
    """Whoever cleans up and raises again catches nothing."""
    is_broad = handler.type is None or (
        isinstance(handler.type, ast.Name) and handler.type.id in {"Exception", "BaseException"}
    )
    raises_again = any(isinstance(node, ast.Raise) and node.exc is None for node in ast.walk(handler))
    return is_broad and not raises_again


def test_only_config_reads_the_environment() -> None:
    reading = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv"})
        or (isinstance(node, ast.keyword) and node.arg == "envvar")
    }

    assert reading == {"iotsphere/config.py"}


def test_no_module_is_a_lumber_room() -> None:
    lumber_rooms = {"utils", "helpers", "common", "base", "manager", "misc"}

    assert [path for path in SOURCES if path.stem in lumber_rooms] == []


@pytest.mark.parametrize("package", ["features", "tests/api", "tests/contract", "tests/integration"])
def test_nothing_is_patched(package: str) -> None:
    sources = [path.read_text() for path in (ROOT / package).rglob("*.py")]

    assert sources
    assert not any("unittest.mock" in source or "mock.patch" in source for source in sources)


def test_every_setting_is_read() -> None:
    tree = ast.parse((ROOT / "iotsphere/config.py").read_text())
    settings = next(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == "Settings")
    fields = [ast.unparse(node.target) for node in settings.body if isinstance(node, ast.AnnAssign)]
    elsewhere = " ".join(path.read_text() for path in SOURCES if path.name != "config.py")

    assert fields
    assert [field for field in fields if f".{field}" not in elsewhere] == []
