"""What a browser is told beside every answer: what it may load, who may frame it, and who may keep it."""

from quart import Request, Response

# A page loads what this server has, and nothing runs that stands in the page itself.
PAGE_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
DATA_POLICY = "default-src 'none'; frame-ancestors 'none'"
YEAR_SECONDS = 31_536_000


def protect(response: Response, request: Request) -> None:
    """Add the headers. What is read may be kept by the caller alone and is asked for again; the rest by nobody."""
    headers = response.headers
    is_page = response.mimetype == "text/html"
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Content-Security-Policy"] = PAGE_POLICY if is_page else DATA_POLICY
    if is_page:
        headers["X-Frame-Options"] = "DENY"
        # Not "no-referrer", with which a browser would not say where a form of ours comes from either.
        headers["Referrer-Policy"] = "same-origin"
    if "Cache-Control" not in headers:
        is_read = request.method in {"GET", "HEAD"} and not is_page
        headers["Cache-Control"] = "private, no-cache" if is_read else "no-store"
    if request.is_secure:
        headers["Strict-Transport-Security"] = f"max-age={YEAR_SECONDS}"
