"""The errors a client can be told about, and nothing else.

    TrainyardError
    ├── BadRequest (400)          invalid_json
    ├── Unauthorized (401)        unauthorized
    ├── NotFound (404)            not_found, dataset_not_found, job_not_found, model_not_found …
    ├── MethodNotAllowed (405)    method_not_allowed
    ├── Conflict (409)            state_conflict, dataset_in_use, idempotency_in_progress …
    ├── TooLarge (413)            too_large
    ├── UnsupportedMedia (415)    unsupported_media_type
    ├── Unprocessable (422)       invalid_value, unknown_field, column_missing, dataset_invalid …
    ├── Overloaded (503)          overloaded, unavailable
    ├── DeadlineExceeded (504)    deadline_exceeded
    ├── ArtifactCorrupt (500)     artifact_corrupt
    └── StorageFull (507)         storage_full

A message names what was wrong and where; it never holds a path of the server, a stack
trace, or a secret. One handler in `app/core/http.py` writes all of them.
"""

from typing import Any, ClassVar, Final

# pydantic puts the tag of a union's member before the name of a field; tags of bodies begin so, to be left out.
UNION_TAG: Final = "kind="


class TrainyardError(Exception):
    """A fact for the client: what was wrong (`message`), where (`param`), and the details.

    `details` is a list of `{"param", "message"}` (or richer) objects, one a finding.
    """

    status: ClassVar[int] = 500
    code: str = "internal_error"
    type: ClassVar[str] = "api_error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        details: list[dict[str, Any]] | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.param = param
        self.details = details or []
        self.retry_after_seconds = retry_after_seconds


class BadRequest(TrainyardError):
    status, code, type = 400, "invalid_json", "invalid_request_error"


class Unauthorized(TrainyardError):
    status, code, type = 401, "unauthorized", "authentication_error"


class NotFound(TrainyardError):
    status, code, type = 404, "not_found", "invalid_request_error"


class MethodNotAllowed(TrainyardError):
    status, code, type = 405, "method_not_allowed", "invalid_request_error"


class Conflict(TrainyardError):
    status, code, type = 409, "state_conflict", "invalid_request_error"


class TooLarge(TrainyardError):
    status, code, type = 413, "too_large", "invalid_request_error"


class UnsupportedMedia(TrainyardError):
    status, code, type = 415, "unsupported_media_type", "invalid_request_error"


class Unprocessable(TrainyardError):
    status, code, type = 422, "invalid_value", "invalid_request_error"


class Overloaded(TrainyardError):
    status, code, type = 503, "overloaded", "overloaded_error"


class DeadlineExceeded(TrainyardError):
    status, code, type = 504, "deadline_exceeded", "overloaded_error"


class ArtifactCorrupt(TrainyardError):
    status, code, type = 500, "artifact_corrupt", "api_error"


class StorageFull(TrainyardError):
    status, code, type = 507, "storage_full", "api_error"
