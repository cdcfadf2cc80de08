import asyncio

import pytest

from iotsphere.identity.errors import CredentialInvalidError, LoginRefusedError
from iotsphere.kernel.errors import NotPermittedError, TooManyRequestsError, UnavailableError
from iotsphere.throttling.errors import GuessesExceededError
from iotsphere.throttling.model import FAMILIAR_SECONDS, RequestLimits
from iotsphere.throttling.service import Throttle
from tests.fakes.throttling import CountingThrottleStore, Seconds

OWNER = "ada@example.org"
HOME = "192.0.2.1"
ELSEWHERE = "198.51.100.1"


class Bench:
    """People who guess at passwords, and owners who know theirs."""

    def __init__(self) -> None:
        self.clock = Seconds()
        self.store = CountingThrottleStore(self.clock)
        self.throttle = Throttle(store=self.store, limits=RequestLimits(), monotonic=self.clock)
        self.compared = 0

    async def guess(self, address: str, account: str = OWNER, error: type[Exception] | None = None) -> bool:
        """Try a wrong password; tell whether it was so much as compared."""
        try:
            async with self.throttle.guessing(account=account, address=address):
                self.compared += 1
                await asyncio.sleep(0)
                raise error("Wrong.") if error else LoginRefusedError("Wrong.")
        except (LoginRefusedError, NotPermittedError):
            return True
        except GuessesExceededError:
            return False

    async def log_in(self, address: str, account: str = OWNER) -> bool:
        try:
            async with self.throttle.guessing(account=account, address=address):
                return True
        except GuessesExceededError:
            return False

    async def guesses(self, number: int, address: str, account: str = OWNER) -> int:
        return sum([await self.guess(address, account) for _ in range(number)])


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_after_ten_wrong_passwords_an_account_waits_half_a_minute_for_each(bench: Bench) -> None:
    assert await bench.guesses(30, ELSEWHERE) == 10

    bench.clock.now += 29
    assert await bench.guesses(5, ELSEWHERE) == 0
    bench.clock.now += 1
    assert await bench.guesses(5, ELSEWHERE) == 1
    with pytest.raises(GuessesExceededError) as refusal:
        async with bench.throttle.guessing(account=OWNER, address=ELSEWHERE):
            pass
    assert refusal.value.retry_after_seconds == pytest.approx(30)


async def test_guesses_made_at_once_are_counted_before_they_are_compared(bench: Bench) -> None:
    results = await asyncio.gather(*(bench.guess(ELSEWHERE) for _ in range(50)))

    assert (sum(results), bench.compared) == (10, 10)


async def test_a_right_password_is_never_counted(bench: Bench) -> None:
    assert all([await bench.log_in(HOME) for _ in range(200)])
    assert await bench.guesses(30, HOME) == 10


async def test_a_right_password_does_not_forgive_the_wrong_ones(bench: Bench) -> None:
    compared = 0
    for _ in range(20):
        compared += await bench.guess(HOME)
        await bench.log_in(HOME)

    assert compared == 10


async def test_an_account_of_ones_own_gives_no_guesses_at_others(bench: Bench) -> None:
    compared = 0
    for number in range(200):
        compared += await bench.guess(ELSEWHERE, account=f"user-{number}@example.org")
        await bench.log_in(ELSEWHERE, account="stranger@example.org")

    assert compared == 50


async def test_strangers_everywhere_cannot_lock_the_owner_out_at_home(bench: Bench) -> None:
    await bench.log_in(HOME)

    compared = sum([await bench.guess(f"198.51.100.{number}") for number in range(200)])

    assert compared == 20
    assert await bench.log_in(HOME)
    assert not await bench.log_in("203.0.113.5")


async def test_a_neighbour_behind_the_same_address_who_tries_other_accounts_does_not_lock_the_owner_out(
    bench: Bench,
) -> None:
    await bench.log_in(HOME)

    compared = sum([await bench.guess(HOME, account=f"user-{number}@example.org") for number in range(200)])

    assert compared == 50
    assert await bench.log_in(HOME)
    assert not await bench.log_in(HOME, account="another@example.org")


async def test_an_address_is_familiar_for_thirty_days(bench: Bench) -> None:
    await bench.log_in(HOME)
    bench.clock.now += FAMILIAR_SECONDS

    for number in range(20):
        await bench.guess(f"198.51.100.{number}")

    assert not await bench.log_in(HOME)


async def test_an_account_that_does_not_exist_is_throttled_like_any_other(bench: Bench) -> None:
    assert await bench.guesses(30, ELSEWHERE, account="nobody@example.org") == 10


async def test_however_an_address_is_written_the_guesses_are_at_one_account(bench: Bench) -> None:
    spellings = ["Ada@example.org", "ADA@EXAMPLE.ORG", OWNER] * 10

    assert sum([await bench.guess(ELSEWHERE, account=spelling) for spelling in spellings]) == 10


@pytest.mark.parametrize(
    "reason", [UnavailableError("registry", "Down."), TooManyRequestsError("Busy.", retry_after_seconds=1)]
)
async def test_what_could_not_be_compared_is_no_guess(bench: Bench, reason: Exception) -> None:
    for _ in range(30):
        with pytest.raises(type(reason)):
            async with bench.throttle.guessing(account=OWNER, address=ELSEWHERE):
                raise reason

    assert await bench.guesses(30, ELSEWHERE) == 10


async def test_whoever_hangs_up_has_guessed(bench: Bench) -> None:
    for _ in range(10):
        with pytest.raises(asyncio.CancelledError):
            async with bench.throttle.guessing(account=OWNER, address=ELSEWHERE):
                raise asyncio.CancelledError

    assert await bench.guesses(5, ELSEWHERE) == 0


class NotThatPasswordError(NotPermittedError):
    code = "test.password.wrong"


async def test_a_wrong_old_password_is_a_guess_like_another(bench: Bench) -> None:
    assert sum([await bench.guess(HOME, error=NotThatPasswordError) for _ in range(30)]) == 10


async def show(bench: Bench, key: str, address: str, *, is_right: bool = False) -> bool:
    """Show a key; tell whether it was so much as looked up."""
    try:
        async with bench.throttle.showing_key(key=key, address=address):
            if not is_right:
                raise CredentialInvalidError("Wrong.")  # noqa: TRY301  # as what looks it up does
    except CredentialInvalidError:
        return True
    except GuessesExceededError:
        return False
    return True


def key(number: int, guess: int = 0) -> str:
    return f"iot_{number:032x}_secret_{guess}"


async def test_right_keys_are_never_counted(bench: Bench) -> None:
    assert all([await show(bench, key(1), HOME, is_right=True) for _ in range(500)])


async def test_one_key_with_ever_other_secrets_is_soon_looked_up_no_more(bench: Bench) -> None:
    assert sum([await show(bench, key(1, guess=number), ELSEWHERE) for number in range(200)]) == 50
    assert await show(bench, key(2), ELSEWHERE, is_right=True)
    assert await show(bench, key(1), HOME, is_right=True)


async def test_ever_other_keys_from_one_address_are_soon_looked_up_no_more(bench: Bench) -> None:
    assert sum([await show(bench, key(number), ELSEWHERE) for number in range(300)]) == 100
    assert not await show(bench, key(999), ELSEWHERE, is_right=True)
    assert await show(bench, key(999), HOME, is_right=True)


@pytest.mark.parametrize("text", ["", "_", "iot", "iot_", "iotp__", "\ud800", "x" * 10_000])
async def test_what_is_no_key_counts_as_a_wrong_one(bench: Bench, text: str) -> None:
    assert sum([await show(bench, text, ELSEWHERE) for _ in range(100)]) == 50


async def test_a_device_that_goes_on_with_a_revoked_key_leaves_its_neighbours_theirs(bench: Bench) -> None:
    for _ in range(1000):
        await show(bench, key(1), HOME)
        bench.clock.now += 1
        assert await show(bench, key(2), HOME, is_right=True)
