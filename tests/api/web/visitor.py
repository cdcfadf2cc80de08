"""A browser in front of the application: it keeps cookies as one does, and sends forms."""

import re
from http.cookies import Morsel, SimpleCookie
from typing import Any
from urllib.parse import urlencode

from iotsphere.api.browser import CSRF_COOKIE, SESSION_COOKIE
from iotsphere.identity.model import User
from tests.api.bench import Answer, ApiBench

PASSWORD = "correct horse"


def add_user(bench: ApiBench, **given: Any) -> User:
    return bench.add_user(bench.ours, password_hash=f"hash of {PASSWORD}", **given)


def cookies_set(answer: Answer) -> dict[str, Morsel[str]]:
    cookies: SimpleCookie = SimpleCookie()
    for line in answer.headers.getlist("Set-Cookie"):
        cookies.load(line)
    return dict(cookies)


class Visitor:
    """Somebody with a browser; ``scheme`` is how the connection comes in."""

    def __init__(self, bench: ApiBench, *, scheme: str = "http") -> None:
        self._bench = bench
        self._scheme = scheme
        self.cookies: dict[str, str] = {}

    async def call(self, method: str, path: str, **options: Any) -> Answer:
        headers = options.pop("headers", {})
        if self.cookies:
            headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())} | headers
        answer = await self._bench.call(method, path, by=None, headers=headers, scheme=self._scheme, **options)
        for name, morsel in cookies_set(answer).items():
            if morsel["max-age"] == "0":
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = morsel.value
        return answer

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.call("GET", path, **options)

    async def send_form(self, path: str, fields: dict[str, str] | bytes, **options: Any) -> Answer:
        body = fields if isinstance(fields, bytes) else urlencode(fields).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"} | options.pop("headers", {})
        return await self.call("POST", path, data=body, headers=headers, **options)

    async def log_in(self, user: User, *, password: str = PASSWORD, **more: str) -> Answer:
        return await self.send_form("/login", {"email": user.email, "password": password} | more)

    @property
    def secret(self) -> str | None:
        return self.cookies.get(SESSION_COOKIE)

    @property
    def token(self) -> str:
        return self.cookies[CSRF_COOKIE]


def text_of(page: Answer) -> str:
    """What a page shows, which has to be a page."""
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    return " ".join(re.sub(r"<[^>]*>", " ", page.body.decode()).split())
