"""Pages, and refusals as pages: what a refusal says, and its status, is decided in ``iotsphere/api/errors.py``."""

from typing import Any
from urllib.parse import quote

from quart import Blueprint, Response, g, render_template, request
from werkzeug.exceptions import HTTPException

from iotsphere.api.admission import note_attempt
from iotsphere.api.browser import SAFE_METHODS, drop_session
from iotsphere.api.errors import domain_problem, http_problem, unexpected_problem
from iotsphere.api.recording import record_refusal
from iotsphere.identity.errors import CredentialMissingError
from iotsphere.identity.secrets import make_csrf_token
from iotsphere.kernel.errors import DomainError, UnauthenticatedError
from iotsphere.web.forms import HOME

HTML = "text/html; charset=utf-8"


async def show_page(template: str, *, status: int = 200, **given: Any) -> Response:
    """Show a page; of one that is shown to somebody logged in, scripts and forms find the token in it."""
    secret = g.get("session_secret")
    csrf_token = make_csrf_token(secret) if secret else None
    page = await render_template(template, csrf_token=csrf_token, **given)
    return Response(page, status=status, content_type=HTML)


async def show_problem(problem: Response) -> Response:
    """Show a problem as a page, with the headers that it has."""
    page = await show_page(
        "problem.html",
        status=problem.status_code,
        problem=await problem.get_json(),
        retry_after_seconds=problem.headers.get("Retry-After"),
    )
    for name in ("Retry-After", "Allow"):
        if name in problem.headers:
            page.headers[name] = problem.headers[name]
    return page


async def show_domain_problem(error: DomainError) -> Response:
    # Whoever comes without a cookie has tried nothing yet.
    if not isinstance(error, CredentialMissingError):
        await record_refusal(error, {})
    if isinstance(error, UnauthenticatedError):
        return _to_log_in()
    return await show_problem(domain_problem(error))


async def show_http_problem(error: HTTPException) -> Response:
    return await show_problem(http_problem(error))


async def show_unexpected_problem(error: Exception) -> Response:
    return await show_problem(unexpected_problem(error))


def go_to(path: str) -> Response:
    """Send the browser on; it asks for the path with GET, whatever it has asked for before."""
    return Response("", status=303, headers={"Location": path}, content_type=HTML)


def _to_log_in() -> Response:
    """Have the user log in, and come back if the page was only to be looked at."""
    is_wanted = request.method in SAFE_METHODS and request.path != HOME
    response = go_to(f"/login?next={quote(request.path, safe='/')}" if is_wanted else "/login")
    drop_session(response)
    return response


async def _begin() -> None:
    # Before anything is known or read: a refusal, too, has come from somewhere.
    note_attempt(None)


def register_problem_pages(blueprint: Blueprint) -> None:
    blueprint.before_request(_begin)
    blueprint.register_error_handler(DomainError, show_domain_problem)
    blueprint.register_error_handler(HTTPException, show_http_problem)
    blueprint.register_error_handler(Exception, show_unexpected_problem)
