"""How files spell a missing value, a truth value, a number: the tables that inference goes by."""

import re
from typing import Final

# In a number, boolean or datetime column any of these is a missing value: it can be nothing else.
MISSING: Final = frozenset({
    "", "?", "NA", "na", "Na", "N/A", "n/a", "#N/A", "#NA", "#N/A N/A", "<NA>", "NaN", "nan", "NAN", "-nan", "-NaN",
    "1.#QNAN", "null", "NULL", "Null", "(null)", "None", "none", "NONE", "nil", "NIL", "missing", "-", "--", ".",
})  # fmt: skip
# In a category column these are taken as missing too; the others may be names (Namibia is NA), and
# are only where a typed column of the same file proves that the file means "missing" by them.
MISSING_CATEGORY: Final = frozenset({
    "", "?", "N/A", "n/a", "#N/A", "#NA", "#N/A N/A", "<NA>", "NaN", "nan", "NAN", "-nan", "-NaN",
    "1.#QNAN", "null", "NULL", "(null)",
})  # fmt: skip
TRUTH: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
# What a client who says `boolean` may have in the column, in letters of any case.
TRUE_DECLARED: Final = ("true", "t", "yes", "y", "1", "on")
FALSE_DECLARED: Final = ("false", "f", "no", "n", "0", "off")
# Integers beyond this are not all float64 numbers, nor exact in JSON (RFC 8259, section 6).
MAX_SAFE_INTEGER: Final = 2**53

# No leading zero (001 is a name), no plus before a long number (a telephone number).
INTEGER_RE2: Final = r"^(\+\d{1,6}|-?(0|[1-9]\d*))$"
NUMBER_RE2: Final = r"^[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d+)?$"
DECLARED_NUMBER_RE2: Final = r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$"
DECLARED_INTEGER_RE2: Final = r"^[+-]?\d+(\.0*)?$"
ZONED_RE2: Final = r":[0-9.:]+(Z|[+-]\d\d(:?\d\d)?)$"
DATE_RE2: Final = r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d(:?\d\d)?)?)?$"

# Columns whose whole numbers are names. Matched against lower-case words of the column's name.
_NAMES_NUMBER = re.compile(
    r"(^|_)(zip|zipcode|zip_code|postal|postalcode|postal_code|postcode|post_code|plz|phone|phone_number|telephone"
    r"|tel|mobile|fax|ssn|iban|isbn|ean|vin)($|_)"
)


def names_things(column: str) -> bool:
    """Tell whether the name says that its whole numbers are names: zip codes, telephone numbers …"""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", column[:255])
    return _NAMES_NUMBER.search(re.sub(r"[^a-z0-9]+", "_", words.lower())) is not None
