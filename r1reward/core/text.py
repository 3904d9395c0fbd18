"""Text that every file and every program can hold."""


def valid_text(text: str) -> str:
    r"""Return ``text`` with each half of a surrogate pair replaced by U+FFFD.

    JSON can hold such a half (``"\ud800"``), UTF-8 cannot. Two halves that belong together become
    the one character that they stand for.
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
