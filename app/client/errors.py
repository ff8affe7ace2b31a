"""What can go wrong between this client and a Trainyard service, in words for a person.

ClientError              exit code of the command line
├── Refused              1   the service said no; code, param and details say why
├── BadInput             2   a file or a value on this side that cannot be sent
├── Unreachable          3   nobody answers at the address
└── JobNotSucceeded      4   the job ended as failed or cancelled
"""

from typing import Any, ClassVar


class ClientError(Exception):
    """Base of what this client raises; the message is for a person."""

    exit_code: ClassVar[int] = 1


class Refused(ClientError):
    """An error answer of the service (API: `error.code`, `error.param`, `error.details`)."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str | None = None,
        param: str | None = None,
        details: list[dict[str, Any]] | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.param = param
        self.details = details or []
        self.request_id = request_id

    def __str__(self) -> str:
        lines = [self.message]
        lines += [f"  {_finding(detail)}" for detail in self.details if _finding(detail) not in self.message]
        if self.status == 401:
            lines.append("Give a key with --key or TRAINYARD_KEY; `trainyard key create NAME` makes one.")
        if self.status >= 500 and self.request_id:
            lines.append(f"The service's log names this request {self.request_id}.")
        return "\n".join(lines)


class BadInput(ClientError):
    """A file that cannot be read or a value that is not what it should be, found before sending."""

    exit_code = 2


class Unreachable(ClientError):
    """No answer: nothing listens there, or the connection broke."""

    exit_code = 3


class JobNotSucceeded(ClientError):
    """A followed job ended as failed or cancelled."""

    exit_code = 4


def _finding(detail: dict[str, Any]) -> str:
    message, param = str(detail.get("message", detail)), detail.get("param")
    return message if not param or str(param) in message else f"{param}: {message}"
