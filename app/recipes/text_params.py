"""`params` of the recipes of text, and what they are where the request is silent."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from app.recipes.request import Request

Order = Annotated[int, Field(ge=1, le=8)]


class TextCleaning(Request):
    """What is done to a text before it is cut into words, in training and in predictions alike."""

    html: bool = Field(True, description="Tags of HTML go, entities (&quot;, also without the &) become characters.")
    unicode: Literal["nfkc", "nfc", "none"] = Field("nfkc", description="One form for characters that have several.")
    whitespace: bool = Field(True, description="Runs of white space become one blank, those at the ends go.")
    lowercase: bool = True
    drop_empty: bool = Field(True, description="Training rows go of whose text nothing is left.")


class Ngrams(Request):
    """Weighted sums of embedded n-grams of words and characters (Joulin et al. 2016; weights as in NB-SVM, Wang 2012).

    With `width` the sum is a vector of that many numbers, with the classes on top; without, it is the classes' scores.
    """

    type: Literal["ngrams"] = "ngrams"
    word_ngrams: Order = Field(2, description="Longest run of words. A Chinese character is a word.")
    character_ngrams: Annotated[list[Order], Field(min_length=2, max_length=2)] | None = Field(
        [2, 5], description="[shortest, longest] run of characters within a word; null: none."
    )
    min_count: int | None = Field(None, ge=1, le=1_000_000, description="Texts that an n-gram needs. Default: by rows.")
    vocabulary_size: int | None = Field(
        None, ge=100, le=2_000_000, description="Most n-grams that are told apart: the commonest. Default: by classes."
    )
    width: int | None = Field(None, ge=1, le=1024, description="Numbers that an n-gram is embedded in.")
    dropout: float | None = Field(None, ge=0, lt=1, description="Share of n-grams that is left out at each step.")

    @model_validator(mode="after")
    def _ordered(self) -> "Ngrams":
        if self.character_ngrams is not None and self.character_ngrams[0] > self.character_ngrams[1]:
            raise ValueError("character_ngrams must be [shortest, longest]")
        return self


class Tokenizer(Request):
    """How texts become tokens, learned on the training texts."""

    type: Literal["words", "wordpiece", "bpe", "characters"] = Field(
        "words", description="Whole words; pieces of words (WordPiece, or byte pairs); characters."
    )
    vocabulary_size: int = Field(20_000, ge=300, le=200_000, description="Most tokens: the commonest.")
    min_count: int = Field(2, ge=1, le=1_000_000, description="How often a token must occur.")


class TextCnn(Request):
    """Convolutions of several widths over embedded tokens, of each the largest value (Kim 2014)."""

    type: Literal["cnn"]
    tokenizer: Tokenizer = Field(default_factory=Tokenizer)
    max_length: int = Field(256, ge=8, le=4096, description="Tokens that are read of a text.")
    cut: Literal["head", "tail", "ends"] = Field("head", description="What of a longer text is read.")
    embedding_width: int = Field(128, ge=1, le=1024)
    filter_widths: Annotated[list[Order], Field(min_length=1, max_length=8)] = Field([3, 4, 5])
    filters: int = Field(100, ge=1, le=2048, description="Filters of each width.")
    dropout: float | None = Field(None, ge=0, lt=1, description="Share of values left out before the last layer.")

    @model_validator(mode="after")
    def _distinct(self) -> "TextCnn":
        if len(set(self.filter_widths)) < len(self.filter_widths):
            raise ValueError("filter_widths must be different")
        return self


class TextParams(Request):
    """Parameters of `text-classification`."""

    cleaning: TextCleaning = Field(default_factory=TextCleaning)
    architecture: Annotated[Ngrams | TextCnn, Field(discriminator="type")] = Field(default_factory=Ngrams)
