"""How a recording's column titles become metric names: one rule, told in docs/data.md."""

import re
import unicodedata
from collections.abc import Sequence

KEPT = re.compile(r"[a-z_][a-z0-9_.:-]{0,127}", re.ASCII)
HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
SEPARATORS = re.compile(r"[^A-Za-z0-9]+")
LONGEST = 128


def metric_name(title: str) -> str:
    """Turn ``Volume Flow RateRMS`` into ``volume_flow_rate_rms``.

    A title that is a lower-case metric name already is kept. Of any other the accents are dropped, an underscore
    parts the words of CamelCase and stands for whatever is neither letter nor digit, and all is lower case; a leading
    digit gets an underscore before it.

    :raises ValueError: nothing is left of it, or more than 128 characters.
    """
    if KEPT.fullmatch(title):
        return title
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    name = SEPARATORS.sub("_", HUMP.sub("_", plain)).strip("_").lower()
    name = f"_{name}" if name[:1].isdecimal() else name
    if not 0 < len(name) <= LONGEST:
        raise ValueError(f"The column {title!r} does not make a metric name of 1 to {LONGEST} letters and digits.")
    return name


def metric_names(titles: Sequence[str]) -> list[str]:
    """Name several columns.

    :raises ValueError: two of them would be one metric, or one cannot be named.
    """
    titles_by_name: dict[str, str] = {}
    for title in titles:
        name = metric_name(title)
        if name in titles_by_name:
            raise ValueError(f"The columns {titles_by_name[name]!r} and {title!r} would both be the metric {name!r}.")
        titles_by_name[name] = title
    return list(titles_by_name)
