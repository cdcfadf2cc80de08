"""Measures searches, files and the room of assets as they grow, in one run. ``make bench-assets`` calls this.

Each question is asked of PostgreSQL in plain SQL, of the search itself, and over HTTP, in turns. A search gives a
page of 50; plain SQL is asked for as many, in the same order, for as long as it takes. So a kind of question is asked
less often where that takes minutes.
"""

import argparse
import asyncio
import itertools
import json
import os
import random
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import msgspec
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.access import environment_of_serving
from benchmarks.bulk import NDJSON, organisation
from benchmarks.run import Platform, running_platform
from benchmarks.sites import COST_CENTRES, MANUFACTURERS, SITE, Sites, lines_of
from iotsphere.assets.errors import SearchTooCostlyError
from iotsphere.assets.predicate import read_predicate
from iotsphere.assets.search import AssetFilter
from iotsphere.config import read_complete_settings
from iotsphere.containers.application import Application, create_container
from iotsphere.containers.stores import close_stores
from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import AssetId, OrganisationId

FILLED_WITHIN_SECONDS = 3600
# A kind of question is asked so often in any case, and no longer than this.
FEWEST, SECONDS_OF_A_KIND = 10, 60
WAYS = ("plain", "search", "http")
TOLD = {"asked": "asked", "short": "pages with less than there is", "refused": "refused"}
PAGE = 50
PLAIN = (
    "SELECT a.* FROM assets a {joined} WHERE a.organisation_id = $1 AND {wanted} ORDER BY a.created_at, a.id LIMIT 50"
)
BELOW = (
    "JOIN places p USING (number), (SELECT path FROM assets JOIN places USING (number) WHERE id = $2) top",
    "p.path > top.path AND p.path < top.path || '\\xff'::bytea",
)
SIZES = """
SELECT relname AS name, pg_relation_size(oid) AS bytes FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i')
  AND (relname ~ '^(pk|uq|ix)_(assets|places|property_|asset_changes)'
       OR relname IN ('assets', 'places', 'property_values', 'property_paths', 'asset_changes'))
ORDER BY relname
"""
ROOM = "SELECT pg_database_size(current_database())"
# After this the store is asked again.
UNAVAILABLE_SECONDS = 2
# No limit of a request's.
UNLIMITED = {"statement_timeout": "0"}
# Wide enough where it is no terminal, too.
console = Console(width=max(Console().width, 120))
Ask = Callable[[], Awaitable[list[str] | None]]


@dataclass(frozen=True)
class Question:
    """What is asked for, as each of the ways has it."""

    query: dict[str, str]
    narrowed_to: AssetFilter
    wanted: str
    parameters: tuple[Any, ...]
    joined: str = ""


def by_match(sought: dict[str, Any]) -> Question:
    text = json.dumps(sought)
    return Question({"match": text}, AssetFilter(match=sought), "a.properties @> $2::text::jsonb", (text,))


def by_path(text: str) -> Question:
    return Question(
        {"path": text}, AssetFilter(path=read_predicate(text)), "a.properties @@ $2::text::jsonpath", (text,)
    )


def by_word(word: str) -> Question:
    wanted = "name_prefixes(a.name) @> name_words($2)"
    return Question({"q": word}, AssetFilter(words=word), wanted, (word,))


def by_ancestor(top: UUID) -> Question:
    joined, wanted = BELOW
    return Question({"ancestor": str(top)}, AssetFilter(ancestor=AssetId(top)), wanted, (top,), joined)


def below_and_match(top: UUID, sought: dict[str, Any]) -> Question:
    joined, below = BELOW
    text = json.dumps(sought)
    return Question(
        {"ancestor": str(top), "match": text},
        AssetFilter(ancestor=AssetId(top), match=sought),
        f"{below} AND a.properties @> $3::text::jsonb",
        (top, text),
        joined,
    )


def questions_of(sites: Sites) -> dict[str, Iterator[Question]]:
    """Give each kind of question again and again, of other things each time."""
    chance = random.Random(6)  # noqa: S311  # no secret
    size = len(sites.ids)
    trees = max(1, size // SITE)

    def one(first: int, last: int) -> UUID:
        return sites.ids[chance.randrange(trees) * SITE + chance.randrange(first, min(last, size - 1) + 1)]

    def maker() -> str:
        return f"Manufacturer {chance.randrange(MANUFACTURERS)}"

    def centre() -> str:
        return f"CC-{chance.randrange(COST_CENTRES):04}"

    makers: dict[str, Callable[[], Question]] = {
        "match: one asset": lambda: by_match({"serial": f"SN-{chance.randrange(size):07}"}),
        "match: 0.1 %": lambda: by_match({"cost_centre": centre()}),
        "match: 2.6 %": lambda: by_match({"manufacturer": maker()}),
        "path: equal, 0.1 %": lambda: by_path(f'$.cost_centre == "{centre()}"'),
        "path: equal and a range, 0.3 %": lambda: by_path(f'$.manufacturer == "{maker()}" && $.rated_power_kw > 90'),
        "path: a range, 0.1 %": lambda: by_path("$.rated_power_kw > 99.9"),
        "a word, one asset": lambda: by_word(f"{chance.randrange(100_000, size) if size > 100_000 else size - 1}"),
        "below a machine": lambda: by_ancestor(one(111, 9191)),
        "below a line": lambda: by_ancestor(one(11, 110)),
        "below a building": lambda: by_ancestor(one(1, 10)),
        "below a site": lambda: by_ancestor(one(0, 0)),
        "below a building, match: 2.6 %": lambda: below_and_match(one(1, 10), {"manufacturer": maker()}),
    }
    return {name: iter(make, None) for name, make in makers.items()}


class Asking:
    """The three ways to ask."""

    def __init__(
        self, http: httpx.AsyncClient, container: Application, connection: asyncpg.Connection, sites: Sites
    ) -> None:
        self._http = http
        self._search = container.assets.search()
        self._connection = connection
        self._organisation_id = sites.organisation_id

    def ways(self, question: Question) -> dict[str, Ask]:
        """Give how to ask each way; None is the answer where it is refused, or PostgreSQL was too slow for it."""

        async def plain() -> list[str]:
            sql = PLAIN.format(joined=question.joined, wanted=question.wanted)
            rows = await self._connection.fetch(sql, self._organisation_id, *question.parameters)
            # As whoever asks reads them.
            return [(str(row["id"]), msgspec.json.decode(row["properties"]))[0] for row in rows]

        async def search() -> list[str] | None:
            try:
                page = await self._search.search_assets(
                    organisation_id=OrganisationId(self._organisation_id),
                    narrowed_to=question.narrowed_to,
                    limit=PAGE,
                    cursor=None,
                )
            except SearchTooCostlyError:
                return None
            except UnavailableError:
                await asyncio.sleep(UNAVAILABLE_SECONDS)
                return None
            return [str(asset.id) for asset in page.items]

        async def http() -> list[str] | None:
            answer = await self._http.get("/assets", params=question.query)
            if answer.status_code in {422, 503}:
                await asyncio.sleep(UNAVAILABLE_SECONDS)
                return None
            return [asset["id"] for asset in answer.raise_for_status().json()["items"]]

        return {"plain": plain, "search": search, "http": http}


async def measure_searches(asking: Asking, sites: Sites, times: int) -> dict[str, dict[str, float]]:
    return {
        name: await measure_kind(
            asking, track(itertools.islice(questions, times + 2), name, times + 2, console=console)
        )
        for name, questions in questions_of(sites).items()
    }


async def measure_kind(asking: Asking, questions: Iterable[Question]) -> dict[str, float]:
    """Ask one question after another, the first two to warm up."""
    taken: dict[str, list[float]] = {way: [] for way in WAYS}
    told = Counter(dict.fromkeys(TOLD, 0))
    began = time.perf_counter()
    for number, question in enumerate(questions):
        answers: dict[str, list[str] | None] = {}
        for way, ask in asking.ways(question).items():
            asked = time.perf_counter()
            answers[way] = await ask()
            if number >= 2:
                taken[way].append((time.perf_counter() - asked) * 1000)
        told.update(_told(answers))
        if number >= FEWEST + 2 and time.perf_counter() - began > SECONDS_OF_A_KIND:
            break
    figures: dict[str, float] = dict(told)
    for way, milliseconds in taken.items():
        figures[f"{way} p50"] = statistics.median(milliseconds)
        figures[f"{way} p99"] = sorted(milliseconds)[int(len(milliseconds) * 0.99)]
    return figures | {"search ÷ plain": figures["search p50"] / figures["plain p50"]}


def _told(answers: dict[str, list[str] | None]) -> Counter[str]:
    """Tell whether the search gave less than a page, with more to come, or nothing; never something else."""
    plain, searched = answers["plain"] or [], answers["search"]
    given = [answer for answer in (searched, answers["http"]) if answer is not None]
    assert all(answer == plain[: len(answer)] for answer in given)
    return Counter(asked=1, refused=len(given) < 2, short=searched is not None and len(searched) < len(plain))


def measure_files(platform: Platform, dsn: str, count: int) -> dict[str, float]:
    """Give the assets that go in and out in a second, in an organisation of their own beside all others."""

    def bytes_kept() -> int:
        return asyncio.run(ask_for_bytes(dsn))

    def bring(http: httpx.Client, body: bytes, status: str) -> float:
        began = time.perf_counter()
        answer = http.post("/assets/import", content=body, headers={"Content-Type": NDJSON}).raise_for_status()
        taken = time.perf_counter() - began
        assert answer.text.count(f'"{status}"') == count, answer.text[:1000]
        return count / taken

    with organisation(platform, f"files-{time.time_ns()}") as http:
        before = bytes_kept()
        rates = {"added/s": bring(http, b"".join(lines_of(count)), "created")}
        rates["bytes of each"] = (bytes_kept() - before) / count
        began = time.perf_counter()
        exported = http.get("/assets/export").raise_for_status().content
        rates["exported/s"] = count / (time.perf_counter() - began)
        rates["unchanged/s"] = bring(http, exported, "unchanged")
        ids = [json.loads(line)["id"] for line in exported.splitlines()]
        changes = ({"id": asset_id, "properties": {"colour": "gold"}} for asset_id in ids)
        rates["changed/s"] = bring(
            http, b"".join(json.dumps(change).encode() + b"\n" for change in changes), "updated"
        )
    return rates


async def ask_for_bytes(dsn: str) -> int:
    connection = await asyncpg.connect(dsn)
    found: int = await connection.fetchval(ROOM)
    await connection.close()
    return found


async def measure_room(connection: asyncpg.Connection) -> dict[str, float]:
    """Give the bytes of an asset, by table and index."""
    total = await connection.fetchval("SELECT count(*) FROM assets")
    sizes = {row["name"]: row["bytes"] / total for row in await connection.fetch(SIZES)}
    return sizes | {"all": sum(sizes.values())}


def patient(http: httpx.Client) -> httpx.AsyncClient:
    """Give a client with a key, for an access token ends before a million assets are there."""
    made = http.post("/api-keys", json={"label": "benchmark", "role": "admin"}).raise_for_status()
    headers = {"X-API-Key": made.json()["api_key"]}
    return httpx.AsyncClient(base_url=http.base_url, headers=headers, trust_env=False, timeout=60)


async def measure_size(http: httpx.AsyncClient, sites: Sites, dsn: str, size: int, times: int) -> dict[str, Any]:
    connection = await asyncpg.connect(dsn, server_settings=UNLIMITED)
    container = create_container(read_complete_settings())
    began = time.perf_counter()
    with console.status(f"Filling up to {size:,} assets"):
        await asyncio.wait_for(sites.grow(connection, size), FILLED_WITHIN_SECONDS)
    filled = time.perf_counter() - began
    async with http:
        searches = await measure_searches(Asking(http, container, connection, sites), sites, times)
    room = await measure_room(connection)
    await close_stores(container.stores)
    await connection.close()
    return {"filled in s": filled, "searches": searches, "bytes": room}


def measure(platform: Platform, options: argparse.Namespace) -> dict[str, Any]:
    # As the process that serves has it.
    os.environ.update(environment_of_serving(platform.process.pid))
    dsn = os.environ["IOTSPHERE_ASSETS_DSN"]
    # Beforehand, so that the first does not pay for what every process does once.
    measure_files(platform, dsn, 200)
    found: dict[str, Any] = {"empty": {"files": measure_files(platform, dsn, options.lines)}}
    for size in options.sizes:
        with organisation(platform, f"assets-{size}-{time.time_ns()}") as http:
            sites = Sites(UUID(http.get("/me").raise_for_status().json()["organisation_id"]))
            measured = asyncio.run(measure_size(patient(http), sites, dsn, size, options.times))
        found[f"{size:,}"] = measured | {"files": measure_files(platform, dsn, options.lines)}
    return found


def show(found: dict[str, Any], options: argparse.Namespace) -> None:
    searches = {size: measured["searches"] for size, measured in found.items() if "searches" in measured}
    for size, kinds in searches.items():
        show_searches(size, kinds)
    for smaller, larger in itertools.pairwise(searches):
        show_growth(smaller, larger, searches)
    files = Table(
        "beside", *next(iter(found.values()))["files"], title=f"Files of {options.lines:,} assets over HTTP"
    )
    for size, measured in found.items():
        files.add_row(size, *(f"{rate:,.0f}" for rate in measured["files"].values()))
    console.print(files)
    filled = {size: f"{measured['filled in s']:.0f}" for size, measured in found.items() if "filled in s" in measured}
    console.print("Filled in s:", filled)
    with_room = {size: measured["bytes"] for size, measured in found.items() if "bytes" in measured}
    room = Table("table, index", *with_room, title="Bytes an asset, of all that the store holds by then")
    for name in dict.fromkeys(name for sizes in with_room.values() for name in sizes):
        room.add_row(name, *(f"{sizes.get(name, 0):,.0f}" for sizes in with_room.values()))
    console.print(room)


def show_searches(size: str, kinds: dict[str, dict[str, float]]) -> None:
    ways = [f"{way} {figure}" for way in WAYS for figure in ("p50", "p99")]
    table = Table(title=f"ms of {size} assets, in turns")
    table.add_column("looked for by")
    # Nothing of a figure is left out where the table is narrow.
    for column in (*ways, "search ÷ plain"):
        table.add_column(column.replace(" ", "\n", 1), justify="right", no_wrap=True)
    for name, row in kinds.items():
        table.add_row(name, *(f"{row[figure]:.1f}" for figure in (*ways, "search ÷ plain")))
    console.print(table)
    for name, row in kinds.items():
        told = [f"{row[count]:.0f} {what}" for count, what in TOLD.items() if row[count]]
        console.print(f"{name}: {', '.join(told)}")


def show_growth(smaller: str, larger: str, searches: dict[str, dict[str, dict[str, float]]]) -> None:
    """Show how many times as long a question takes of more assets, with plain SQL and with the search."""
    figures = [f"{way} {figure}" for way in ("plain", "search") for figure in ("p50", "p99")]
    table = Table("looked for by", *figures, title=f"times as long, of {larger} assets and of {smaller}")
    for name, row in searches[larger].items():
        table.add_row(name, *(f"{row[figure] / searches[smaller][name][figure]:.1f}" for figure in figures))
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--times", type=int, default=40)
    parser.add_argument("--lines", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with running_platform() as platform:
        found = measure(platform, options)
    if options.json:
        console.print_json(data=found)
    else:
        show(found, options)


if __name__ == "__main__":
    main()
