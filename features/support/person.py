"""A user with a name, who may be logged in at several places at once."""

import httpx

from features.support.platform import PASSWORD, Platform


class Person:
    """``sessions`` has by its place the pair of tokens that the user has there."""

    def __init__(self, platform: Platform, name: str, role: str) -> None:
        self._platform = platform
        self.email = platform.email_of(name.lower())
        self.password = PASSWORD
        self.sessions: dict[str, dict] = {}
        body = {"email": self.email, "password": self.password, "role": role, "name": name}
        added = platform.request("POST", "/users", by="admin", json=body)
        assert added.status_code == 201, added.text
        self.path = f"/users/{added.json()['id']}"

    def log_in(self, place: str) -> None:
        answer = self._platform.log_in(self.email, self.password)
        assert answer.status_code == 200, answer.text
        self.sessions[place] = answer.json()

    def request(self, method: str, path: str, *, place: str, **options) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.sessions[place]['access_token']}"}
        return self._platform.request(method, path, by="nobody", headers=headers, **options)

    def renew(self, place: str) -> httpx.Response:
        """Trade the refresh token of a place for a new pair, and keep that."""
        answer = show_refresh_token(self._platform, self.sessions[place]["refresh_token"])
        if answer.status_code == 200:
            self.sessions[place] = answer.json()
        return answer

    def statuses(self, place: str) -> tuple[int, int]:
        """Give what the access token of a place gets, and then the refresh token."""
        return self.request("GET", "/me", place=place).status_code, self.renew(place).status_code


def show_refresh_token(platform: Platform, token: str) -> httpx.Response:
    return platform.request("POST", "/auth/refresh", by="nobody", json={"refresh_token": token})
