"""WordPiece as graph ops with exactly the ids of the `tokenizers` library (BERT, ELECTRA, DistilBERT, MPNet).

Every class and mapping of characters is probed from that library and baked into a table, so that neither the server's
Unicode version nor TensorFlow's own normalisers decide anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from flowformers.errors import InvalidInput
from flowformers.text import charmap
from flowformers.text.charmap import SCALARS, blocks
from flowformers.text.reordering import Reordering, changed_characters, is_reordered, moved_marks
from flowformers.text.rewriting import END, Marks, Spans, Step, Table, buffer, piece_model, tensorflow_text
from flowformers.text.specials import AddedToken, added_tokens, check_apart, valid_utf8
from flowformers.text.tokens import Tokens
from flowformers.types import Tensor

PRIVATE = range(0xE000, 0xF8FF)
LONGEST = 200  # bytes of an entry: the builder refuses more than 256
PUNCTUATED = SCALARS[: SCALARS.index(0x20000)]  # the planes behind hold ideographs, tags and private characters


class WordPiece:
    """text: string [n] -> ragged ids, without the post-processor's specials.

    Made from a tokenizer.json; raises InvalidInput that names what it can't reproduce.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        _require(settings, "normalizer", "BertNormalizer")
        _require(settings, "pre_tokenizer", "BertPreTokenizer")
        _require(settings, "model", "WordPiece")
        model = settings["model"]
        self.tokens = added_tokens(settings)
        self._limit = int(model.get("max_input_chars_per_word", 100))
        vocab: dict[str, int] = model["vocab"]
        letters = iter(_unused(vocab))
        self._stand_in = next(letters)
        self._marks = {token.byte: next(letters) for token in self.tokens}
        unknown = model["unk_token"]
        for token in self.tokens:
            if token.content == unknown:  # its own entry must stay; any word outside the vocabulary gives its id
                self._marks[token.byte] = self._stand_in
        prefix = model["continuing_subword_prefix"]
        mapping = _normalisation(settings["normalizer"])
        _check_order(mapping, vocab, settings["normalizer"])
        _check_vocabulary(vocab, unknown, prefix, self._limit)
        _check_entries(vocab, self.tokens, unknown, prefix, settings["normalizer"])
        self._steps = self._rewriting(settings["normalizer"], mapping)
        self._pieces = _piece_model(vocab, self.tokens, self._marks, unknown, prefix)

    def _rewriting(self, normalizer: Mapping[str, Any], mapping: dict[int, str]) -> list[Step]:
        """One table where every added token is matched in the raw text; else one before and one after matching."""
        punctuation = _punctuation()
        marks = {byte: f" {letter} " for byte, letter in self._marks.items()}
        raw = [token for token in self.tokens if not token.normalized]
        normalized = [token for token in self.tokens if token.normalized]
        first = Marks(raw, {token.content: token.content for token in raw})
        steps: list[Step] = [first]
        if is_reordered(normalizer):
            steps.append(Reordering(_normalizer(normalizer)))
        if not normalized:
            return [*steps, Table(charmap.build(_isolate(mapping, punctuation), marks))]
        kept = {token.byte: chr(0xF0000 + token.byte) for token in raw}
        apart = {ord(letter): marks[byte] for byte, letter in kept.items()}
        later = _isolate({}, punctuation) | apart
        spellings = _spellings(normalizer, normalized)
        normalized.sort(key=lambda token: (-len(spellings[token.content]), token.id))
        second = Marks(normalized, spellings)
        return [*steps, Table(charmap.build(mapping, kept)), second, Table(charmap.build(later, marks))]

    def __call__(self, text: Tensor) -> Any:
        """text: string [n]. Returns a RaggedTensor of int64 ids [n, (tokens)]."""
        import tensorflow as tf

        text = valid_utf8(text)
        for step in self._steps:
            text = step(text)
        words = tf.strings.split(text, sep="")
        ids, _, _ = self._pieces_of(words.values)
        return _rows(ids.values, ids, words)

    def with_offsets(self, text: Tensor) -> Tokens:
        """text: string [n]. Raises InvalidInput for added tokens whose offsets have no exact graph form."""
        import tensorflow as tf

        for token in self.tokens:
            if token.normalized and (token.lstrip or token.rstrip):
                raise InvalidInput(
                    f"added token {token.content!r} is normalized and swallows white space: no exact offsets in a graph"
                )
        text = valid_utf8(text)
        spans = Spans.original(text)
        for step in self._steps:
            text, spans = step.follow(text, spans)
        words = tf.strings.split(text, sep="")
        ids, begin, end = self._pieces_of(words.values)
        word, found = ids.value_rowids(), spans.characters
        apart = (found.bytes == ord(END)) | (found.bytes == ord(" "))
        first = tf.gather(tf.where(~apart & tf.concat([[True], apart[:-1]], 0))[:, 0], word)  # each word's first byte
        start = tf.gather(spans.start, tf.gather(found.owner, first + begin))
        stop = tf.gather(spans.end, tf.gather(found.owner, first + end - 1))
        place = tf.ragged.range(words.row_lengths()).values
        return Tokens(*(_rows(x, ids, words) for x in (ids.values, start, stop, tf.gather(place, word))))

    def _pieces_of(self, words: Tensor) -> tuple[Any, Tensor, Tensor]:
        """words: string [w]. Returns ragged ids [w, (pieces)], and the bytes of its word that each begins and ends at.

        All int64.
        """
        import tensorflow as tf

        def too_long() -> Tensor:
            return tf.strings.length(words, unit="UTF8_CHAR") > self._limit

        many_bytes = tf.reduce_any(tf.strings.length(words) > self._limit)  # else no word has as many characters
        values = tf.cond(many_bytes, lambda: tf.where(too_long(), self._stand_in, words), lambda: tf.identity(words))
        pieces = tensorflow_text().FastWordpieceTokenizer(model_buffer=buffer(self._pieces), no_pretokenization=True)
        ids, begin, end = pieces.tokenize_with_offsets(values)
        word = ids.value_rowids()
        whole = tf.gather(tf.strings.length(words), word)
        end = tf.where(tf.gather(too_long(), word), tf.cast(whole, tf.int64), tf.cast(end.values, tf.int64))
        return tf.cast(ids, tf.int64), tf.cast(begin.values, tf.int64), end


def _rows(values: Tensor, pieces: Any, words: Any) -> Any:
    """Values of pieces as rows of texts. pieces: ragged [w, (pieces)]; words: ragged [n, (words)]."""
    import tensorflow as tf

    return tf.RaggedTensor.from_row_splits(values, tf.gather(pieces.row_splits, words.row_splits), validate=False)


def _require(settings: Mapping[str, Any], part: str, kind: str) -> None:
    found = (settings.get(part) or {}).get("type")
    if found != kind:
        raise InvalidInput(
            f"expected a {part} of type {kind} in tokenizer.json; got {found}. It has no graph form here"
        )


def _unused(vocab: Iterable[str]) -> Iterator[str]:
    """Private-use letters that no token holds; the normaliser drops them from any input."""
    held = set("".join(vocab))
    return (chr(code) for code in PRIVATE if chr(code) not in held)


def _normalizer(settings: Mapping[str, Any]) -> Any:
    from tokenizers import normalizers

    fields = ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")
    return normalizers.BertNormalizer(**{name: settings[name] for name in fields if name in settings})


def _normalisation(settings: Mapping[str, Any]) -> dict[int, str]:
    """What every character that changes is normalised to."""
    if not settings.get("clean_text", True):
        raise InvalidInput(
            "expected clean_text in tokenizer.json's normalizer: without it there is no exact graph form"
        )
    return changed_characters(_normalizer(settings))


@cache
def _punctuation() -> frozenset[int]:
    """Characters that BertPreTokenizer makes words of their own, probed with a letter before each.

    Nothing but them is cut, so that the pieces are as few as they are.
    """
    from tokenizers import pre_tokenizers

    cut, found = pre_tokenizers.BertPreTokenizer().pre_tokenize_str, set[int]()
    for codes in blocks(PUNCTUATED):
        for _, (begin, end) in cut("".join(f"a{chr(code)}" for code in codes)):
            if begin % 2 == 1 and end - begin == 1:
                found.add(codes[begin // 2])
    return frozenset(found)


def _isolate(mapping: Mapping[int, str], punctuation: frozenset[int]) -> dict[int, str]:
    """Spaces around punctuation, and every white space a plain space. mapping: characters that change; others stand."""
    apart = {code: f" {chr(code)} " for code in punctuation}
    apart |= {code: " " for code in SCALARS[:0x3001] if chr(code).isspace()}
    isolated = apart | {code: text.translate(apart) for code, text in mapping.items()}
    return {code: text for code, text in isolated.items() if text != chr(code)}


def _check_order(mapping: Mapping[int, str], vocab: Iterable[str], settings: Mapping[str, Any]) -> None:
    """Decomposition sorts neighbouring marks, which a table of characters can't: no matter outside the vocabulary."""
    if not is_reordered(settings):
        return
    found = sorted(set(moved_marks(mapping)) & set("".join(vocab)))
    if found:
        raise InvalidInput(
            f"the vocabulary holds combining marks that normalisation reorders: {found}; no exact graph form"
        )


def _check_vocabulary(vocab: Iterable[str], unknown: str, prefix: str, limit: int) -> None:
    """limit: characters of a word."""
    if unknown not in vocab:
        raise InvalidInput(f"expected the unknown token {unknown!r} in tokenizer.json's vocabulary; it is not there")
    long = [one for one in vocab if len(one.encode()) > LONGEST and len(one.removeprefix(prefix)) <= limit]
    if long:
        shown = f"{len(long)} tokens of more than {LONGEST} bytes ({long[0][:20]!r}...)"
        raise InvalidInput(f"the vocabulary holds {shown}, which has no exact graph form")


def _check_entries(
    vocab: Iterable[str], tokens: Iterable[AddedToken], unknown: str, prefix: str, settings: Mapping[str, Any]
) -> None:
    """An added token takes its entry out of the vocabulary: no other text may lead to that."""
    from tokenizers import pre_tokenizers

    normalizer, cut = _normalizer(settings), pre_tokenizers.BertPreTokenizer().pre_tokenize_str

    def is_word(text: str) -> bool:
        return [word for word, _ in cut(normalizer.normalize_str(text))] == [text]

    for token in tokens:
        content = token.content
        if content == unknown or content not in vocab:
            continue
        continues = bool(prefix) and content.startswith(prefix) and is_word(content.removeprefix(prefix))
        if continues or (not token.normalized and is_word(content)):
            raise InvalidInput(
                f"added token {content!r} is also a word or a part of words in the vocabulary: no exact graph form"
            )


def _spellings(settings: Mapping[str, Any], tokens: Sequence[AddedToken]) -> dict[str, str]:
    """How the added tokens look after normalisation. Raises InvalidInput where they can't be told apart."""
    normalizer, bare = _normalizer(settings), _normalizer({**settings, "handle_chinese_chars": False})
    spellings = {token.content: normalizer.normalize_str(token.content) for token in tokens}
    found = [*spellings.values()]
    if "" in found or len(set(found)) < len(found):
        raise InvalidInput(
            f"added tokens {[*spellings]} are nothing or the same after normalisation: no exact graph form"
        )
    swallow = any(token.lstrip or token.rstrip for token in tokens)
    # Every ideograph has spaces of its own around it: neighbours don't share them.
    unspaced = [bare.normalize_str(content) for content in spellings]
    check_apart(found if swallow else unspaced, blank=swallow or found != unspaced)
    return spellings


def _piece_model(
    vocab: Mapping[str, int], tokens: Iterable[AddedToken], marks: Mapping[int, str], unknown: str, prefix: str
) -> bytes:
    """FastWordpiece's model. Ids are places in a list, so holes and tokens that can't match get unreachable names."""
    tokens = list(tokens)
    size = max([*vocab.values(), *(token.id for token in tokens)]) + 1
    names = [f"\ue000\uf8ff{index}" for index in range(size)]
    for content, index in vocab.items():
        if 0 < len(content.encode()) <= LONGEST and "\0" not in content:  # which normalisation drops
            names[index] = content
    for token in tokens:
        if token.content != unknown:
            names[token.id] = marks[token.byte]
    return piece_model(names, 1 << 20, prefix, unknown)
