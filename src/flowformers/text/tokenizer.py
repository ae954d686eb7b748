"""transformers' tokenizer interface over the tokenizers library, whose ids it returns unchanged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from tokenizers import AddedToken, Tokenizer

from flowformers import hub
from flowformers.errors import ConfigError, InvalidInput, NotFound
from flowformers.text.encoding import BatchEncoding, as_tensors
from flowformers.text.files import folder_of, read_json

SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
NO_LIMIT = int(1e30)  # what transformers writes where a tokenizer has no maximum
Text = str | Sequence[str] | Sequence[Sequence[str]]


class PreTrainedTokenizerFast:
    """A pipeline of the tokenizers library with its special tokens and limits.

    settings: tokenizer_config.json; special tokens, padding_side, truncation_side and model_max_length are read.
    """

    model_input_names: ClassVar[tuple[str, ...]] = ("input_ids", "attention_mask")
    defaults: ClassVar[dict[str, str]] = {}
    vocab_files: ClassVar[tuple[str, ...]] = ()

    def __init__(self, backend: Tokenizer, settings: dict[str, Any] | None = None) -> None:
        given = settings or {}
        self.backend_tokenizer = backend
        self.init_kwargs = dict(given)
        self.model_max_length = int(given.get("model_max_length") or NO_LIMIT)
        self.padding_side = str(given.get("padding_side", "right"))
        self.truncation_side = str(given.get("truncation_side", "right"))
        for name in SPECIAL:
            setattr(self, name, _content(given.get(name, self.defaults.get(name))))
        for side in (self.padding_side, self.truncation_side):
            if side not in ("left", "right"):
                raise ConfigError(f"expected a side of 'left' or 'right' in tokenizer_config.json; got {side!r}")

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, **kwargs: Any) -> Self:
        """Read a folder or a Hub repository: tokenizer.json, or else the vocabulary files of the class.

        kwargs: subfolder, revision, token, cache_dir, local_files_only, force_download; the rest overrides
        tokenizer_config.json (do_lower_case, model_max_length, ...).
        """
        folder = folder_of(name_or_path, **hub.taken_from(kwargs))
        settings = read_json(folder / "special_tokens_map.json") | read_json(folder / "tokenizer_config.json") | kwargs
        return cls(cls._backend(folder, settings), settings)

    @classmethod
    def _backend(cls, folder: Path, settings: dict[str, Any]) -> Tokenizer:
        path = folder / "tokenizer.json"
        if path.is_file():
            try:
                return Tokenizer.from_file(str(path))
            except Exception as error:  # the library raises bare Exception
                raise ConfigError(f"{path} is not a tokenizer of the tokenizers library: {error}") from error
        if cls.vocab_files and all((folder / name).is_file() for name in cls.vocab_files):
            return cls.build(folder, cls.defaults | settings)
        wanted = " or ".join(["tokenizer.json", *([" and ".join(cls.vocab_files)] if cls.vocab_files else [])])
        raise NotFound(f"expected {wanted} in {folder}; there is none")

    @classmethod
    def build(cls, folder: Path, settings: dict[str, Any]) -> Tokenizer:
        """The pipeline from vocabulary files, for folders without tokenizer.json."""
        raise NotFound(f"{cls.__name__} reads tokenizer.json only; there is none in {folder}")

    # Vocabulary

    def __len__(self) -> int:
        return int(self.backend_tokenizer.get_vocab_size(with_added_tokens=True))

    @property
    def vocab_size(self) -> int:
        """The vocabulary without added tokens."""
        return int(self.backend_tokenizer.get_vocab_size(with_added_tokens=False))

    def get_vocab(self) -> dict[str, int]:
        """Every token and its id."""
        return dict(self.backend_tokenizer.get_vocab(with_added_tokens=True))

    def __getattr__(self, name: str) -> Any:
        if name.endswith("_token_id") and name.removesuffix("_id") in SPECIAL:
            token = getattr(self, name.removesuffix("_id"))
            return None if token is None else self.backend_tokenizer.token_to_id(token)
        raise AttributeError(f"{type(self).__name__} has no {name!r}")

    @property
    def all_special_tokens(self) -> list[str]:
        """The special tokens that are set, each once."""
        return list(dict.fromkeys(token for name in SPECIAL if (token := getattr(self, name)) is not None))

    @property
    def all_special_ids(self) -> list[int]:
        """Their ids."""
        ids = (self.backend_tokenizer.token_to_id(token) for token in self.all_special_tokens)
        return [index for index in ids if index is not None]

    def convert_tokens_to_ids(self, tokens: str | Sequence[str]) -> Any:
        """The id of a token, or the ids of several; unknown tokens have the unknown token's id."""
        if isinstance(tokens, str):
            found = self.backend_tokenizer.token_to_id(tokens)
            return self.unk_token_id if found is None else found
        return [self.convert_tokens_to_ids(token) for token in tokens]

    def convert_ids_to_tokens(self, ids: int | Sequence[int]) -> Any:
        """The token of an id, or the tokens of several."""
        return (
            self.backend_tokenizer.id_to_token(ids)
            if isinstance(ids, int)
            else [self.convert_ids_to_tokens(int(i)) for i in ids]
        )

    # Text to ids

    def __call__(
        self,
        text: Text,
        text_pair: Text | None = None,
        *,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str = False,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
    ) -> BatchEncoding:
        """Encode one text or a batch, each with a second one if text_pair is given.

        padding: False, True or "longest", "max_length". truncation: False, True or "longest_first", "only_first",
        "only_second". return_tensors: None for lists, "np" for int64 arrays, "tf" for int32 tensors, both [B, S].
        Raises InvalidInput that names what can't be used.
        """
        batched, inputs = _batch(text, text_pair, is_split_into_words)
        self._truncate(truncation, max_length, stride)
        self.backend_tokenizer.no_padding()
        encodings = self._encode(inputs, is_split_into_words, add_special_tokens)
        samples = list(range(len(encodings)))
        if return_overflowing_tokens:
            samples = [i for i, one in enumerate(encodings) for _ in (one, *one.overflowing)]
            encodings = [part for one in encodings for part in (one, *one.overflowing)]
        self._pad(encodings, padding, max_length, pad_to_multiple_of)
        data = self._columns(
            encodings,
            token_type_ids=return_token_type_ids,
            attention_mask=return_attention_mask,
            special_tokens_mask=return_special_tokens_mask,
            offset_mapping=return_offsets_mapping,
        )
        if return_overflowing_tokens:
            data["overflow_to_sample_mapping"] = samples
        elif not batched and return_tensors is None:
            data = {name: values[0] for name, values in data.items()}
        return BatchEncoding(as_tensors(data, return_tensors), encodings)

    def _encode(self, inputs: list[Any], split: bool, special: bool) -> list[Any]:
        try:
            return list(self.backend_tokenizer.encode_batch(inputs, is_pretokenized=split, add_special_tokens=special))
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"expected strings to tokenize; {error}") from error
        except Exception as error:  # the library raises bare Exception, e.g. for a text that can't be truncated enough
            raise InvalidInput(f"the text can't be tokenized as asked: {error}") from error

    def _truncate(self, truncation: bool | str, max_length: int | None, stride: int) -> None:
        if truncation in (False, "do_not_truncate"):
            self.backend_tokenizer.no_truncation()
            return
        strategy = "longest_first" if truncation is True else str(truncation)
        if strategy not in ("longest_first", "only_first", "only_second"):
            raise InvalidInput(f"expected truncation of longest_first, only_first or only_second; got {truncation!r}")
        limit = self.model_max_length if max_length is None else max_length
        if limit >= NO_LIMIT:
            self.backend_tokenizer.no_truncation()
            return
        try:
            self.backend_tokenizer.enable_truncation(
                limit, stride=stride, strategy=strategy, direction=self.truncation_side
            )
        except (ValueError, OverflowError) as error:
            raise InvalidInput(f"max_length={limit} with stride={stride} can't be used: {error}") from error

    def _pad(self, encodings: list[Any], padding: bool | str, max_length: int | None, multiple: int | None) -> None:
        if padding in (False, "do_not_pad") or not encodings:
            return
        if padding not in (True, "longest", "max_length"):
            raise InvalidInput(f"expected padding of True, False, 'longest' or 'max_length'; got {padding!r}")
        if self.pad_token_id is None:
            raise InvalidInput("padding needs a pad_token that is in the vocabulary; tokenizer_config.json names none")
        length = max(len(one) for one in encodings)
        if padding == "max_length":
            length = max_length or self.model_max_length
            if length >= NO_LIMIT:
                raise InvalidInput("padding='max_length' needs max_length: the tokenizer has no maximum of its own")
        if multiple:
            length = -(-length // multiple) * multiple
        for one in encodings:
            one.pad(length, direction=self.padding_side, pad_id=self.pad_token_id, pad_token=self.pad_token)

    def _columns(self, encodings: list[Any], **wanted: bool | None) -> dict[str, Any]:
        sources = {
            "token_type_ids": "type_ids",
            "attention_mask": "attention_mask",
            "special_tokens_mask": "special_tokens_mask",
            "offset_mapping": "offsets",
        }
        data = {"input_ids": [one.ids for one in encodings]}
        for name, attribute in sources.items():
            chosen = wanted[name]
            if name in self.model_input_names if chosen is None else chosen:
                data[name] = [getattr(one, attribute) for one in encodings]
        return data

    def tokenize(self, text: str, pair: str | None = None, *, add_special_tokens: bool = False) -> list[str]:
        """The tokens of a text."""
        return self(text, pair, add_special_tokens=add_special_tokens).tokens()

    def encode(self, text: str, text_pair: str | None = None, **kwargs: Any) -> Any:
        """The ids of a text."""
        return self(text, text_pair, **kwargs)["input_ids"]

    def batch_encode_plus(self, texts: Sequence[Any], **kwargs: Any) -> BatchEncoding:
        """transformers 4's name for a call with a batch."""
        return self(texts, **kwargs)

    def encode_plus(self, text: str, text_pair: str | None = None, **kwargs: Any) -> BatchEncoding:
        """transformers 4's name for a call with one text."""
        return self(text, text_pair, **kwargs)

    # Ids to text

    def decode(self, token_ids: Any, skip_special_tokens: bool = False) -> str:
        """The text of ids [S]."""
        return str(self.backend_tokenizer.decode([int(i) for i in token_ids], skip_special_tokens=skip_special_tokens))

    def batch_decode(self, sequences: Any, skip_special_tokens: bool = False) -> list[str]:
        """The texts of ids [B, S]."""
        return [self.decode(ids, skip_special_tokens) for ids in sequences]

    def save_pretrained(self, folder: str | Path) -> None:
        """Write tokenizer.json, tokenizer_config.json and special_tokens_map.json, which transformers reads too."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        special = {name: getattr(self, name) for name in SPECIAL if getattr(self, name) is not None}
        settings = self.init_kwargs | special | {"tokenizer_class": type(self).__name__}
        settings |= {"model_max_length": self.model_max_length, "padding_side": self.padding_side}
        self.backend_tokenizer.no_truncation()
        self.backend_tokenizer.no_padding()
        self.backend_tokenizer.save(str(target / "tokenizer.json"))
        for name, content in (("tokenizer_config.json", settings), ("special_tokens_map.json", special)):
            (target / name).write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _content(token: Any) -> str | None:
    """A special token as tokenizer_config.json may hold it: a string, an object with content, or an AddedToken."""
    if isinstance(token, dict):
        return str(token["content"])
    return token.content if isinstance(token, AddedToken) else token


def _batch(text: Any, pair: Any, split: bool) -> tuple[bool, list[Any]]:
    """Whether a batch was given, and the inputs as the library takes them."""
    _check(text, "text")
    batched = not isinstance(text, str) and (not split or not text or not isinstance(text[0], str))
    texts = list(text) if batched else [text]
    if pair is None:
        return batched, texts
    _check(pair, "text_pair")
    pairs = list(pair) if batched else [pair]
    if isinstance(pair, str) is batched or len(texts) != len(pairs):
        raise InvalidInput(f"expected as many text_pair as text; got {len(texts)} and {len(pairs)}")
    return batched, list(zip(texts, pairs, strict=True))


def _check(text: Any, name: str) -> None:
    if not isinstance(text, str | list | tuple):
        raise InvalidInput(f"expected a string or a list of strings as {name}; got {type(text).__name__}")
