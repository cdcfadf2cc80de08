import asyncio
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Literal
from uuid import UUID, uuid4

import argon2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from iotsphere.identity.errors import CredentialInvalidError, PasswordsBusyError
from iotsphere.identity.secrets import (
    ApiKey,
    Argon2Passwords,
    ProvisioningKeyText,
    csrf_token_matches,
    hash_secret,
    make_csrf_token,
    make_secret,
    make_up_hash,
    secret_matches,
)

KEY = "iot_0123456789abcdef0123456789abcdef_secret"


def test_a_secret_is_new_every_time_and_long() -> None:
    secrets = {make_secret() for _ in range(100)}

    assert len(secrets) == 100
    assert min(map(len, secrets)) == 43


def test_a_secret_matches_its_own_hash_alone() -> None:
    secret_hash = hash_secret("secret")

    assert secret_matches("secret", secret_hash)
    assert not secret_matches("Secret", secret_hash)
    assert not secret_matches("", secret_hash)
    assert b"secret" not in secret_hash


@pytest.mark.parametrize("forged", ["", "é", "0" * 64, make_csrf_token("another secret")])
def test_a_csrf_token_is_that_of_its_session_alone(forged: str) -> None:
    token = make_csrf_token("secret")

    assert csrf_token_matches(token, "secret")
    assert not csrf_token_matches(forged, "secret")
    assert not csrf_token_matches(token.upper() + " ", "secret")


def test_a_csrf_token_gives_away_neither_the_secret_nor_its_hash() -> None:
    secret = make_secret()

    assert secret not in make_csrf_token(secret)
    assert hash_secret(secret).hex() != make_csrf_token(secret)


def test_a_key_is_read_as_it_is_written() -> None:
    key = ApiKey(uuid4(), make_secret())

    assert ApiKey.parse(str(key)) == key
    assert ApiKey.parse("iot_0123456789abcdef0123456789abcdef_a_b-c") == ApiKey(
        UUID("01234567-89ab-cdef-0123-456789abcdef"), "a_b-c"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "iot",
        "iot__",
        "iot_0123456789abcdef0123456789abcdef_",
        "iot_0123456789abcdef0123456789abcdef",
        KEY.upper(),
        KEY.replace("iot", "iot2"),
        KEY.replace("0123456789abcdef0123456789abcdef", "01234567-89ab-cdef-0123-456789abcdef"),
        KEY.replace("01234567", "{1234567"),
        KEY.replace("01234567", " 1234567"),
        KEY.replace("01234567", "0x234567"),
        KEY.replace("01234567", "+1234567"),
        KEY.replace("0", "\u0660"),
        f" {KEY}",
        f"{KEY} ",
        f"{KEY}\n",
        f"{KEY}\0",
        f"{KEY}é",
        f"{KEY}\ud800",
        f"{KEY}, {KEY}",
        "iot_" * 10_000,
    ],
)
def test_a_text_that_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(CredentialInvalidError, match=r"^The API key is not valid\.$"):
        ApiKey.parse(text)


@given(st.text() | st.from_regex(r"iot_[0-9a-fA-F]{30,33}_.{0,5}"))
@example(KEY)
def test_whatever_is_read_as_a_key_is_written_so(text: str) -> None:
    try:
        key = ApiKey.parse(text)
    except CredentialInvalidError:
        return
    assert str(key) == text


@given(st.text() | st.from_regex(r"iotp?_[0-9a-fA-F]{30,33}_.{0,5}"))
@example(KEY)
@example(KEY.replace("iot", "iotp"))
def test_no_text_is_both_a_provisioning_key_and_another(text: str) -> None:
    read = []
    for kind in (ApiKey, ProvisioningKeyText):
        with suppress(CredentialInvalidError):
            read.append(kind.parse(text))

    assert [str(key) for key in read] in ([], [text])


class CountingHasher(argon2.PasswordHasher):
    """A hasher that takes no time, and counts what it is asked to do."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.asked: list[str] = []

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self.asked.append("hash")
        return super().hash(password, salt=salt)

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002  # argon2's name for it
        self.asked.append("verify")
        return super().verify(hash, password)


@pytest.fixture
def hasher() -> CountingHasher:
    return CountingHasher()


@pytest.fixture
def passwords(hasher: CountingHasher) -> Argon2Passwords:
    return Argon2Passwords(hasher)


async def test_a_password_matches_its_own_hash_alone(passwords: Argon2Passwords) -> None:
    password_hash = await passwords.hash("correct horse")

    assert "correct" not in password_hash
    assert await passwords.verify("correct horse", password_hash)
    assert not await passwords.verify("battery staple", password_hash)
    assert not await passwords.verify("", password_hash)


async def test_without_an_account_the_same_work_is_done_from_the_first_time_on(
    passwords: Argon2Passwords, hasher: CountingHasher
) -> None:
    password_hash = await passwords.hash("correct horse")
    hasher.asked.clear()

    assert not await passwords.verify("wrong", None)
    without_account = hasher.asked.copy()
    hasher.asked.clear()
    assert not await passwords.verify("wrong", password_hash)

    assert without_account == hasher.asked == ["verify"]


def test_what_stands_for_the_hash_of_nobody_is_one_as_hard_as_any() -> None:
    hasher = argon2.PasswordHasher(memory_cost=12 * 1024)
    made_up = make_up_hash(hasher)

    assert argon2.extract_parameters(made_up) == argon2.extract_parameters(hasher.hash("correct horse"))
    assert len(made_up) == len(hasher.hash("correct horse"))
    # Had it been malformed, it would be another error, without the work.
    with pytest.raises(argon2.exceptions.VerifyMismatchError):
        hasher.verify(made_up, "correct horse")
    assert make_up_hash(hasher) != made_up


class HeldHasher(CountingHasher):
    """A hasher that takes until it is told to end."""

    def __init__(self) -> None:
        super().__init__()
        self.may_end = threading.Event()
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        if password in {"wait", b"wait"}:
            with self._lock:
                self._at_once += 1
                self.most_at_once = max(self.most_at_once, self._at_once)
            assert self.may_end.wait(timeout=10)
            with self._lock:
                self._at_once -= 1
        return super().hash(password, salt=salt)


@pytest.fixture
def held() -> Iterator[HeldHasher]:
    held = HeldHasher()
    yield held
    held.may_end.set()


async def hashed(passwords: Argon2Passwords, number: int) -> list[asyncio.Task[str]]:
    """Ask for so many hashes at once, and let them all begin to wait."""
    tasks = [asyncio.ensure_future(passwords.hash("wait")) for _ in range(number)]
    await asyncio.sleep(0)
    return tasks


async def test_no_more_hashes_are_made_at_once_than_there_are_threads(held: HeldHasher) -> None:
    tasks = await hashed(Argon2Passwords(held, at_once=2, waiting=3), 5)

    held.may_end.set()

    assert len(await asyncio.gather(*tasks)) == 5
    assert held.most_at_once <= 2


async def test_who_would_wait_behind_too_many_is_told_to_come_back(held: HeldHasher) -> None:
    passwords = Argon2Passwords(held, at_once=1, waiting=2)
    tasks = await hashed(passwords, 3)

    for refused in (passwords.hash("wait"), passwords.verify("wait", None)):
        with pytest.raises(PasswordsBusyError) as refusal:
            await refused
        assert refusal.value.retry_after_seconds == 1

    held.may_end.set()
    await asyncio.gather(*tasks)
    assert await passwords.hash("correct horse")


async def test_who_goes_away_leaves_the_place_to_another_when_the_work_has_ended(held: HeldHasher) -> None:
    passwords = Argon2Passwords(held, at_once=1, waiting=1)
    tasks = await hashed(passwords, 2)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    # The one that waited has left; the one at work is at work all the same.
    tasks = await hashed(passwords, 1)
    with pytest.raises(PasswordsBusyError):
        await passwords.hash("wait")

    held.may_end.set()
    await asyncio.gather(*tasks)
    assert await passwords.hash("correct horse")
