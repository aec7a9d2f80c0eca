"""A clip's transcript as the bytes that the model reads."""

from dialoom.text import TagTable


def text_ids(text: str, language: str | None, tags: TagTable) -> list[int]:
    """The bytes that the model reads, led by the language's byte if the table has one.

    Raises:
        TextError: the text is empty or holds control characters.
    """
    known = language is not None and f"[{language}]" in tags.bytes_of_tags
    return tags.encode(text, language=language if known else None)
