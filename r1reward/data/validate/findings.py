"""Findings of a check: place, kind and advice."""

from dataclasses import dataclass

# A row with one of these cannot be trained on.
ERRORS = {
    "unreadable": "a file, or a row, that cannot be read",
    "schema": "fields that are missing or of another type",
    "label": "neither 1 nor 2",
    "answers": "not two answers, or twice the same",
    "media": "an image or video that cannot be used",
    "length": "a prompt that does not fit",
    "control": "a text with control tokens of the model",
    "duplicate": "the same record as another row",
    "empty": "a file without rows",
}
# A row with one of these is used as it is.
WARNINGS = {
    "extension": "an image that is of another format than its name says",
    "converted": "an image whose colours are converted to RGB",
    "animated": "an image with several frames, of which the first is shown",
    "small": "an image smaller than one patch, which is enlarged",
    "near_duplicate": "the same media and almost the same texts as another row",
    "balance": "labels that no fair coin gives",
    "language": "a question in another language",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about one row, or about all of them.

    Attributes:
        where: ``<file>:<row>``, a file, or what else it is about.
        kind: key of :data:`ERRORS` or :data:`WARNINGS`.
        detail: what is wrong; what to do.
        uid: of the record, where there is one.
    """

    where: str
    kind: str
    detail: str
    uid: str | None = None

    @property
    def is_error(self) -> bool:
        """Whether the row cannot be used."""
        return self.kind in ERRORS

    def __str__(self) -> str:
        return f"{self.where}: {self.kind}: {self.detail}"
