"""What is cleaned in texts, and that the rest stays as it is."""

import pytest

from app.preprocessing.text_clean import TextCleaning, strip_html


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("<p>one</p><br />two", " one  two"),
        ('<a href="x>y', '<a href="x>y'),
        ("&quot;one&amp;two&#39;", "\"one&two'"),
        ("don #39;t say  quot;no quot;", 'don \'t say  "no "'),
        ("<unk> <3 <me@mail.org> <S> a<b and c>d", "<unk> <3 <me@mail.org> <S> a<b and c>d"),
        ("wait; see&; x&notanentity;", "wait; see&; x&notanentity;"),
        ("#0; &#xD800; &#99999999;", "\ufffd \ufffd &#99999999;"),
    ],
)
def test_html_goes_and_other_signs_stay(raw: str, clean: str) -> None:
    assert strip_html(raw) == clean


def test_each_step_can_be_left_out() -> None:
    raw = " Ｆｕｌｌ  <b>Wide</b>\n"
    assert TextCleaning().apply(raw) == "full wide"
    assert TextCleaning(html=False).apply(raw) == "full <b>wide</b>"
    assert TextCleaning(unicode="none").apply(raw) == "ｆｕｌｌ wide"
    assert TextCleaning(unicode="nfc").apply("e\u0301Ｆ") == "éｆ"
    assert TextCleaning(whitespace=False, html=False).apply(raw) == " full  <b>wide</b>\n"
    assert TextCleaning(lowercase=False).apply(raw) == "Full Wide"


def test_half_a_surrogate_pair_becomes_the_replacement_character() -> None:
    assert TextCleaning().apply("a\ud800b") == "a\ufffdb"
    assert TextCleaning().apply(None) == ""


def test_what_was_found_is_counted_by_step() -> None:
    found = TextCleaning().count(["<br>", "a  b", "ﬁ", "plain", None, ""])
    assert dict(found) == {"html": 1, "unicode": 1, "whitespace": 1, "empty": 3}
    assert not +TextCleaning(html=False, unicode="none", whitespace=False).count(["<br> ﬁ  x"])
