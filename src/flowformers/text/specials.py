"""Special and added tokens in the text itself: cut out before anything else, as `tokenizers` does.

Thirteen bytes never occur in UTF-8. Once invalid input has been replaced, they mark special tokens without collision.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowformers.errors import InvalidInput
from flowformers.types import Tensor

SENTINELS = (0xC0, 0xC1, *range(0xF5, 0x100))
WHITE_SPACE = (*range(9, 14), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000)
SPACE = "[" + "".join(rf"\x{{{code:x}}}" for code in WHITE_SPACE) + "]"


@dataclass(frozen=True)
class AddedToken:
    """One entry of tokenizer.json's added_tokens, with the byte that stands for it. normalized: matched after."""

    content: str
    id: int
    byte: int
    lstrip: bool
    rstrip: bool
    normalized: bool

    def pattern(self, content: str, *, swallow: bool = True) -> str:
        """RE2 for the token and, with swallow, the white space that lstrip and rstrip take along."""
        quoted = re.sub(r"([^\w])", lambda found: _quoted(found[1]), content, flags=re.ASCII)
        before, after = (f"{SPACE}*" if swallow and strip else "" for strip in (self.lstrip, self.rstrip))
        return f"{before}{quoted}{after}"


def _quoted(character: str) -> str:
    return rf"\x{{{ord(character):x}}}"


def added_tokens(settings: Mapping[str, Any], *, reserved: int = 0) -> list[AddedToken]:
    """The added tokens of a tokenizer.json. reserved: bytes kept for other uses. Raises InvalidInput.

    What can't be done exactly is refused: single_word, more tokens than bytes, and what check_apart() refuses.
    """
    entries = sorted(settings.get("added_tokens") or (), key=lambda entry: -len(entry["content"]))
    free = SENTINELS[: len(SENTINELS) - reserved]
    if len(entries) > len(free):
        raise InvalidInput(f"expected at most {len(free)} added tokens in tokenizer.json; there are {len(entries)}")
    for entry in entries:
        if entry.get("single_word"):
            raise InvalidInput(f"added token {entry['content']!r} has single_word set, which has no exact graph form")
    swallow = any(entry.get("lstrip") or entry.get("rstrip") for entry in entries)
    check_apart([entry["content"] for entry in entries], blank=swallow)
    return [
        AddedToken(
            entry["content"], entry["id"], byte,
            bool(entry.get("lstrip")), bool(entry.get("rstrip")), bool(entry.get("normalized")),
        )
        for entry, byte in zip(entries, free, strict=False)
    ]  # fmt: skip


def check_apart(contents: Sequence[str], *, blank: bool) -> None:
    """Raises InvalidInput for tokens that could share characters of a text: one begins as another ends.

    blank: whether tokens also take white space beside them, so that none may have any at its ends.
    """
    edged = next((one for one in contents if blank and one != one.strip()), None)
    if edged is not None:
        raise InvalidInput(
            f"added token {edged!r} has white space at its ends, which other added tokens may take: no exact graph form"
        )
    for one in contents:
        for other in contents:
            shared = next((n for n in range(1, min(len(one), len(other))) if one.endswith(other[:n])), 0)
            if shared and one != other:
                raise InvalidInput(f"added tokens {one!r} and {other!r} can overlap, which has no exact graph form")


def mark(
    text: Tensor, tokens: Sequence[AddedToken], contents: Mapping[str, str] | None = None, *, swallow: bool = True
) -> Tensor:
    """Replace every token by its byte; text: string [n], already valid UTF-8.

    contents: other spellings to find. swallow: take white space along where lstrip and rstrip say so.
    """
    import tensorflow as tf

    spellings = [(token, token.content if contents is None else contents[token.content]) for token in tokens]

    def marked(text: Tensor) -> Tensor:
        for token, content in spellings:
            if content:
                text = tf.strings.regex_replace(text, token.pattern(content, swallow=swallow), bytes([token.byte]))
        return text

    return where_held(text, [content for _, content in spellings], marked)


def where_held(text: Tensor, contents: Iterable[str], rewrite: Callable[[Tensor], Tensor]) -> Tensor:
    """The texts that may hold one of the contents rewritten, the others as they are, which are quick to tell.

    text: string [n]. Quick: those that are UTF-8 without a certain character of each of the contents.
    """
    telling = {next((one for one in content if not one.isalnum()), content[0]) for content in contents if content}
    return _unless(f"[^{''.join(map(_quoted, sorted(telling)))}]*", text, rewrite) if telling else text


def _unless(pattern: str, text: Tensor, rewrite: Callable[[Tensor], Tensor]) -> Tensor:
    """The texts rewritten that do not match as a whole, string [n]."""
    import tensorflow as tf

    rows = tf.where(~tf.strings.regex_full_match(text, pattern))
    return tf.tensor_scatter_nd_update(text, rows, rewrite(tf.gather_nd(text, rows)))


def valid_utf8(text: Tensor) -> Tensor:
    """Invalid bytes as U+FFFD, as Python's decode(errors="replace") does. text: string [n]."""
    import tensorflow as tf

    # To tell ASCII takes a tenth of the time that it needs to go through ICU.
    return _unless(r"[\x00-\x7f]*", text, lambda x: tf.strings.unicode_transcode(x, "UTF-8", "UTF-8", errors="replace"))
