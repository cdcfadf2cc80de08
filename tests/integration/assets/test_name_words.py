"""What is a word of a name is so for us and for the database, whatever version of Unicode each of them knows."""

import sys
import unicodedata

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.assets.search import is_in_word

WORDLESS = sa.text("""
SELECT text FROM unnest(CAST(:texts AS text[])) AS text
WHERE lower(normalize(text, NFKC) COLLATE pg_c_utf8) !~ '[[:alnum:]]'
""")
AS_WORDS = sa.text("SELECT name_words(:text)")


async def test_no_character_is_taken_for_one_of_a_word_that_the_database_would_part_words_by(
    assets_engine: AsyncEngine,
) -> None:
    texts = [
        character
        for character in map(chr, range(1, sys.maxunicode + 1))
        if any(map(is_in_word, unicodedata.normalize("NFKC", character)))
    ]

    async with assets_engine.connect() as connection:
        assert list(await connection.scalars(WORDLESS, {"texts": texts})) == []
        # What is asked above is what words are made by.
        assert await connection.scalar(AS_WORDS, {"text": "²-٣ᛮ"}) == ["2", "ᛮ"]
    assert len(texts) > 100_000
