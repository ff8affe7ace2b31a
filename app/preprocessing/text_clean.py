"""What is cleaned in a text before it is cut into words: each step by name, the same in training and prediction."""

import html
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

# Signs that mark up text; what else stands in angle brackets is text (<unk>, <3, <me@mail>).
_TAGS: Final = (
    "a|abbr|article|b|blockquote|body|br|center|code|div|em|font|form|h[1-6]|head|hr|html|i|iframe|img|input|label|li|"
    "link|meta|nav|ol|p|pre|script|section|small|span|strong|style|sub|sup|table|tbody|td|th|thead|title|tr|u|ul|video"
)
_ATTRIBUTE: Final = r"""\s+[\w:-]{1,40}\s*=\s*(?:"[^"<>]*"|'[^'<>]*'|[^\s"'<>]+)"""
_TAG: Final = re.compile(rf"</?(?:{_TAGS})(?:{_ATTRIBUTE})*\s*/?>", re.IGNORECASE)
# Also without its first sign, which some collections lost.
_ENTITY: Final = re.compile(r"(?:&|(?<![\w&]))(#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|quot|amp|lt|gt|nbsp|apos);")
_BLANKS: Final = re.compile(r"\s+")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")


Form = Literal["nfkc", "nfc", "none"]
_FORMS: Final[dict[Form, Literal["NFKC", "NFC"]]] = {"nfkc": "NFKC", "nfc": "NFC"}


@dataclass(frozen=True)
class TextCleaning:
    """Which steps are done. `unicode`: the form that characters are brought to (UAX 15), or none."""

    html: bool = True
    unicode: Form = "nfkc"
    whitespace: bool = True
    lowercase: bool = True

    def apply(self, text: str | None) -> str:
        """Return the clean text; a missing one is empty. Half of a surrogate pair becomes U+FFFD."""
        if not text:
            return ""
        if _SURROGATE.search(text):
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if self.html:
            text = strip_html(text)
        if self.unicode != "none" and not text.isascii():
            text = unicodedata.normalize(_FORMS[self.unicode], text)
        if self.whitespace:
            text = _BLANKS.sub(" ", text).strip()
        return text.lower() if self.lowercase else text

    def count(self, texts: Sequence[str | None]) -> Counter[str]:
        """Return in how many of `texts` each step finds something to do, by its name; `empty`: nothing is left."""
        found: Counter[str] = Counter()
        for text in texts:
            if text:
                found["html"] += self.html and strip_html(text) != text
                found["unicode"] += self.unicode != "none" and not unicodedata.is_normalized(_FORMS[self.unicode], text)
                found["whitespace"] += self.whitespace and _BLANKS.sub(" ", text).strip() != text
            found["empty"] += not self.apply(text)
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the steps as plain data: the fields by name."""
        return asdict(self)


def strip_html(text: str) -> str:
    """Return a text without tags of HTML, and with the characters that entities stand for."""
    if ";" in text:
        text = _ENTITY.sub(lambda found: html.unescape(f"&{found.group(1)};"), text)
    return _TAG.sub(" ", text) if "<" in text else text
