"""Celery as a doorbell: what it may do, and why (RELIABILITY.md (d)).

A message holds a job id and is worth nothing by itself: the row in the database is the truth. So messages are
acknowledged when they come, and one that is lost or doubled changes nothing.
"""

import os

from celery import Celery

from app.core.settings import Settings
from app.jobs.queue import TASK, celery_queue

__all__ = ["TASK", "app", "make_celery", "settings", "worker_arguments"]


def make_celery(broker_url: str, slots: int) -> Celery:
    """Return the Celery application of a worker with `slots` pool children."""
    app = Celery("trainyard", broker=broker_url, set_as_current=True)
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        result_backend=None,
        task_ignore_result=True,
        # Late acknowledgement over Redis starts a long task again and again (measured: 3 starts of one
        # 240 s task), rejecting on a lost child loops without bound (9 starts in 20 s).
        task_acks_late=False,
        task_reject_on_worker_lost=False,
        # Otherwise a bell waits behind a running job beside an idle worker (measured: 25 s).
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_concurrency=slots,
        # A new child for each task costs 5 s; the child holds no TensorFlow that would have to go.
        worker_max_tasks_per_child=None,
        # Limits fire late inside C code and leave the trainer alive: the supervisor has its own.
        task_time_limit=None,
        task_soft_time_limit=None,
        # The launcher drains the slots before it stops Celery; this is for who stops Celery by hand.
        worker_soft_shutdown_timeout=25.0,
        # On idle it would only make every clean stop 25 s long.
        worker_enable_soft_shutdown_on_idle=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,  # a blip of the broker must not stop training
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # the default gives up after 100
        broker_transport_options={
            "visibility_timeout": 300,
            "socket_keepalive": True,
            "socket_timeout": 10,
            "socket_connect_timeout": 5,
            "health_check_interval": 25,
            "retry_on_timeout": True,
        },
        worker_enable_remote_control=False,  # who can write to the broker must not command workers
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_proc_alive_timeout=60,  # 4 s by default: a busy machine would kill children in a loop
        task_publish_retry=False,
    )
    return app


def worker_arguments(name: str, slots: int, queues: tuple[str, ...]) -> list[str]:
    """Return Celery's command line for a worker; who gossips or mingles needs a broker that answers."""
    return [
        "--quiet", "worker", "--pool=prefork", f"--concurrency={slots}", f"--hostname={name}",
        f"--queues={','.join(map(celery_queue, queues))}",
        "--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=WARNING",
    ]  # fmt: skip


settings = Settings()
app = make_celery(os.environ.get("TRAINYARD_BROKER_URL") or settings.broker, settings.worker_slots)
app.conf.imports = ("workers.tasks",)
