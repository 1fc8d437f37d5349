"""What every answer's headers say, and pages from elsewhere, which may not post."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Browsers load nothing from elsewhere and keep nothing. Images that the page shows itself are
# blob: ones; Swagger's page at /docs has a script of its own in it.
POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
INLINE = "; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'"
SAFE = {"GET", "HEAD", "OPTIONS"}  # RFC 9110, 9.2.1


def safe_headers(path: str) -> dict[str, str]:
    """The headers of an answer to a request for this path."""
    return {
        "content-security-policy": POLICY + (INLINE if path == "/docs" else ""),
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
        "referrer-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
    }


class Guard:
    """Around the whole application, so that its errors have the headers as well."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, but none by which a page from elsewhere would change something."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(safe_headers(scope["path"]))
            await send(message)

        app, headers = self._app, Headers(scope=scope)
        own = headers.get("host", "").lower()
        for origin in headers.getlist("origin"):  # a browser's; other programs send none
            if scope["method"] not in SAFE and origin.lower().partition("://")[2] != own:
                detail = "a page from elsewhere may not post: open this server's own page"
                app = JSONResponse({"detail": detail}, 403)
        await app(scope, receive, send_safely)
