"""A browser at the door: the cookie that says who it is, and the token that a forged request has not."""

from quart import Response, g, request

from iotsphere.identity.errors import CredentialInvalidError, CsrfTokenInvalidError
from iotsphere.identity.model import BrowserLogIn
from iotsphere.identity.secrets import csrf_token_matches, make_csrf_token

SESSION_COOKIE = "iotsphere_session"
CSRF_COOKIE = "csrf_token"
CSRF_HEADER = "X-CSRF-Token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

# As OpenAPI describes them.
SESSION_SCHEME = {
    "type": "apiKey",
    "in": "cookie",
    "name": SESSION_COOKIE,
    "description": (
        "A browser that is logged in at /login. Whatever is not GET, HEAD or OPTIONS needs the header "
        f"{CSRF_HEADER} with the value of the cookie {CSRF_COOKIE}."
    ),
}


def session_secret() -> str | None:
    """Give what the session cookie holds; None where there is none.

    :raises CredentialInvalidError: there are two, of which a neighbouring site may have planted one.
    """
    given = request.cookies.getlist(SESSION_COOKIE)
    if len(given) > 1:
        raise CredentialInvalidError(
            "There are two session cookies. Delete the cookies of this site and log in again."
        )
    return given[0] or None if given else None


def refuse_forgery(token: str | None) -> None:
    """Refuse to change anything for a browser, unless the request shows the token that pages of its session have.

    A browser sends its cookie whoever makes it send a request. What was recognised by something else is not asked.

    :raises CsrfTokenInvalidError: the token is missing or that of another session.
    """
    secret = g.get("session_secret")
    if secret is None or request.method in SAFE_METHODS:
        return
    if token is None or not csrf_token_matches(token, secret):
        raise CsrfTokenInvalidError(f"Send the value of the cookie {CSRF_COOKIE} as {CSRF_HEADER}.")


def keep_session(response: Response, opened: BrowserLogIn) -> None:
    """Hand a session to the browser: the secret for itself alone, the token for its scripts too."""
    _set_cookie(response, SESSION_COOKIE, opened.secret, opened.life_seconds, httponly=True)
    _set_cookie(response, CSRF_COOKIE, make_csrf_token(opened.secret), opened.life_seconds, httponly=False)


def drop_session(response: Response) -> None:
    for name in (SESSION_COOKIE, CSRF_COOKIE):
        _set_cookie(response, name, "", 0, httponly=name == SESSION_COOKIE)


def _set_cookie(response: Response, name: str, value: str, life_seconds: int, *, httponly: bool) -> None:
    response.set_cookie(
        name, value, max_age=life_seconds, path="/", secure=request.is_secure, httponly=httponly, samesite="Lax"
    )
