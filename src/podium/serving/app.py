"""The page and the HTTP API of a run."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from fastapi_offline import FastAPIOffline
from starlette.middleware.trustedhost import TrustedHostMiddleware

from podium.competitions.base import MissingData
from podium.data.table import read_table
from podium.predictions.combine import current_results
from podium.predictions.score import Score
from podium.runs.fold_folder import RunError
from podium.runs.run import Run
from podium.runs.table import HELD_OUT
from podium.serving import schema
from podium.serving.engine import Engine
from podium.serving.guard import Guard
from podium.serving.scheduling import Batcher, Quota, Turns
from podium.serving.schema import ImageError, ImageResponse, RequestLimits
from podium.serving.uploads import FORM, decode_upload, megapixels, read_uploads

STATIC = Path(__file__).parent / "static"
ERRORS = 400, 408, 413, 415, 422, 503, 504  # statuses of api/classify
FILES = {"type": "array", "items": {"type": "string", "format": "binary"}}
FORM_SCHEMA = {"type": "object", "required": ["images"], "properties": {"images": FILES}}


class Service:
    """Classifies uploads: images are decoded on all cores and predicted in batches."""

    def __init__(self, engine: Engine, limits: RequestLimits) -> None:
        self._engine, self._limits = engine, limits
        self._batcher = Batcher(engine.predict, engine.batch_size)
        self._decoding, self._predicting = Turns(os.cpu_count() or 1), Turns(2 * engine.batch_size)
        most_bytes = limits.requests * limits.request_bytes
        self._in_work = Quota("requests", limits.requests, 4 * limits.requests)
        self._in_memory = Quota("bytes", most_bytes // 2, most_bytes)

    async def classify(self, request: Request) -> list[ImageResponse | ImageError]:
        """Classify the files of a request in their order; a bad one stops no other.

        Raises:
            HTTPException: 503, too much is in work; 504, it took too long; or see `read_uploads`.
        """
        client = request.client.host if request.client else ""
        with self._in_memory.share(client) as hold, self._in_work.share(client) as begin:
            uploads = await read_uploads(request, self._limits, hold)
            cost = begin(1)  # of a turn: the more requests a client has, the more
            try:
                async with asyncio.timeout(self._limits.seconds):
                    return await asyncio.gather(
                        *(self._classify_one(*upload, request, cost) for upload in uploads)
                    )
            except TimeoutError:
                raise HTTPException(504, f"no answer within {self._limits.seconds:g} s") from None

    async def _classify_one(
        self, name: str, data: bytes, request: Request, cost: float
    ) -> ImageResponse | ImageError:
        sides = self._engine.run.recipe.cache_size, self._engine.size
        millions = await asyncio.to_thread(megapixels, data, self._limits)
        try:
            async with self._decoding.turn(request, cost * millions):
                image = await asyncio.to_thread(decode_upload, name, data, self._limits, *sides)
        except HTTPException as error:
            return ImageError(name=name, status=error.status_code, detail=error.detail)
        async with self._predicting.turn(request, cost):
            prediction = await self._batcher.put(image.pixels)
        size = {"width": image.size.width, "height": image.size.height}
        return ImageResponse(name=name, **size, **dict(prediction))


def make_app(
    engine: Engine,
    limits: RequestLimits,
    examples: Sequence[schema.Example],
    hosts: Sequence[str],
) -> Guard:
    """Make the application.

    Args:
        hosts: names that it may be called by. A page elsewhere that makes its own name point to
            this machine could else read the answers of a server that only this machine may ask.
    """
    app = FastAPIOffline(  # FastAPI's own /docs loads its scripts from a CDN
        title=f"Podium: {engine.run.name}",
        description="Classes of images, and the evidence for them. Nothing that is sent is kept.",
        redoc_url=None,
        favicon_url="/static/icon.svg",
    )
    app.include_router(_api(engine, limits, describe_run(engine, limits, examples)))
    app.mount("/static", StaticFiles(directory=STATIC))

    @app.get("/examples/{number}", include_in_schema=False)
    async def example(number: int) -> FileResponse:
        if not 0 <= number < len(examples):
            raise HTTPException(404)
        return FileResponse(examples[number].path)

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    return Guard(app)


def _api(engine: Engine, limits: RequestLimits, info: schema.RunInfo) -> APIRouter:
    """What /docs describes."""
    api, service = APIRouter(), Service(engine, limits)
    body = {"required": True, "content": {FORM: {"schema": FORM_SCHEMA}}}
    errors = {status: {"model": schema.ErrorResponse} for status in ERRORS}

    @api.post("/api/classify", responses=errors, openapi_extra={"requestBody": body})
    async def classify(request: Request) -> schema.PredictResponse:
        """Classify one or several images.

        One that cannot be read has its own status among the others. If none can be read, the
        response has the status of the first one.
        """
        images = await service.classify(request)
        failed = [image for image in images if isinstance(image, ImageError)]
        if len(failed) == len(images):
            raise HTTPException(failed[0].status, "; ".join(image.detail for image in failed))
        return schema.PredictResponse(run=engine.run.name, images=images)

    @api.get("/health", summary="Whether the server answers")
    async def health() -> dict[str, str]:
        return {"status": "ok", "run": engine.run.name}

    @api.get("/api/run", summary="The run that is served, and the limits")
    async def run() -> schema.RunInfo:
        return info

    return api


def describe_run(
    engine: Engine, limits: RequestLimits, examples: Sequence[schema.Example]
) -> schema.RunInfo:
    """Describe the run for the page, before any image has come."""
    folds = ", ".join(map(str, engine.folds))
    used = f"folds {folds} are averaged" if len(engine.folds) > 1 else f"fold {folds} answers"
    try:
        results = current_results(engine.run.folder)
        score = f"{results.get('scored', 'out-of-fold')} {Score.from_dict(results['score'])}"
    except RunError:  # what it was judged by is not here; its networks are
        score = None
    return schema.RunInfo(
        run=engine.run.name,
        competition=engine.run.competition.name,
        classes=engine.classes,
        networks=f"of {len(engine.trained_folds)} trained networks, {used}",
        score=score,
        # Without the remark, which may name paths on this machine.
        out_of_distribution=str(replace(engine.ood_detector, remark="")),
        no_heat=engine.no_heat,
        boxes=engine.run.recipe.box is not None,
        limits=limits,
        examples=list(examples),
    )


def find_examples(run: Run, fold: int, most: int) -> list[schema.Example]:
    """Find up to `most` images that the fold's network was not trained on, the classes in turns."""
    if not most:
        return []
    try:
        train = read_table(run.competition, run.folder).train
    except (MissingData, RunError) as error:
        print(f"no examples on the page: {error}")
        return []
    unseen = train[train["fold"].isin([fold, HELD_OUT])]
    turn = unseen.groupby("label").cumcount()
    chosen = unseen.assign(turn=turn).sort_values(["turn", "label"], kind="stable").head(most)
    task, classes = run.competition.task, run.competition.classes
    names = task.names(task.truth(chosen["label"], len(classes)), classes, separator=", ")
    return [
        schema.Example(address=f"examples/{number}", name=name or "no label", path=path)
        for number, (name, path) in enumerate(zip(names, chosen["path"], strict=True))
    ]
