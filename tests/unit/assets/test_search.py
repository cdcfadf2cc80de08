from typing import Any, Self, cast
from uuid import UUID

import pytest

from iotsphere.assets.errors import AggregateOverflowError, AggregateTooCostlyError, SearchTooCostlyError
from iotsphere.assets.ports import AssetSearchRepository
from iotsphere.assets.predicate import read_predicate
from iotsphere.assets.search import AssetFilter, AssetOrder, RelatedTo, read_order
from iotsphere.assets.search_position import AssetQuestion, SearchPosition
from iotsphere.assets.searching import AssetSearchService
from iotsphere.kernel.errors import RuleViolationError
from iotsphere.kernel.identifiers import AssetId, OrganisationId
from iotsphere.kernel.pagination import CursorMalformedError
from tests.fakes.assets import InMemoryAssetsUnitOfWork

OURS, THEIRS = OrganisationId(UUID(int=1)), OrganisationId(UUID(int=2))
ONE, OTHER = AssetId(UUID(int=3)), AssetId(UUID(int=4))


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("created_at", AssetOrder()),
        ("-created_at", AssetOrder(is_descending=True)),
        ("name", AssetOrder("name")),
        ("-name", AssetOrder("name", is_descending=True)),
        ("properties.kw", AssetOrder("properties", ("kw",))),
        ("-properties.motor.kw", AssetOrder("properties", ("motor", "kw"), is_descending=True)),
        ("properties.rated power-kw", AssetOrder("properties", ("rated power-kw",))),
        ('properties."a.b".c', AssetOrder("properties", ("a.b", "c"))),
        (r'properties."a\"b\\"', AssetOrder("properties", ('a"b\\',))),
        ("properties.ä.-", AssetOrder("properties", ("ä", "-"))),
        ("properties" + ".a" * 32, AssetOrder("properties", ("a",) * 32)),
    ],
)
def test_an_order_is_read_as_it_is_meant(text: str, order: AssetOrder) -> None:
    assert read_order(text) == order


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "--name",
        "+name",
        "Name",
        "updated_at",
        "properties",
        "properties.",
        "properties..a",
        "properties.a.",
        "properties.a b\0",
        "properties.\ud800",
        'properties."a',
        'properties."a"b',
        'properties.""',
        r'properties."a\b"',
        "properties.a\\",
        "properties." + "a" * 512,
        "properties" + ".a" * 33,
        "name,created_at",
    ],
)
def test_what_is_no_order_is_refused(text: str) -> None:
    with pytest.raises(RuleViolationError) as refused:
        read_order(text)

    assert [field.partition(".")[0] for field in refused.value.errors] == ["sort"]


@pytest.mark.parametrize("match", [{"a": "\0"}, {"a\0": 1}, {"a": "x" * 4090}])
def test_what_is_looked_for_in_properties_is_bounded_and_storable(match: dict[str, Any]) -> None:
    with pytest.raises(RuleViolationError) as refused:
        AssetFilter(match=match)

    assert next(iter(refused.value.errors)).startswith("match")


# Digits of other scripts, which the database takes for no part of a word: every name would fit.
@pytest.mark.parametrize("words", ["", " ", "-/.", "a\0", "\ud800", "٣", "३-४", "𐄇"])
def test_what_is_looked_for_in_names_has_a_word_in_it(words: str) -> None:
    with pytest.raises(RuleViolationError) as refused:
        AssetFilter(words=words)

    assert list(refused.value.errors) == ["q"]


@pytest.mark.parametrize("words", ["- 3", "水", "ᛮ", "²", "Ⓐ", "ﬁ", "مضخة ٣"])
def test_a_word_is_of_letters_of_any_script_or_of_digits_as_they_are_usually_written(words: str) -> None:
    assert AssetFilter(words=words).words == words


def test_a_filter_tells_the_assets_that_it_speaks_of() -> None:
    assert AssetFilter().named == ()
    assert AssetFilter(parent_id=ONE, ancestor=OTHER, related_to=RelatedTo(ONE)).named == (ONE, OTHER, ONE)


@pytest.mark.parametrize("number", [-1e308, -0.1, 0.0, 5e-324, 2.0**60, float("inf"), float("-inf")])
def test_a_position_comes_back_out_of_its_cursor(number: float) -> None:
    question = AssetQuestion(OURS, AssetFilter(), read_order("properties.kw"))
    position = SearchPosition(0, (0, number, "", 7))

    assert question.decode(question.encode(position)) == position


def test_a_cursor_belongs_to_its_question() -> None:
    anything, order = AssetFilter(), AssetOrder("name")
    position = SearchPosition(0, ("pump", UUID(int=7)))
    cursor = AssetQuestion(OURS, anything, order).encode(position)

    # The same, in other words.
    same = AssetFilter(match={"a": 1, "b": 2}), AssetFilter(match={"b": 2, "a": 1})
    assert (
        AssetQuestion(OURS, same[0], order).decode(AssetQuestion(OURS, same[1], order).encode(position)) == position
    )
    for other in (
        AssetQuestion(THEIRS, anything, order),
        AssetQuestion(OURS, anything, AssetOrder("name", is_descending=True)),
        AssetQuestion(OURS, AssetFilter(match={}), order),
        AssetQuestion(OURS, AssetFilter(words="pump"), order),
        AssetQuestion(OURS, AssetFilter(related_to=RelatedTo(ONE)), order),
        AssetQuestion(OURS, AssetFilter(path=read_predicate("$.a == 1")), order),
    ):
        with pytest.raises(CursorMalformedError):
            other.decode(cursor)


class SlowStore(InMemoryAssetsUnitOfWork):
    """Is at every search for too long."""

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.search = cast("AssetSearchRepository", self)
        return self

    async def list(self, *_: Any, **__: Any) -> None:
        raise SearchTooCostlyError


@pytest.mark.parametrize(
    ("narrowed_to", "field"),
    [
        (AssetFilter(), "match"),
        (AssetFilter(match={"maker": "KSB"}), "match"),
        (AssetFilter(words="pump"), "q"),
        (AssetFilter(words="pump", path=read_predicate("$.kw > 1")), "path"),
    ],
)
async def test_who_looks_for_too_much_is_told_where_to_say_more(narrowed_to: AssetFilter, field: str) -> None:
    service = AssetSearchService(unit_of_work=lambda: SlowStore({}))

    with pytest.raises(SearchTooCostlyError, match="Narrow it down") as refused:
        await service.search_assets(organisation_id=OURS, narrowed_to=narrowed_to, limit=1, cursor=None)

    assert list(refused.value.errors) == [field]


@pytest.mark.parametrize(
    ("error", "field"), [(AggregateTooCostlyError(), "filter"), (AggregateOverflowError(), "measures")]
)
def test_who_asks_for_too_large_figures_is_told_where_to_ask_for_less(error: RuleViolationError, field: str) -> None:
    assert list(error.errors) == [field]
