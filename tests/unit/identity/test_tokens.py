import base64
import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import example, given
from hypothesis import strategies as st

from iotsphere.identity.errors import CredentialInvalidError
from iotsphere.identity.model import ACCESS_TOKEN_LIFE, SigningKey, StoredSigningKey
from iotsphere.identity.secrets import PlatformCipher
from iotsphere.identity.tokens import AccessTokens, sign_token
from iotsphere.kernel.identifiers import SigningKeyId
from tests.fakes.identity import SECRET_KEY, build_tokens
from tests.fakes.registry import InMemoryRegistryUnitOfWork, RegistryTables

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SESSION = uuid4()
KEY = SigningKey(SigningKeyId(uuid4()), bytes(range(32)), NOW)
OTHER_KEY = SigningKey(SigningKeyId(uuid4()), bytes(32), NOW)


@pytest.fixture
def tokens() -> AccessTokens:
    return tokens_with(KEY)


def tokens_with(*keys: SigningKey) -> AccessTokens:
    """Give the tokens of a platform with these keys in its ring."""
    cipher = PlatformCipher("signing-key", SECRET_KEY)
    tables = RegistryTables()
    for key in keys:
        tables.signing_keys[key.id] = StoredSigningKey(key.id, cipher.encrypt(key.secret), key.created_at)
    return build_tokens(partial(InMemoryRegistryUnitOfWork, tables), lambda: NOW)


def issued(*, by: SigningKey = KEY, at: datetime = NOW) -> str:
    return sign_token(by, session_id=SESSION, issued_at=at)


def part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def forged(header: dict[str, Any], **claims: Any) -> str:
    token_claims = {"iss": "iotsphere", "sid": str(SESSION), "exp": int(NOW.timestamp()) + 60} | claims
    return with_header(json.dumps(header).encode(), json.dumps(token_claims).encode())


def with_header(header: bytes, claims: bytes = b"{}") -> str:
    return f"{part(header)}.{part(claims)}."


async def test_a_token_tells_its_session_until_it_expires(tokens: AccessTokens) -> None:
    token = issued()

    assert await tokens.read(token, now=NOW) == SESSION
    assert await tokens.read(token, now=NOW + ACCESS_TOKEN_LIFE - timedelta(seconds=1)) == SESSION
    with pytest.raises(CredentialInvalidError):
        await tokens.read(token, now=NOW + ACCESS_TOKEN_LIFE)


async def test_a_token_of_a_machine_that_is_ahead_is_good(tokens: AccessTokens) -> None:
    assert await tokens.read(issued(at=NOW + timedelta(seconds=30)), now=NOW) == SESSION


async def test_a_token_is_read_with_the_key_that_it_names() -> None:
    tokens = tokens_with(KEY, OTHER_KEY)

    for key in (KEY, OTHER_KEY):
        assert await tokens.read(issued(by=key), now=NOW) == SESSION


async def test_a_token_that_was_read_before_ends_with_its_time_and_with_its_key(tokens: AccessTokens) -> None:
    token = issued()
    assert await tokens.read(token, now=NOW) == SESSION
    assert await tokens.read(token, now=NOW) == SESSION

    with pytest.raises(CredentialInvalidError):
        await tokens.read(token, now=NOW + ACCESS_TOKEN_LIFE)
    for ring in (tokens_with(OTHER_KEY), tokens_with(replace(OTHER_KEY, id=KEY.id))):
        with pytest.raises(CredentialInvalidError):
            await ring.read(token, now=NOW)


def test_a_token_says_nothing_of_a_person() -> None:
    assert set(jwt.decode(issued(), options={"verify_signature": False})) == {"iss", "sid", "iat", "exp"}
    assert jwt.get_unverified_header(issued()) == {"alg": "HS256", "typ": "JWT", "kid": str(KEY.id)}


def signed(claims: dict[str, Any], key: Any = KEY.secret, algorithm: str = "HS256", **header: Any) -> str:
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": str(KEY.id)} | header)


def signed_as_it_stands(header: bytes) -> str:
    """Sign, with the right key, a header that no library would write."""
    claims = json.dumps(CLAIMS | {"exp": int(NOW.timestamp()) + 60}).encode()
    text = f"{part(header)}.{part(claims)}"
    return f"{text}.{part(hmac.digest(KEY.secret, text.encode(), 'sha256'))}"


OWN_KID = json.dumps(str(KEY.id))
OTHER_KID = json.dumps(str(OTHER_KEY.id))
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CLAIMS = {"iss": "iotsphere", "sid": str(SESSION), "exp": NOW + timedelta(minutes=1)}


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="empty"),
        pytest.param("..", id="three empty parts"),
        pytest.param("a.b", id="two parts"),
        pytest.param("é.é.é", id="not ASCII"),
        pytest.param("\ud800.a.b", id="half a surrogate pair"),
        pytest.param(issued(by=OTHER_KEY), id="a key that is not on the ring"),
        pytest.param(signed(CLAIMS, OTHER_KEY.secret), id="another key under the name of ours"),
        pytest.param(signed(CLAIMS, kid=str(OTHER_KEY.id)), id="our key under the name of another"),
        pytest.param(signed(CLAIMS, SECRET_KEY.encode()), id="the platform's secret itself as key"),
        pytest.param(signed(CLAIMS, KEY.id.bytes * 2), id="the id as key"),
        pytest.param(signed(CLAIMS, KEY.secret * 2, "HS512"), id="another algorithm"),
        pytest.param(signed(CLAIMS, RSA, "RS256"), id="a signature of another kind"),
        pytest.param(jwt.encode(CLAIMS, KEY.secret, algorithm="HS256"), id="no key id"),
        pytest.param(signed(CLAIMS, kid=""), id="an empty key id"),
        pytest.param(signed(CLAIMS, kid="../../dev/null"), id="a key id that is a path"),
        pytest.param(signed(CLAIMS, kid="' OR 1=1 --"), id="a key id that is SQL"),
        pytest.param(signed(CLAIMS, kid=KEY.id.hex), id="a key id without hyphens"),
        pytest.param(signed(CLAIMS, kid=str(KEY.id).upper()), id="a key id in capitals"),
        pytest.param(signed(CLAIMS, kid=f"{{{KEY.id}}}"), id="a key id in braces"),
        pytest.param(signed(CLAIMS, kid=f"{KEY.id}\0"), id="a key id with something behind it"),
        pytest.param(signed(CLAIMS, kid="x" * 100_000), id="a key id without end"),
        pytest.param(
            signed_as_it_stands(f'{{"alg":"HS256","kid":{OWN_KID},"kid":{OTHER_KID}}}'.encode()), id="two key ids"
        ),
        pytest.param(
            signed_as_it_stands(f'{{"alg":"HS256","alg":"none","kid":{OWN_KID}}}'.encode()), id="two algorithms"
        ),
        pytest.param(signed_as_it_stands(f'{{"alg":"RS256","kid":{OWN_KID}}}'.encode()), id="RS256 over our key"),
        pytest.param(signed_as_it_stands(b'{"alg":"HS256","kid":[]}'), id="a key id that is a list"),
        pytest.param(signed_as_it_stands(b'["HS256"]'), id="a header that is a list"),
        pytest.param(forged({"alg": "none"}), id="no algorithm"),
        pytest.param(forged({"alg": "none", "kid": str(KEY.id)}), id="no algorithm and our key"),
        pytest.param(forged({"alg": "None", "kid": str(KEY.id)}), id="no algorithm in capitals"),
        pytest.param(forged({"alg": "HS256", "kid": str(KEY.id)}), id="no signature"),
        pytest.param(signed(CLAIMS, OTHER_KEY.secret, jwk={"kty": "oct", "k": "AAAA"}), id="a key that it brings"),
        pytest.param(signed(CLAIMS, OTHER_KEY.secret, jku="https://evil.example/keys"), id="a key from elsewhere"),
        pytest.param(forged({}), id="no header"),
        pytest.param(forged({"alg": ["HS256"]}), id="an algorithm that is a list"),
        pytest.param(forged({"alg": "HS256", "kid": 7}), id="a key id that is a number"),
        pytest.param(forged({"alg": "HS256", "crit": ["exp"]}), id="a critical extension"),
        pytest.param(forged({"alg": "HS256", "b64": False}), id="a detached payload"),
        pytest.param(with_header(b"[" * 9_000), id="a header nested deeply"),
        pytest.param(with_header(b'{"alg":' * 1_500), id="a header of objects nested deeply"),
        pytest.param(with_header(b'{"alg":' + b"1" * 9_000 + b"}"), id="a huge number in the header"),
        pytest.param(with_header(b"NaN"), id="a header that is not JSON"),
        pytest.param(signed({k: v for k, v in CLAIMS.items() if k != "sid"}), id="no session"),
        pytest.param(signed({k: v for k, v in CLAIMS.items() if k != "exp"}), id="no end"),
        pytest.param(signed({k: v for k, v in CLAIMS.items() if k != "iss"}), id="no issuer"),
        pytest.param(signed(CLAIMS | {"iss": "elsewhere"}), id="another issuer"),
        pytest.param(signed(CLAIMS | {"sid": "not an id"}), id="a session that is no id"),
    ],
)
async def test_a_token_that_was_not_issued_here_is_refused(tokens: AccessTokens, token: str) -> None:
    with pytest.raises(CredentialInvalidError, match="Log in again"):
        await tokens.read(token, now=NOW)


async def test_a_token_that_was_made_for_these_tests_would_be_good_but_for_what_is_wrong_with_it(
    tokens: AccessTokens,
) -> None:
    assert await tokens.read(signed(CLAIMS), now=NOW) == SESSION
    header = f'{{"alg":"HS256","kid":{OWN_KID}}}'.encode()
    assert await tokens.read(signed_as_it_stands(header), now=NOW) == SESSION


READING = tokens_with(KEY)


@given(st.data())
async def test_a_token_that_was_tampered_with_is_refused(data: st.DataObject) -> None:
    token = issued()
    # The last character of the signature holds bits that say nothing.
    position = data.draw(st.integers(0, len(token) - 2))
    character = data.draw(st.sampled_from("ABab01-_.=é\0 ").filter(lambda drawn: drawn != token[position]))

    with pytest.raises(CredentialInvalidError):
        await READING.read(token[:position] + character + token[position + 1 :], now=NOW)


@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]{0,20}\.[A-Za-z0-9_-]{0,20}\.[A-Za-z0-9_-]{0,20}"))
@example("a" * 100_000)
async def test_a_text_of_any_kind_is_refused(text: str) -> None:
    with pytest.raises(CredentialInvalidError):
        await READING.read(text, now=NOW)
