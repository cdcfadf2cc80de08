"""The pages of the platform, for people with a browser. They work without scripts."""

from pathlib import Path

from dependency_injector.wiring import Provide, inject
from marshmallow import EXCLUDE
from quart import Blueprint, Response, request, send_from_directory

from iotsphere.api.admission import admit, admit_browser, recognise_browser
from iotsphere.api.browser import CSRF_HEADER, drop_session, keep_session, refuse_forgery
from iotsphere.api.errors import status_of
from iotsphere.api.recording import record_refusal
from iotsphere.identity.accounts import AccountService
from iotsphere.identity.errors import LoginRefusedError
from iotsphere.identity.service import SessionService
from iotsphere.kernel.errors import UnauthenticatedError
from iotsphere.kernel.identifiers import UserId
from iotsphere.web.forms import LogInForm, LogInPageQuery, LogOutForm, read_form, read_query, refuse_foreign_origin
from iotsphere.web.pages import go_to, register_problem_pages, show_page
from iotsphere.workflows.authentication import AuthenticationWorkflow
from iotsphere.workflows.readiness import ReadinessWorkflow

STATIC = Path(__file__).parent / "static"

blueprint = Blueprint("web", __name__, template_folder="templates")
register_problem_pages(blueprint)


@blueprint.get("/static/<any('style.css', 'icon.svg'):name>")
async def show_static(name: str) -> Response:
    return await send_from_directory(STATIC, name)


@blueprint.get("/login")
async def show_log_in() -> Response:
    query = read_query(LogInPageQuery())
    return await show_page("login.html", next=query["next"])


@blueprint.post("/login")
@inject
async def log_in(authentication: AuthenticationWorkflow = Provide["workflows.authentication"]) -> Response:
    attempt = await admit(None, allow=None, device_may=False)
    refuse_foreign_origin()
    # Password managers and other tools add fields to the form of a log-in.
    form = await read_form(LogInForm(unknown=EXCLUDE))
    try:
        opened = await authentication.log_in_browser(
            email=form["email"], password=form["password"], remember=form["remember"], attempt=attempt
        )
    except LoginRefusedError as error:
        await record_refusal(error, {})
        return await show_page("login.html", status=status_of(error), refusal=error.detail, **form | {"password": ""})
    await _end_former_session()
    response = go_to(form["next"])
    keep_session(response, opened)
    return response


@inject
async def _end_former_session(sessions: SessionService = Provide["identity.sessions"]) -> None:
    """End the session whose cookie the new one replaces: nobody could log out of it any more."""
    try:
        attempt = await recognise_browser()
    except UnauthenticatedError:
        return
    await sessions.log_out(attempt=attempt)


@blueprint.post("/logout")
@inject
async def log_out(sessions: SessionService = Provide["identity.sessions"]) -> Response:
    attempt = await admit_browser()
    token = request.headers.get(CSRF_HEADER)
    if token is None:
        token = (await read_form(LogOutForm()))["csrf_token"]
    refuse_forgery(token)
    await sessions.log_out(attempt=attempt)
    response = go_to("/login")
    drop_session(response)
    return response


@blueprint.get("/")
@inject
async def show_home(
    accounts: AccountService = Provide["identity.accounts"],
    readiness: ReadinessWorkflow = Provide["workflows.readiness"],
) -> Response:
    actor = (await admit_browser()).actor
    assert actor is not None  # noqa: S101  # whoever is let in here is known
    user = await accounts.get_user(actor=actor, user_id=UserId(actor.id))
    return await show_page("home.html", user=user, stores=await readiness.examine_stores())
