"""What a file of rows is, and what shape its rows came in."""

from enum import StrEnum


class RowForm(StrEnum):
    """The shape of the rows of a file."""

    OPENAI = "openai"
    ALPACA = "alpaca"
    SHAREGPT = "sharegpt"
    XTUNER = "xtuner"
    PAIRS = "pairs"


class Container(StrEnum):
    """What holds the rows; `form` is a form page."""

    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"
    FORM = "form"
