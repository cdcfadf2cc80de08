"""How often something may be done: a number at once (the burst), and one more every so often.

The rule is the generic cell rate algorithm. All that is kept of a subject is one moment: when everything that was
taken will have come back. Times are integers of microseconds, so that the script in Redis and this module reckon
alike, to the last one admitted.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

SECOND = 1_000_000
FAMILIAR_SECONDS = 30 * 24 * 3600
# What one IPv6 customer is given at the least: whoever has one of its addresses has them all.
IPV6_PREFIX = 64


@dataclass(frozen=True, slots=True)
class Limit:
    """``burst`` at once, and one more every ``interval`` microseconds; ``name`` is the one in metrics and keys."""

    name: str
    interval: int
    burst: int

    @classmethod
    def per_second(cls, name: str, rate: float, burst: int) -> "Limit":
        """Never more than the rate: what is between two microseconds goes to the later one."""
        return cls(name, math.ceil(SECOND / rate), burst)

    @property
    def block(self) -> int:
        """How many a process takes at once: a hundredth of the burst. Of small limits it takes one by one."""
        return max(1, self.burst // 100)


# Generous: they are there for what has gone wrong, not for what is busy.
USUAL_OF_KEY = Limit.per_second("key", 10_000, 20_000)
USUAL_OF_USER = Limit.per_second("user", 10_000, 20_000)
USUAL_OF_ORGANISATION = Limit.per_second("organisation", 50_000, 100_000)
USUAL_OF_ADDRESS = Limit.per_second("address", 100, 300)


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """How many requests are admitted of each kind of subject; None is as many as come."""

    key: Limit | None = USUAL_OF_KEY
    user: Limit | None = USUAL_OF_USER
    organisation: Limit | None = USUAL_OF_ORGANISATION
    address: Limit | None = USUAL_OF_ADDRESS


@dataclass(frozen=True, slots=True)
class Demand:
    """So many of a subject's allowance, or fewer if there are not so many; none only looks whether there is any."""

    limit: Limit
    subject: str
    wanted: int = 1


@dataclass(frozen=True, slots=True)
class Taking:
    """What came of demands: ``granted`` for each of them at least one (or the look at it), or else nothing at all.

    ``refused_by`` is then the limit that takes longest to have room again.
    """

    granted: tuple[int, ...]
    refused_by: Limit | None = None
    retry_after_seconds: float = 0


def judge(demands: Sequence[Demand], whole_at: Sequence[int], *, now: int) -> Taking:
    """Tell what is granted to subjects whose allowances will be whole at the given moments."""
    rooms, refusals = [], []
    for demand, whole in zip(demands, whole_at, strict=True):
        interval, burst = demand.limit.interval, demand.limit.burst
        missing = max(whole - now, 0)
        room = (burst * interval - missing) // interval
        rooms.append(room)
        if room < 1:
            refusals.append((missing - (burst - 1) * interval, demand.limit))
    if refusals:
        wait, limit = max(refusals, key=lambda refusal: refusal[0])
        return Taking((), limit, wait / SECOND)
    return Taking(tuple(min(room, demand.wanted) for room, demand in zip(rooms, demands, strict=True)))


def network_of(address: str) -> str:
    """Give what one party has for itself: an IPv4 address, the /64 of an IPv6 one; any other text as it is."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ip_network((int(parsed), IPV6_PREFIX), strict=False))


def account_of(email: str) -> str:
    """Give the name under which guesses at an account are counted; the address cannot be read from it."""
    # Letter by letter, as the registry compares: there is a capital that becomes two letters when all are lowered
    # together, and whoever wrote it would guess at the same account under another name.
    return digest("".join(letter.lower()[0] for letter in email))


def digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()[:32]
