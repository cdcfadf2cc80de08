import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from iotsphere.identity.errors import CredentialInvalidError
from iotsphere.identity.model import ACCESS_TOKEN_LIFE
from iotsphere.identity.tokens import AccessTokens

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SECRET = "a secret of more than thirty-two characters"
TOKENS = AccessTokens(SECRET)
SESSION = uuid4()


def part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def forged(header: dict[str, Any], **claims: Any) -> str:
    token_claims = {"iss": "iotsphere", "sid": str(SESSION), "exp": int(NOW.timestamp()) + 60} | claims
    return with_header(json.dumps(header).encode(), json.dumps(token_claims).encode())


def with_header(header: bytes, claims: bytes = b"{}") -> str:
    return f"{part(header)}.{part(claims)}."


def test_a_token_tells_its_session_until_it_expires() -> None:
    token = TOKENS.issue(session_id=SESSION, issued_at=NOW)

    assert TOKENS.read(token, now=NOW) == SESSION
    assert TOKENS.read(token, now=NOW + ACCESS_TOKEN_LIFE - timedelta(seconds=1)) == SESSION
    with pytest.raises(CredentialInvalidError):
        TOKENS.read(token, now=NOW + ACCESS_TOKEN_LIFE)


def test_a_token_of_a_machine_that_is_ahead_is_good() -> None:
    token = TOKENS.issue(session_id=SESSION, issued_at=NOW + timedelta(seconds=30))

    assert TOKENS.read(token, now=NOW) == SESSION


def test_a_token_says_nothing_of_a_person() -> None:
    token = TOKENS.issue(session_id=SESSION, issued_at=NOW)

    assert set(jwt.decode(token, options={"verify_signature": False})) == {"iss", "sid", "iat", "exp"}


def signed(claims: dict[str, Any], key: bytes, algorithm: str = "HS256") -> str:
    return jwt.encode(claims, key, algorithm=algorithm)


OWN_KEY = TOKENS._key
CLAIMS = {"iss": "iotsphere", "sid": str(SESSION), "exp": NOW + timedelta(minutes=1)}


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="empty"),
        pytest.param("..", id="three empty parts"),
        pytest.param("a.b", id="two parts"),
        pytest.param("é.é.é", id="not ASCII"),
        pytest.param("\ud800.a.b", id="half a surrogate pair"),
        pytest.param(AccessTokens(SECRET + "!").issue(session_id=SESSION, issued_at=NOW), id="another secret"),
        pytest.param(signed(CLAIMS, SECRET.encode()), id="the secret itself as key"),
        pytest.param(signed(CLAIMS, b"\0" * 64), id="another key"),
        pytest.param(signed(CLAIMS, OWN_KEY * 2, "HS512"), id="another algorithm"),
        pytest.param(forged({"alg": "none"}), id="no algorithm"),
        pytest.param(forged({"alg": "None"}), id="no algorithm in capitals"),
        pytest.param(forged({"alg": "HS256"}), id="no signature"),
        pytest.param(forged({}), id="no header"),
        pytest.param(forged({"alg": ["HS256"]}), id="an algorithm that is a list"),
        pytest.param(forged({"alg": "HS256", "kid": 7}), id="a key id that is a number"),
        pytest.param(forged({"alg": "HS256", "crit": ["exp"]}), id="a critical extension"),
        pytest.param(forged({"alg": "HS256", "b64": False}), id="a detached payload"),
        pytest.param(with_header(b"[" * 9_000), id="a header nested deeply"),
        pytest.param(with_header(b'{"alg":' * 1_500), id="a header of objects nested deeply"),
        pytest.param(with_header(b'{"alg":' + b"1" * 9_000 + b"}"), id="a huge number in the header"),
        pytest.param(with_header(b"NaN"), id="a header that is not JSON"),
        pytest.param(signed({k: v for k, v in CLAIMS.items() if k != "sid"}, OWN_KEY), id="no session"),
        pytest.param(signed({k: v for k, v in CLAIMS.items() if k != "exp"}, OWN_KEY), id="no end"),
        pytest.param(signed({k: v for k, v in CLAIMS.items() if k != "iss"}, OWN_KEY), id="no issuer"),
        pytest.param(signed(CLAIMS | {"iss": "elsewhere"}, OWN_KEY), id="another issuer"),
        pytest.param(signed(CLAIMS | {"sid": "not an id"}, OWN_KEY), id="a session that is no id"),
    ],
)
def test_a_token_that_was_not_issued_here_is_refused(token: str) -> None:
    with pytest.raises(CredentialInvalidError, match="Log in again"):
        TOKENS.read(token, now=NOW)


@given(st.data())
def test_a_token_that_was_tampered_with_is_refused(data: st.DataObject) -> None:
    token = TOKENS.issue(session_id=SESSION, issued_at=NOW)
    # The last character of the signature holds bits that say nothing.
    position = data.draw(st.integers(0, len(token) - 2))
    character = data.draw(st.sampled_from("ABab01-_.=é\0 ").filter(lambda drawn: drawn != token[position]))

    with pytest.raises(CredentialInvalidError):
        TOKENS.read(token[:position] + character + token[position + 1 :], now=NOW)


@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]{0,20}\.[A-Za-z0-9_-]{0,20}\.[A-Za-z0-9_-]{0,20}"))
@example("a" * 100_000)
def test_a_text_of_any_kind_is_refused(text: str) -> None:
    with pytest.raises(CredentialInvalidError):
        TOKENS.read(text, now=NOW)


def test_keys_differ_with_the_secret() -> None:
    session_id = UUID(int=1)

    assert AccessTokens(SECRET).issue(session_id=session_id, issued_at=NOW) == TOKENS.issue(
        session_id=session_id, issued_at=NOW
    )
    assert AccessTokens(SECRET[:-1]).issue(session_id=session_id, issued_at=NOW) != TOKENS.issue(
        session_id=session_id, issued_at=NOW
    )
