"""The page and the HTTP API of a run."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from podium.serving.batcher import Batcher
from podium.serving.decoding import Square, decode_upload
from podium.serving.engine import Engine, Seen
from podium.serving.examples import ExampleImage
from podium.serving.headers import SafeHeaders
from podium.serving.limits import RETRY_AFTER, RequestError, RequestGate, RequestLimits
from podium.serving.schema import (
    About,
    Answered,
    Example,
    Health,
    NotAnswered,
    PredictResponse,
    Problem,
    about,
    answered,
)
from podium.serving.uploads import FIELD, FORM, Upload, read_uploads

STATIC = Path(__file__).parent / "static"
STATUSES = {
    400: "The form cannot be read.",
    408: "It was not sent in time.",
    413: "Too many bytes, pixels or images.",
    415: "Not an image in a known format, or not a form.",
    422: "No file came, or an empty, truncated or broken one.",
    503: "Too many requests are waiting; `Retry-After` says when to come back.",
    504: "There was no answer in time.",
}
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            FORM: {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "properties": {
                        FIELD: {"type": "array", "items": {"type": "string", "format": "binary"}}
                    },
                }
            }
        },
    }
}


class Service:
    """From uploads to answers: images are decoded on all cores and answered in batches."""

    def __init__(self, engine: Engine, limits: RequestLimits) -> None:
        self.engine, self.limits, self.gate = engine, limits, RequestGate(limits)
        self.batcher: Batcher[Seen] = Batcher(engine.see, engine.most)
        self._decoders = ThreadPoolExecutor(os.cpu_count() or 1, "decoder")

    def close(self) -> None:
        self.batcher.close()
        self._decoders.shutdown(cancel_futures=True)

    async def answer(self, uploads: Sequence[Upload]) -> list[Answered | NotAnswered]:
        """Of each image, in their order; a bad one spoils no other.

        Raises:
            Refused: it took too long.
        """
        try:
            async with asyncio.timeout(self.limits.seconds):
                return await asyncio.gather(*(self._one(upload) for upload in uploads))
        except TimeoutError:
            raise RequestError(504, f"no answer within {self.limits.seconds:g} s") from None

    async def _one(self, upload: Upload) -> Answered | NotAnswered:
        loop = asyncio.get_running_loop()
        try:
            square: Square = await loop.run_in_executor(
                self._decoders,
                decode_upload,
                upload,
                self.limits,
                self.engine.side,
                self.engine.size,
            )
        except RequestError as refused:
            return NotAnswered(name=upload.name, status=refused.status, detail=refused.reason)
        seen = await asyncio.wrap_future(self.batcher.put(square.pixels))
        return answered(upload.name, square, seen, self.engine)


def make_app(
    engine: Engine,
    limits: RequestLimits,
    examples: Sequence[ExampleImage] = (),
    hosts: Sequence[str] = ("*",),
) -> FastAPI:
    """The application.

    Args:
        hosts: names that it may be called by. A page elsewhere that makes its own name point to
            this machine could else read the answers of a server that only this machine may ask.
    """
    service = Service(engine, limits)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    app = FastAPIOffline(  # FastAPI's own /docs loads its scripts from a CDN
        title=f"Podium: {engine.folder.name}",
        description="What is on an image, where the network sees it, and how sure that is. "
        "Nothing that is sent is kept.",
        lifespan=lifespan,
        redoc_url=None,
        favicon_url="/static/icon.svg",
    )
    app.add_middleware(SafeHeaders)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    app.add_exception_handler(RequestError, _refuse)
    _add_api(app, service)
    _add_pages(app, service, examples)
    return app


def _add_api(app: FastAPI, service: Service) -> None:
    problems = {status: {"model": Problem, "description": why} for status, why in STATUSES.items()}

    @app.post(
        "/api/classify",
        response_model=PredictResponse,
        responses=problems,
        openapi_extra=BODY,
        summary="Say what is on one or several images",
    )
    async def classify(request: Request) -> Response:
        """One that cannot be read has its own status among the answers of the others.

        If none can be read, the whole answer has the status of the first one.
        """
        with service.gate.enter() as held:
            uploads = await read_uploads(request, service.limits, held)
            images = await service.answer(uploads)
        bad = [one for one in images if isinstance(one, NotAnswered)]
        if len(bad) == len(images):
            raise RequestError(bad[0].status, "; ".join(one.detail for one in bad))
        found = PredictResponse(run=service.engine.folder.name, images=images)
        return Response(found.model_dump_json(), media_type="application/json")

    @app.get("/health", summary="Whether it answers", responses={503: {"model": Problem}})
    async def health() -> Health:
        if not service.batcher.alive:
            raise RequestError(503, "the networks have stopped")
        return Health(run=service.engine.folder.name)


def _add_pages(app: FastAPI, service: Service, examples: Sequence[ExampleImage]) -> None:
    told = about(
        service.engine,
        service.limits,
        [
            Example(address=f"examples/{number}.jpg", name=example.name)
            for number, example in enumerate(examples)
        ],
    )

    @app.get("/api/run", summary="The run that answers, and its limits")
    async def run() -> About:
        return told

    @app.get("/examples/{number}.jpg", include_in_schema=False)
    async def example(number: int) -> Response:
        if not 0 <= number < len(examples):
            raise HTTPException(404)
        return Response(examples[number].jpeg, media_type="image/jpeg")

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    app.mount("/static", StaticFiles(directory=STATIC))


async def _refuse(request: Request, refused: Exception) -> JSONResponse:
    assert isinstance(refused, RequestError)
    headers = {"Retry-After": str(RETRY_AFTER)} if refused.status == 503 else None
    return JSONResponse({"detail": refused.reason}, refused.status, headers)
