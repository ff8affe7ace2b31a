"""The body of `POST /v1/jobs`: one form a kind of job. A further kind joins `KINDS` and `AnyJobRequest`."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Discriminator, Field, Tag, TypeAdapter, model_validator

from app.core.errors import UNION_TAG
from app.recipes.request import ColumnName, JobRequest, Queueing, Request

SplitName = Literal["train", "validation", "test"]
ModelRef = Annotated[
    str, Field(min_length=1, max_length=130, description="`name` (its newest version), `name@3` or `name@alias`.")
]


class DatasetRoles(Request):
    """A data set for each split; at least one."""

    train: str | None = None
    validation: str | None = None
    test: str | None = None

    @model_validator(mode="after")
    def _any(self) -> "DatasetRoles":
        if self.train is None and self.validation is None and self.test is None:
            raise ValueError("name a data set for train, validation or test")
        return self


class ReadColumns(Request):
    """Which columns of the data set the model reads; by default those called as in its training."""

    input: list[ColumnName] | dict[ColumnName, ColumnName] | None = Field(
        None, description="Columns that are read, or, by the model's name of a column, the data set's."
    )


class PredictColumns(ReadColumns):
    """Roles of columns in a batch prediction."""

    id: ColumnName | None = Field(None, description="Kept beside each prediction, with its type.")


class EvaluateColumns(ReadColumns):
    """Roles of columns in an evaluation."""

    target: ColumnName | list[ColumnName] | None = Field(
        None, description="What is true. Default: the column that the model was trained on."
    )


class Output(Request):
    """The data set of predictions."""

    name: str | None = Field(None, min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")


class PredictRequest(Queueing):
    """A batch prediction: a data set in, a data set of predictions out."""

    kind: Literal["predict"]
    model: ModelRef
    dataset: str | DatasetRoles
    split: SplitName | None = Field(None, description="Only the rows of this official split.")
    columns: PredictColumns = Field(default_factory=PredictColumns)
    output: Output = Field(default_factory=Output)


class EvaluateRequest(Queueing):
    """An evaluation: the test figures of a model on the rows of a data set."""

    kind: Literal["evaluate"]
    model: ModelRef
    dataset: str
    split: SplitName | None = Field(None, description="Default: `test` where the data set has it, else all rows.")
    columns: EvaluateColumns = Field(default_factory=EvaluateColumns)


KINDS: dict[str, type[Queueing]] = {"train": JobRequest, "predict": PredictRequest, "evaluate": EvaluateRequest}


JobKind = JobRequest | PredictRequest | EvaluateRequest


def _tag(value: Any) -> str:
    kind = value.get("kind", "train") if isinstance(value, dict) else getattr(value, "kind", "train")
    return f"{UNION_TAG}{kind}"


_DISCRIMINATOR = Discriminator(
    _tag,
    custom_error_type="job_kind",
    custom_error_message=f"A job is one of {', '.join(KINDS)}",
    custom_error_context={"param": "kind"},
)
AnyJobRequest = Annotated[
    Annotated[JobRequest, Tag(f"{UNION_TAG}train")]
    | Annotated[PredictRequest, Tag(f"{UNION_TAG}predict")]
    | Annotated[EvaluateRequest, Tag(f"{UNION_TAG}evaluate")],
    _DISCRIMINATOR,
]
_ADAPTER: TypeAdapter[Any] = TypeAdapter(AnyJobRequest)


def parse_request(content: dict[str, Any]) -> JobKind:
    """Return the request that was kept as JSON with a job."""
    request: JobKind = _ADAPTER.validate_python(content)
    return request


def dataset_roles(request: BaseModel) -> dict[str, str]:
    """Return data set id by role: `all`, or those of `train`, `validation` and `test` that are given."""
    dataset = getattr(request, "dataset", None)
    if isinstance(dataset, BaseModel):
        given: dict[str, Any] = dataset.model_dump()
        return {role: dataset_id for role, dataset_id in given.items() if dataset_id is not None}
    return {} if dataset is None else {"all": dataset}
