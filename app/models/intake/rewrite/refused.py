"""Why a model file cannot be taken in."""


class Refused(Exception):
    """A model file, or a part of it, that is not taken in.

    `code` is for programs and stays the same between releases, `message` is for people, `where` names the layer or the
    part of the file ("" where it is the file as a whole).
    """

    def __init__(self, code: str, message: str, where: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.where = where
