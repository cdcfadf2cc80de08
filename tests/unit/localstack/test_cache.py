import asyncio
from pathlib import Path

import pytest

from iotsphere.localstack.cache import filled_once


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


async def put_program(draft: Path) -> None:
    (draft / "program").write_text("")


async def refuse_to_fill(draft: Path) -> None:
    raise AssertionError("the cache was complete already")


async def test_a_complete_cache_is_not_filled_again(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "postgres"

    await filled_once(folder, put_program)

    assert await filled_once(folder, refuse_to_fill) == folder
    assert (folder / "program").exists()


async def test_an_interrupted_fill_leaves_nothing_and_the_next_one_succeeds(tmp_path: Path) -> None:
    folder = tmp_path / "postgres"

    async def break_off(draft: Path) -> None:
        await put_program(draft)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await filled_once(folder, break_off)
    assert names_in(tmp_path) == [".postgres.lock"]

    await filled_once(folder, put_program)
    assert (folder / "program").exists()


async def test_what_killed_fills_left_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "postgres"
    for left_behind in (folder, tmp_path / ".postgres-killed"):
        left_behind.mkdir()
        (left_behind / "half").write_text("")

    await filled_once(folder, put_program)

    assert names_in(tmp_path) == [".postgres.lock", "COMPLETE", "postgres", "program"]


async def test_of_several_first_starts_one_does_the_work(tmp_path: Path) -> None:
    fills = []

    async def fill_slowly(draft: Path) -> None:
        fills.append(draft)
        await asyncio.sleep(0)
        await put_program(draft)

    await asyncio.gather(*(filled_once(tmp_path / "postgres", fill_slowly) for _ in range(4)))

    assert len(fills) == 1


async def test_a_cache_that_was_moved_is_filled_anew(tmp_path: Path) -> None:
    await filled_once(tmp_path / "old" / "postgres", put_program)
    (tmp_path / "old").rename(tmp_path / "new")
    (tmp_path / "new" / "postgres" / "program").unlink()

    await filled_once(tmp_path / "new" / "postgres", put_program)

    assert (tmp_path / "new" / "postgres" / "program").exists()
