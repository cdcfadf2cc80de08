"""A browser without scripts: it keeps cookies, follows links and redirects, and sends forms with what is in them."""

import re
from html import unescape

import httpx

FIELD = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')


class Browser:
    """``page`` is what it shows. A form goes as the page has it, and says as every browser does where it is from."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, trust_env=False, timeout=30, follow_redirects=True)
        self.page: httpx.Response | None = None

    def open(self, path: str) -> None:
        self.page = self.http.get(path)

    def send_form(self, path: str, fields: dict[str, str]) -> None:
        hidden = {name: unescape(value) for name, value in FIELD.findall(self.page.text)}
        origin = str(self.http.base_url).rstrip("/")
        self.page = self.http.post(path, data=hidden | fields, headers={"Origin": origin})

    def send_foreign_form(self, path: str, fields: dict[str, str]) -> None:
        self.page = self.http.post(path, data=fields, headers={"Origin": "https://evil.example"})

    def log_in(self, email: str, password: str, **more: str) -> None:
        if self.page is None or self.page.url.path != "/login":
            self.open("/login")
        self.send_form("/login", {"email": email, "password": password} | more)

    @property
    def title(self) -> str:
        return re.search(r"<title>([^<]*)</title>", self.page.text)[1]

    @property
    def text(self) -> str:
        """What the page shows, but for what is different every time."""
        shown = unescape(re.sub(r"<[^>]*>", " ", self.page.text))
        return " ".join(shown.split())

    def life_of(self, cookie: str) -> float:
        """Give for how many seconds from the answer on a cookie is to be kept."""
        answers = [*self.page.history, self.page]
        lines = [line for answer in answers for line in answer.headers.get_list("Set-Cookie")]
        line = next(line for line in lines if line.startswith(f"{cookie}="))
        return float(re.search(r"Max-Age=(\d+)", line)[1])
