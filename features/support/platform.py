"""The platform as its users meet it: over HTTP, each with a credential of their own. Steps use nothing else."""

from uuid import uuid4

import httpx

from features.support.patience import patient_client
from features.support.running import ADMIN_EMAIL, ADMIN_PASSWORD

PASSWORD = "a password for the tests"


class Platform:
    """One organisation on the running platform, made for one scenario, with the people and devices in it.

    ``answer`` is the answer to the latest request. Devices and assets go by the names that the scenario gives them.
    """

    def __init__(self, url: str) -> None:
        self.http = patient_client(url)
        self.answer: httpx.Response | None = None
        self.devices: dict[str, dict] = {}
        self.assets: dict[str, dict] = {}
        self._mark = uuid4().hex[:12]
        self._tokens: dict[str, str] = {}
        self._keys: dict[str, str] = {}
        self._found_organisation()

    @staticmethod
    def log_in_as_platform_administrator(url: str) -> httpx.Client:
        http = patient_client(url)
        login = {"email": ADMIN_EMAIL, "password": ADMIN_PASSWORD}
        token = http.post("/api/v1/auth/token", json=login).json()["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"
        return http

    def request(self, method: str, path: str, *, by: str = "operator", **options) -> httpx.Response:
        """Call ``/api/v1<path>`` as a role of the organisation (``operator``, ``admin``, ...), as ``device:<name>``,
        or as ``nobody``.
        """
        headers = self.credential_of(by) | options.pop("headers", {})
        self.answer = self.http.request(method, f"/api/v1{path}", headers=headers, **options)
        return self.answer

    def get(self, path: str, *, by: str = "viewer", **options) -> dict:
        """Read something that has to be there."""
        answer = self.request("GET", path, by=by, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def credential_of(self, who: str) -> dict[str, str]:
        if who == "nobody":
            return {}
        if who.startswith("device:"):
            return {"X-API-Key": self.key_of(who.removeprefix("device:"))}
        return {"Authorization": f"Bearer {self._token_of(who)}"}

    def register_device(self, name: str, *, device_type: str = "pump", by: str = "operator", **more) -> dict:
        body = {"serial_number": f"SN-{name}", "device_type": device_type, "name": name} | more
        answer = self.request("POST", "/devices", by=by, json=body)
        if answer.status_code == 201:
            self.devices[name] = answer.json()
        return answer.json()

    def remember_device(self, name: str, device: dict, api_key: str) -> None:
        """Know a device by a name that has let itself in."""
        self.devices[name], self._keys[name] = device, api_key

    def path_of(self, device: str) -> str:
        return f"/devices/{self.devices[device]['id']}"

    def key_of(self, device: str) -> str:
        """Give the device's API key; the first time, have an administrator issue one."""
        if device not in self._keys:
            answer = self.request("POST", f"{self.path_of(device)}/credentials", by="admin", json={})
            assert answer.status_code == 201, answer.text
            self._keys[device] = answer.json()["api_key"]
        return self._keys[device]

    @property
    def refusal(self) -> str:
        """The code of the latest refusal."""
        assert self.answer is not None
        assert self.answer.headers["Content-Type"] == "application/problem+json", self.answer.text
        return self.answer.json()["code"]

    def email_of(self, who: str) -> str:
        return f"{who}@{self._mark}.example.org"

    def log_in(self, email: str, password: str) -> httpx.Response:
        return self.http.post("/api/v1/auth/token", json={"email": email, "password": password})

    def _token_of(self, role: str) -> str:
        if role not in self._tokens:
            body = {"email": self.email_of(role), "password": PASSWORD, "role": role}
            added = self.http.post("/api/v1/users", headers=self.credential_of("admin"), json=body)
            assert added.status_code == 201, added.text
            self._tokens[role] = self.log_in(self.email_of(role), PASSWORD).json()["access_token"]
        return self._tokens[role]

    def _found_organisation(self) -> None:
        body = {"name": self._mark, "admin": {"email": self.email_of("admin"), "password": PASSWORD}}
        administrator = self.log_in_as_platform_administrator(str(self.http.base_url))
        answer = administrator.post("/api/v1/organisations", json=body)
        administrator.close()
        assert answer.status_code == 201, answer.text
        self._tokens["admin"] = self.log_in(self.email_of("admin"), PASSWORD).json()["access_token"]
