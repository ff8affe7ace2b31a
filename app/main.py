"""Wiring only: settings in, application out."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from app import RELEASE
from app.compat.router import router as compat_router
from app.core.asgi import App, Edge, Receive, Scope, Send
from app.core.auth import Authenticator
from app.core.handlers import install_handlers
from app.core.logging import configure_logging
from app.core.openapi import complete_document
from app.core.settings import Settings
from app.datasets.cache import DatasetCache
from app.datasets.router import router as datasets_router
from app.datasets.service import DatasetService
from app.db.engine import Database
from app.idempotency.layer import IdempotencyLayer
from app.inference.explain.service import ExplainService
from app.inference.figures import FIGURES
from app.inference.route import PredictApp, openapi_paths
from app.inference.router import router as inference_router
from app.inference.service import InferenceService
from app.jobs.queue import Bell
from app.jobs.router import router as jobs_router
from app.jobs.service import JobService
from app.models.intake.service import IntakeService
from app.models.router import router as models_router
from app.models.service import ModelService
from app.recipes.router import router as recipes_router
from app.storage.blobs import BlobStore, open_blobs
from app.system.gauges import Gauges
from app.system.health import Health
from app.system.metrics import Metrics
from app.system.router import router as system_router
from app.webhooks.router import router as webhooks_router
from app.webhooks.service import WebhookService

# Past it a request is answered 503: nothing that a request asks of the database takes so long.
DATABASE_ANSWER_SECONDS = 2.0
DESCRIPTION = "Trains, fine-tunes and serves Keras models over HTTP."


@dataclass(frozen=True)
class Services:
    """What the routers work with."""

    settings: Settings
    database: Database
    blobs: BlobStore
    datasets: DatasetService
    jobs: JobService
    models: ModelService
    intake: IntakeService
    inference: InferenceService
    explain: ExplainService
    health: Health
    metrics: Metrics
    bell: Bell
    webhooks: WebhookService


def build_services(settings: Settings, figures: Path | None = None) -> Services:
    """Construct every service from `settings`; nothing is started yet.

    `figures`: the folder in which several API processes share their figures.
    """
    settings.home_dir.mkdir(parents=True, exist_ok=True)
    settings.work_dir.mkdir(parents=True, exist_ok=True)
    database = Database(settings.database, answer_seconds=DATABASE_ANSWER_SECONDS)
    blobs = open_blobs(settings.storage)
    bell = Bell(settings.broker)
    models = ModelService(database, blobs)
    inference = InferenceService(blobs, settings, models)
    models.on_change = inference.refresh_from_thread
    intake = IntakeService(database, blobs, settings)
    intake.on_change = inference.refresh_from_thread
    return Services(
        settings=settings,
        database=database,
        blobs=blobs,
        datasets=DatasetService(database, blobs, settings),
        jobs=JobService(database, blobs, settings, DatasetCache(blobs, settings.work_dir), bell),
        models=models,
        intake=intake,
        inference=inference,
        explain=ExplainService(inference),
        health=Health(settings, database, blobs, bell.ping, intake.lack),
        metrics=Metrics(Gauges(database, settings), FIGURES, figures),
        bell=bell,
        webhooks=WebhookService(database, settings),
    )


class Trainyard:
    """The ASGI application: predictions go straight to their small app, the rest through FastAPI."""

    def __init__(self, settings: Settings, figures: Path | None = None) -> None:
        self.services = build_services(settings, figures)
        authenticator = Authenticator(settings)
        self.api = build_api(self.services)
        self._predict = PredictApp(self.services.inference, authenticator)
        self._rest = Edge(IdempotencyLayer(self.api, self.services.database), authenticator)

    @property
    def state(self) -> Any:
        """FastAPI's state, for tests."""
        return self.api.state

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        return self.api.openapi()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        target: App = self._predict if self._predict.takes(scope) else self._rest
        await target(scope, receive, send)


def build_api(services: Services) -> FastAPI:
    """Return the FastAPI part: everything but predictions."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await services.inference.start()
        services.bell.start()
        services.metrics.start()
        yield
        services.explain.close()
        await services.inference.stop()
        services.bell.stop()
        services.metrics.stop()
        services.datasets.close()
        services.intake.close()
        services.database.close()

    app = FastAPI(
        title="Trainyard",
        version=RELEASE,
        description=DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
        separate_input_output_schemas=False,
    )
    app.state.services = services
    install_handlers(app)
    routers = (
        system_router, datasets_router, recipes_router, jobs_router, models_router, inference_router, webhooks_router,
        compat_router,
    )  # fmt: skip
    for router in routers:
        app.include_router(router)
    _complete_openapi(app)
    return app


def _complete_openapi(app: FastAPI) -> None:
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        document = describe()
        for path, item in openapi_paths().items():
            document["paths"].setdefault(path, {}).update(item)
        complete_document(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


def create_app(settings: Settings | None = None, figures: Path | None = None) -> Trainyard:
    """Return the application for `settings` (default: from the environment).

    `figures`: the folder in which several API processes share their figures; None: this is the only one.
    """
    settings = settings or Settings()
    configure_logging(settings.log_level)
    return Trainyard(settings, figures)
