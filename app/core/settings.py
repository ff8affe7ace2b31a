"""Everything that can be configured, with units and defaults: the environment, read once."""

from pathlib import Path

from pydantic import Field, PositiveFloat, PositiveInt
from pydantic_settings import BaseSettings, SettingsConfigDict

# A queue: also the name of a Celery queue and a label of metrics.
QUEUE_NAME = "[a-z0-9][a-z0-9_-]{0,31}"
# `host`, `host:port`, `[fd00::5]:port`
_HOST = r" *([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})? *"


class Settings(BaseSettings):
    """Settings of one deployment. Each field is the variable `TRAINYARD_` + its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="TRAINYARD_", frozen=True, extra="ignore")

    home: Path = Field(
        Path("~/.trainyard"), description="Data folder of this host: database, blobs, broker, work files."
    )
    host: str = Field("127.0.0.1", description="Address the API listens on; other than loopback needs keys.")
    port: int = Field(8000, ge=0, le=65535, description="TCP port of the API; 0 takes a free one.")
    database_url: str | None = Field(
        None,
        pattern=r"^(sqlite:///.|postgres(ql)?(\+psycopg)?://)",
        description="`postgresql+psycopg://…` or `sqlite:///…`; default: SQLite in the data folder.",
    )
    broker_url: str | None = Field(
        None,
        pattern=r"^(rediss?|redis\+socket)://",
        description="`redis://…` of a Redis or Valkey; default: a private Valkey in the data folder.",
    )
    storage_url: str | None = Field(
        None,
        pattern=r"^(file:///|s3://.)",
        description="`file:///folder` or `s3://bucket/prefix`; default: the data folder.",
    )
    api_keys_file: Path | None = Field(
        None, description="Keys, one `name:sha256` a line; made by `trainyard key create`."
    )
    api_processes: PositiveInt = Field(1, description="API processes that `trainyard up` and `api` start.")

    worker_slots: PositiveInt = Field(1, description="Jobs that one worker trains at the same time.")
    worker_queues: str | None = Field(
        None,
        pattern=rf"^ *{QUEUE_NAME}( *, *{QUEUE_NAME})* *$",
        description="Queues that a worker serves, comma between; default: `gpu,default` where the host has a GPU, "
        "else `cpu,default`.",
    )
    device_slots: PositiveInt = Field(1, description="Slots that may share one GPU; a worker opens no more.")
    owner_slots: int = Field(0, ge=0, description="Jobs of one owner that may run at the same time; 0: no limit.")
    worker_name: str | None = Field(None, description="Name of this worker; default: host name and process id.")
    trainer_threads: int = Field(0, ge=0, description="CPU threads of a trainer; 0: the cores divided by the slots.")
    trainer_nice: int = Field(10, ge=0, le=19, description="How far a trainer steps back for predictions (nice level).")

    heartbeat_seconds: PositiveFloat = Field(10.0, description="Seconds between two renewals of a job's lease.")
    lease_seconds: PositiveFloat = Field(30.0, description="Seconds a worker may be silent before its job is requeued.")
    sweep_seconds: PositiveFloat = Field(5.0, description="Seconds between two sweeps for lost jobs and old data.")
    poll_seconds: PositiveFloat = Field(
        5.0, description="Seconds between two looks of an idle worker into the database."
    )
    control_seconds: PositiveFloat = Field(1.0, description="Seconds between two looks for a cancel or pause request.")
    cancel_grace_seconds: PositiveFloat = Field(8.0, description="Seconds a trainer has to stop before it is killed.")
    keep_grace_seconds: PositiveFloat = Field(120.0, description="Seconds a cancel with keep=best has to publish.")
    stall_seconds: PositiveFloat = Field(
        600.0, description="Seconds without a step after which a trainer counts as stalled."
    )
    checkpoint_seconds: PositiveFloat = Field(60.0, description="Least seconds between two checkpoints of a job.")
    max_failures: PositiveInt = Field(3, description="Lost workers or crashes after which a job fails.")

    max_upload_bytes: PositiveInt = Field(20 * 2**30, description="Largest data set or model file taken in, bytes.")
    max_json_bytes: PositiveInt = Field(8 * 2**20, description="Largest JSON body, bytes.")
    max_predict_bytes: PositiveInt = Field(64 * 2**20, description="Largest prediction request, bytes.")
    ingest_memory_bytes: PositiveInt = Field(1 * 2**30, description="Memory a data set's reader may use, bytes.")
    ingest_seconds: PositiveFloat = Field(600.0, description="Seconds a data set's reader may take.")
    max_model_parameters: PositiveInt = Field(200_000_000, description="Parameters of an uploaded model, at most.")
    intake_seconds: PositiveFloat = Field(120.0, description="Seconds that opening an uploaded model may take.")
    intake_memory_bytes: PositiveInt = Field(
        6 * 2**30, description="Memory that opening an uploaded model may use, bytes; a small file may use less."
    )
    min_free_bytes: int = Field(
        1 * 2**30, ge=0, description="Free disk below which uploads and jobs are answered 507, bytes."
    )

    predict_queue_rows: PositiveInt = Field(8192, description="Rows that may wait for one model before 503.")
    predict_batch_rows: PositiveInt = Field(256, description="Rows of one batch to a model, at most.")
    predict_wait_ms: float = Field(
        1.0, ge=0, description="Milliseconds a row waits for company when the model is busy."
    )
    predict_timeout_seconds: PositiveFloat = Field(30.0, description="Longest time a prediction may take, seconds.")
    explain_instances: PositiveInt = Field(16, description="Instances of one request to explain, at most.")
    explain_timeout_seconds: PositiveFloat = Field(60.0, description="Longest time an explanation may take, seconds.")
    model_cache_bytes: PositiveInt = Field(2 * 2**30, description="Bytes of models an API process keeps loaded.")

    webhook_allow: str | None = Field(
        None,
        pattern=rf"^{_HOST}(,{_HOST})*$",
        description="Hosts, `host` or `host:port`, comma between, that webhooks may reach though they are not public, "
        "also by plain http; `loopback`: this machine.",
    )
    webhook_seconds: PositiveFloat = Field(2.0, description="Seconds between two looks for webhooks to send.")
    webhook_disable_days: PositiveFloat = Field(
        5.0, description="Days without one delivery that succeeds after which a webhook is disabled."
    )

    retain_jobs_days: PositiveFloat = Field(90.0, description="Days an ended job is kept.")
    retain_checkpoints_days: PositiveFloat = Field(7.0, description="Days the checkpoints of an ended job are kept.")
    retain_logs_days: PositiveFloat = Field(30.0, description="Days the logs of an ended job are kept.")
    retain_deliveries_days: PositiveFloat = Field(30.0, description="Days a webhook's deliveries are kept.")

    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")

    @property
    def home_dir(self) -> Path:
        """The data folder, absolute."""
        return self.home.expanduser().absolute()

    @property
    def database(self) -> str:
        """The SQLAlchemy URL in force."""
        return self.database_url or f"sqlite:///{self.home_dir / 'trainyard.db'}"

    @property
    def broker(self) -> str:
        """The Celery broker URL in force."""
        return self.broker_url or f"redis+socket://{self.broker_socket}"

    @property
    def broker_socket(self) -> Path:
        """The unix socket of the private broker."""
        return self.home_dir / "broker" / "broker.sock"

    @property
    def storage(self) -> str:
        """The blob store URL in force."""
        return self.storage_url or f"file://{self.home_dir / 'blobs'}"

    @property
    def work_dir(self) -> Path:
        """Where this host keeps what can be made again: uploads under way, attempts, caches."""
        return self.home_dir / "work"
