"""The tables (ORM classes), by what they are about."""

from app.db.tables.base import DEFAULT_PROJECT, Base, InProject, Json
from app.db.tables.datasets import Dataset
from app.db.tables.jobs import Job, JobAttempt, JobCheckpoint, JobDataset, JobEvent, JobMetric, JobModel, OwnerUse
from app.db.tables.models import Model, ModelAlias, ModelVersion
from app.db.tables.system import Counter, IdempotencyKey, Worker
from app.db.tables.webhooks import Webhook, WebhookDelivery, WebhookMessage

__all__ = [
    "DEFAULT_PROJECT",
    "Base",
    "Counter",
    "Dataset",
    "IdempotencyKey",
    "InProject",
    "Job",
    "JobAttempt",
    "JobCheckpoint",
    "JobDataset",
    "JobEvent",
    "JobMetric",
    "JobModel",
    "Json",
    "Model",
    "ModelAlias",
    "ModelVersion",
    "OwnerUse",
    "Webhook",
    "WebhookDelivery",
    "WebhookMessage",
    "Worker",
]
