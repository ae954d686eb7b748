"""The tokens of a tokenizer: their ids, the text that they make, which are special, and adding more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from tokenizers import AddedToken, Tokenizer

from flowformers.errors import ConfigError, InvalidInput
from flowformers.text.decoding import CLEANED_UP

SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
ADDITIONAL = "additional_special_tokens"
Token = str | AddedToken


class Vocabulary:
    """Tokens and ids of a pipeline of the tokenizers library.

    settings: special tokens by name, additional_special_tokens a list, and clean_up_tokenization_spaces.
    """

    defaults: ClassVar[dict[str, str]] = {}
    is_fast: ClassVar[bool] = True
    pad_token_type_id: ClassVar[int] = 0

    def __init__(self, backend: Tokenizer, settings: Mapping[str, Any]) -> None:
        self.backend_tokenizer = backend
        self.additional_special_tokens = [content(token) for token in settings.get(ADDITIONAL) or ()]
        self.clean_up_tokenization_spaces = bool(settings.get("clean_up_tokenization_spaces"))
        for name in SPECIAL:
            setattr(self, name, settings.get(name, self.defaults.get(name)))

    def __setattr__(self, name: str, value: Any) -> None:
        # A token may come as an object and be given by its id; it is kept as a string alone.
        if name.removesuffix("_id") in SPECIAL and name.endswith("_id"):
            name, value = name.removesuffix("_id"), None if value is None else self.convert_ids_to_tokens(value)
        super().__setattr__(name, content(value) if name in SPECIAL else value)

    def __getattr__(self, name: str) -> Any:
        if name.endswith("_token_id") and name.removesuffix("_id") in SPECIAL:
            token = getattr(self, name.removesuffix("_id"))
            return None if token is None else self.backend_tokenizer.token_to_id(token)
        raise AttributeError(
            f"{type(self).__name__} has no {name!r}; docs/migrating.md says what stands in place of what is not offered"
        )

    # Tokens and ids

    def __len__(self) -> int:
        """Of the vocabulary with added tokens: what resize_token_embeddings wants."""
        return int(self.backend_tokenizer.get_vocab_size(with_added_tokens=True))

    @property
    def vocab_size(self) -> int:
        """The vocabulary without added tokens."""
        return int(self.backend_tokenizer.get_vocab_size(with_added_tokens=False))

    def get_vocab(self) -> dict[str, int]:
        """Every token and its id."""
        return dict(self.backend_tokenizer.get_vocab(with_added_tokens=True))

    @property
    def vocab(self) -> dict[str, int]:
        """Every token and its id."""
        return self.get_vocab()

    def convert_tokens_to_ids(self, tokens: str | Sequence[str]) -> Any:
        """The id of a token, or the ids of several; unknown tokens have the unknown token's id."""
        if isinstance(tokens, str):
            found = self.backend_tokenizer.token_to_id(tokens)
            return self.unk_token_id if found is None else found
        return [self.convert_tokens_to_ids(token) for token in tokens]

    def convert_ids_to_tokens(self, ids: int | Sequence[int], skip_special_tokens: bool = False) -> Any:
        """The token of an id, or the tokens of several; None for an id that has none."""
        if not hasattr(ids, "__iter__") or getattr(ids, "ndim", 1) == 0:
            return self.backend_tokenizer.id_to_token(int(ids))  # type: ignore[arg-type]
        skipped = set(self.all_special_ids) if skip_special_tokens else ()
        return [self.backend_tokenizer.id_to_token(int(one)) for one in ids if int(one) not in skipped]

    # Special tokens

    @property
    def special_tokens_map(self) -> dict[str, Any]:
        """The special tokens that are set, by name; additional_special_tokens is a list."""
        names = (*SPECIAL, ADDITIONAL)
        return {name: value for name in names if (value := getattr(self, name))}

    @property
    def all_special_tokens(self) -> list[str]:
        """The special tokens that are set, each once."""
        named = [token for name in SPECIAL if (token := getattr(self, name)) is not None]
        return list(dict.fromkeys([*named, *self.additional_special_tokens]))

    @property
    def all_special_ids(self) -> list[int]:
        """Their ids."""
        ids = (self.backend_tokenizer.token_to_id(token) for token in self.all_special_tokens)
        return [index for index in ids if index is not None]

    @property
    def additional_special_tokens_ids(self) -> list[int]:
        """The ids of additional_special_tokens."""
        return list(self.convert_tokens_to_ids(self.additional_special_tokens))

    def get_special_tokens_mask(
        self, token_ids_0: Sequence[int], token_ids_1: None = None, already_has_special_tokens: bool = False
    ) -> list[int]:
        """1 at special tokens, else 0, of ids [S] that hold them. Raises InvalidInput for ids without them."""
        if not already_has_special_tokens or token_ids_1 is not None:
            raise InvalidInput(
                "expected already_has_special_tokens=True and one list of ids; "
                "for a text use tokenizer(text, return_special_tokens_mask=True)"
            )
        special = set(self.all_special_ids)
        return [int(int(one) in special) for one in token_ids_0]

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """How many special tokens stand around a text, or around and between a pair."""
        return int(self.backend_tokenizer.num_special_tokens_to_add(pair))

    # Added tokens

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """The added tokens by their ids, special ones included."""
        return dict(sorted(self.backend_tokenizer.get_added_tokens_decoder().items()))

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        """The ids of added tokens, special ones included."""
        return {token.content: index for index, token in self.added_tokens_decoder.items()}

    def get_added_vocab(self) -> dict[str, int]:
        """The ids of added tokens, special ones included."""
        return self.added_tokens_encoder

    def add_tokens(self, new_tokens: Token | Sequence[Token], special_tokens: bool = False) -> int:
        """Add tokens behind the vocabulary, found in a text before anything else cuts it.

        Returns how many the tokenizers library took; a model then needs resize_token_embeddings(len(tokenizer)).
        Raises InvalidInput for anything but strings and AddedTokens.
        """
        tokens = list(new_tokens) if isinstance(new_tokens, list | tuple) else [new_tokens] if new_tokens else []
        _check_tokens(tokens, "new_tokens")
        add = self.backend_tokenizer.add_special_tokens if special_tokens else self.backend_tokenizer.add_tokens
        return int(add(tokens))

    def add_special_tokens(
        self, special_tokens_dict: Mapping[str, Any], replace_additional_special_tokens: bool = True
    ) -> int:
        """Name special tokens and add them to the vocabulary where they are missing.

        special_tokens_dict: bos_token, mask_token, ... a token, additional_special_tokens a list, which takes the
        place of the old one or is put behind it. Returns and needs what add_tokens does. Raises InvalidInput.
        """
        given = dict(special_tokens_dict)
        unknown = [name for name in given if name not in (*SPECIAL, ADDITIONAL)]
        if unknown:
            raise InvalidInput(
                f"expected special tokens among {', '.join((*SPECIAL, ADDITIONAL))}; got {', '.join(map(str, unknown))}"
            )
        if not isinstance(given.get(ADDITIONAL, ()), list | tuple):
            raise InvalidInput(f"expected a list of tokens as {ADDITIONAL}; got {given[ADDITIONAL]!r}")
        new = [token for name, one in given.items() for token in (one if name == ADDITIONAL else [one])]
        _check_tokens(new, "special_tokens_dict")
        more = given.pop(ADDITIONAL, ())
        for name, token in given.items():
            setattr(self, name, token)
        kept = [] if replace_additional_special_tokens and more else self.additional_special_tokens
        self.additional_special_tokens = list(dict.fromkeys([*kept, *map(content, more)]))
        return self.add_tokens(list(map(as_special, new)), special_tokens=True)

    def _add_named(self, settings: Mapping[str, Any]) -> None:
        """Add what settings name and the pipeline doesn't know as an added token yet, as transformers does."""
        add_listed(self.backend_tokenizer, settings)
        named = {name: token for name in SPECIAL if (token := settings.get(name) or getattr(self, name))}
        given = [*named_tokens(named), *map(as_special, settings.get(ADDITIONAL) or ())]
        known = self.added_tokens_encoder
        self.add_tokens([token for token in given if token.content not in known], special_tokens=True)

    # Ids to text

    def decode(
        self, token_ids: Any, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool | None = None
    ) -> str:
        """The text of ids [S], or of one id. Raises InvalidInput for a batch.

        clean_up_tokenization_spaces: no space before punctuation; without it tokenizer_config.json tells. WordPiece's
        own decoder does the same in any case.
        """
        clean = clean_up_tokenization_spaces
        clean = self.clean_up_tokenization_spaces if clean is None else clean
        text = str(self.backend_tokenizer.decode(_flat_ids(token_ids), skip_special_tokens=skip_special_tokens))
        return self.clean_up_tokenization(text) if clean else text

    def batch_decode(
        self, sequences: Any, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool | None = None
    ) -> list[str]:
        """The texts of ids [B, S]; keywords as for decode."""
        return [self.decode(ids, skip_special_tokens, clean_up_tokenization_spaces) for ids in sequences]

    @staticmethod
    def clean_up_tokenization(out_string: str) -> str:
        """English without the spaces that tokens bring before punctuation and short forms."""
        for written, short in CLEANED_UP:
            out_string = out_string.replace(written, short)
        return out_string

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """The text that tokens make."""
        decoder = self.backend_tokenizer.decoder
        return " ".join(tokens) if decoder is None else str(decoder.decode(list(tokens)))

    # Files

    def save_vocabulary(self, save_directory: str | Path, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Write vocab.txt, or vocab.json and merges.txt: without added tokens, which save_pretrained keeps.

        Returns the paths. Raises InvalidInput for Unigram, which has no such file.
        """
        kind = type(self.backend_tokenizer.model).__name__
        if kind == "Unigram":
            raise InvalidInput("a Unigram vocabulary has no file but tokenizer.json: use save_pretrained")
        Path(save_directory).mkdir(parents=True, exist_ok=True)
        return tuple(self.backend_tokenizer.model.save(str(save_directory), filename_prefix))


def content(token: Any) -> Any:
    """A special token as tokenizer_config.json may hold it: a string, an object with content, or an AddedToken."""
    if isinstance(token, dict):
        return str(token["content"])
    return token.content if isinstance(token, AddedToken) else token


def named_tokens(settings: Mapping[str, Any]) -> list[AddedToken]:
    """The special tokens that settings name, as tokens to add. <mask> takes along the space before it."""
    given = {name: settings[name] for name in SPECIAL if settings.get(name) is not None}
    return [as_special(token, lstrip=name == "mask_token" and token == "<mask>") for name, token in given.items()]


def as_special(token: Any, *, lstrip: bool = False) -> AddedToken:
    """A token as tokenizer_config.json may hold it, to add: where it is a string, found as it is written."""
    if isinstance(token, AddedToken):
        return token
    given = token if isinstance(token, dict) else {"lstrip": lstrip}
    flags = {name: bool(given.get(name)) for name in ("lstrip", "rstrip", "single_word", "normalized")}
    return AddedToken(content(token), special=True, **flags)


def add_listed(backend: Tokenizer, settings: Mapping[str, Any]) -> None:
    """Add the tokens of settings["added_tokens_decoder"] at their ids. Raises ConfigError where one is taken."""
    listed = settings.get("added_tokens_decoder") or {}
    for index, token in sorted((int(index), token) for index, token in listed.items()):
        made = AddedToken(**token) if isinstance(token, dict) else token
        if index not in backend.get_added_tokens_decoder():
            (backend.add_special_tokens if made.special else backend.add_tokens)([made])
        found = backend.token_to_id(made.content)
        if found != index:
            raise ConfigError(
                f"expected id {index} for {made.content!r}, as added_tokens_decoder in tokenizer_config.json says; "
                f"the vocabulary gives {found}. Are its files those of one checkpoint?"
            )


def _flat_ids(token_ids: Any) -> list[int]:
    import numpy as np

    array = np.asarray(token_ids)
    if array.ndim > 1:
        raise InvalidInput(f"expected the ids of one text, [S]; got shape {list(array.shape)}: use batch_decode")
    if array.size and (array.dtype.kind not in "iu" or array.min() < 0):
        raise InvalidInput(f"expected ids, whole numbers from 0; got {token_ids!r}")
    return [int(one) for one in np.atleast_1d(array)]


def _check_tokens(tokens: Iterable[Any], name: str) -> None:
    wrong = [type(token).__name__ for token in tokens if not isinstance(token, str | AddedToken)]
    if wrong:
        raise InvalidInput(f"expected strings or AddedTokens in {name}; got {wrong[0]}")
