"""What a browser is told with each answer: to load nothing from elsewhere, and to keep nothing."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Images that the page shows itself are blob: ones; Swagger's page has a script of its own in it.
PAGE = "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:"
SWAGGER = f"{PAGE}; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'"
CLOSED = "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


class SafeHeaders:
    """Adds them to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        policy = SWAGGER if scope["path"] == "/docs" else PAGE

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = f"{policy}; {CLOSED}"
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
                headers["Cache-Control"] = "no-store"
            await send(message)

        await self._app(scope, receive, add)
