"""transformers' tokenizer interface over the tokenizers library, whose ids it returns unchanged."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, ClassVar, Self

from tokenizers import Tokenizer

from flowformers.errors import ConfigError, InvalidInput, NotFound
from flowformers.text.encoding import BatchEncoding, as_tensors
from flowformers.text.files import read_settings, taken_folder
from flowformers.text.padding import IDS, Filling, as_columns, check_side, is_batch, pad_rows, round_up
from flowformers.text.vocabulary import SPECIAL, Vocabulary

NO_LIMIT = int(1e30)  # what transformers writes where a tokenizer has no maximum
Text = str | Sequence[str] | Sequence[Sequence[str]]
VOCAB_FILES = ("vocab_file", "merges_file")


class PreTrainedTokenizerFast(Vocabulary):
    """A pipeline of the tokenizers library with its special tokens and limits.

    settings: tokenizer_config.json, of which special tokens, padding_side, truncation_side, model_max_length,
    model_input_names and clean_up_tokenization_spaces are read.
    """

    model_input_names: Sequence[str] = ("input_ids", "token_type_ids", "attention_mask")
    vocab_files: ClassVar[tuple[str, ...]] = ()
    padding_side: str
    truncation_side: str

    def __init__(self, backend: Tokenizer | str | Path | None = None, settings: Any = None, **keywords: Any) -> None:
        """backend: the pipeline, taken as it is. Or, as in transformers, one of tokenizer_object, tokenizer_file, or
        the class's vocabulary files (vocab_file and merges_file, also by position), with settings as keywords.

        Raises InvalidInput without any of these, NotFound or ConfigError for a file that can't be read.
        """
        if not isinstance(backend, Tokenizer | str | Path | None):
            raise InvalidInput(
                f"expected a Tokenizer of the tokenizers library or a file; got {type(backend).__name__}"
            )
        files = [one for one in (backend, settings) if isinstance(one, str | Path)]
        given = dict(settings if isinstance(settings, Mapping) else {}) | keywords
        given |= dict(zip(VOCAB_FILES, files, strict=False))
        pipeline = backend if isinstance(backend, Tokenizer) else self._pipeline(given)
        super().__init__(pipeline, given)
        self.init_kwargs = given
        self.name_or_path = str(given.get("name_or_path", ""))
        self.model_input_names = given.get("model_input_names") or type(self).model_input_names
        self.model_max_length = int(given.get("model_max_length") or given.get("max_len") or NO_LIMIT)
        for side in ("padding_side", "truncation_side"):
            setattr(self, side, check_side(str(given.get(side, "right")), side, ConfigError))
        if pipeline is not backend:
            self._add_named(given)

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, **kwargs: Any) -> Self:
        """Read a folder or a Hub repository: tokenizer.json, or else the vocabulary files of the class.

        kwargs: subfolder, revision, token, cache_dir, local_files_only, force_download; the rest overrides
        tokenizer_config.json (do_lower_case, model_max_length, ...). Raises NotFound or ConfigError.
        """
        return cls.from_folder(taken_folder(name_or_path, kwargs), str(name_or_path), kwargs)

    @classmethod
    def from_folder(cls, folder: Path, name: str, keywords: Mapping[str, Any]) -> Self:
        """from_pretrained with the folder found. name: what was asked for."""
        return cls(None, read_settings(folder, keywords) | {"name_or_path": name} | cls._files(folder))

    @classmethod
    def _files(cls, folder: Path) -> dict[str, Any]:
        """The files to read, as keywords of the class; those that a saved tokenizer_config.json names are gone."""
        paths = [folder / name for name in cls.vocab_files]
        if (folder / "tokenizer.json").is_file():
            return {"tokenizer_file": folder / "tokenizer.json", "vocab_file": None, "merges_file": None}
        if paths and all(path.is_file() for path in paths):
            return {"tokenizer_file": None, **dict(zip(VOCAB_FILES, paths, strict=False))}
        wanted = " or ".join(["tokenizer.json", *([" and ".join(cls.vocab_files)] if cls.vocab_files else [])])
        raise NotFound(f"expected {wanted} in {folder}; there is none")

    @classmethod
    def _pipeline(cls, given: dict[str, Any]) -> Tokenizer:
        """Take what the pipeline is made from out of the settings, and make it as they say."""
        ready, path = given.pop("tokenizer_object", None), given.pop("tokenizer_file", None)
        files = [Path(one) for name in VOCAB_FILES if (one := given.pop(name, None)) is not None]
        if isinstance(ready, Tokenizer):
            backend = deepcopy(ready)  # settings change it
        elif path is not None:
            backend = _read_pipeline(Path(path))
        else:
            backend = cls.build(cls._checked(files), cls.defaults | given)
        cls.follow(backend, given)
        return backend

    @classmethod
    def _checked(cls, files: list[Path]) -> list[Path]:
        """The vocabulary files. Raises InvalidInput or NotFound where they are not those of the class."""
        load = f"For a folder or a Hub id there is {cls.__name__}.from_pretrained"
        own = VOCAB_FILES[: len(cls.vocab_files)]
        if len(files) != len(own) or not own:
            wanted = ["tokenizer_file", "tokenizer_object", *([" and ".join(own)] if own else [])]
            got = ", ".join(map(str, files)) or "none"
            raise InvalidInput(
                f"expected a Tokenizer of the tokenizers library or {' or '.join(wanted)}; got {got}. {load}"
            )
        missing = next((path for path in files if not path.is_file()), None)
        if missing is not None:
            raise NotFound(
                f"expected a file such as {' and '.join(cls.vocab_files)}; there is no file {missing}. {load}"
            )
        return files

    @classmethod
    def build(cls, files: Sequence[Path], settings: dict[str, Any]) -> Tokenizer:
        """The pipeline from the vocabulary files, for folders without tokenizer.json."""
        raise NotFound(f"{cls.__name__} reads tokenizer.json only; got {', '.join(map(str, files))}")

    @classmethod
    def follow(cls, backend: Tokenizer, settings: dict[str, Any]) -> None:
        """Make the pipeline do what settings say; what they don't say stays as tokenizer.json has it."""

    def __repr__(self) -> str:
        added = "".join(f"\n\t{index}: {token!r}," for index, token in self.added_tokens_decoder.items())
        return (
            f"{type(self).__name__}(name_or_path={self.name_or_path!r}, vocab_size={self.vocab_size}, "
            f"model_max_length={self.model_max_length}, is_fast={self.is_fast}, padding_side={self.padding_side!r}, "
            f"truncation_side={self.truncation_side!r}, special_tokens={self.special_tokens_map}, "
            f"clean_up_tokenization_spaces={self.clean_up_tokenization_spaces}, "
            f"added_tokens_decoder={{{added}\n}}\n)"
        )

    # Text to ids

    def __call__(
        self,
        text: Text,
        text_pair: Text | None = None,
        *,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
    ) -> BatchEncoding:
        """Encode one text or a batch, each with a second one if text_pair is given.

        padding: False, True or "longest", "max_length". truncation: False, True or "longest_first", "only_first",
        "only_second"; max_length without padding and truncation cuts as True does. return_tensors: None for lists, "np"
        for int64 arrays, "tf" for int32 tensors, both [B, S]. return_length: length, [B], the tokens of each row with
        padding. verbose: for callers of transformers; nothing is printed either way. Raises InvalidInput that names
        what can't be used.
        """
        if truncation is None:
            truncation = max_length is not None and padding is False
        batched, inputs = _batch(text, text_pair, is_split_into_words)
        self._truncate(truncation, max_length, stride)
        self.backend_tokenizer.no_padding()
        encodings = self._encode(inputs, is_split_into_words, add_special_tokens)
        samples = list(range(len(encodings)))
        if return_overflowing_tokens:
            samples = [i for i, one in enumerate(encodings) for _ in (one, *one.overflowing)]
            encodings = [part for one in encodings for part in (one, *one.overflowing)]
        self._pad(encodings, padding, max_length, pad_to_multiple_of, padding_side)
        data = self._columns(
            encodings,
            token_type_ids=return_token_type_ids,
            attention_mask=return_attention_mask,
            special_tokens_mask=return_special_tokens_mask,
            offset_mapping=return_offsets_mapping,
        )
        if return_length:
            data["length"] = [len(one) for one in encodings]
        if return_overflowing_tokens:
            data["overflow_to_sample_mapping"] = samples
        elif not batched and return_tensors is None:  # but length stays a list, as in transformers
            data = {name: values[0] if isinstance(values[0], list) else values for name, values in data.items()}
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

    def _pad(
        self, encodings: list[Any], padding: bool | str, max_length: int | None, multiple: int | None, side: str | None
    ) -> None:
        if not encodings or not self._pads(padding):
            return
        side = check_side(side or self.padding_side, "padding_side")
        length = round_up(self._length(padding, max_length) or max(map(len, encodings)), multiple)
        for one in encodings:
            one.pad(length, direction=side, pad_id=self.pad_token_id, pad_token=self.pad_token)

    def _pads(self, padding: bool | str) -> bool:
        """Whether rows are padded at all. Raises InvalidInput where that can't be done."""
        if padding in (False, "do_not_pad"):
            return False
        if padding not in (True, "longest", "max_length"):
            raise InvalidInput(f"expected padding of True, False, 'longest' or 'max_length'; got {padding!r}")
        if self.pad_token_id is None:
            raise InvalidInput("padding needs a pad_token that is in the vocabulary; tokenizer_config.json names none")
        return True

    def _length(self, padding: bool | str, max_length: int | None) -> int | None:
        """Of a row with padding; None for that of the longest row."""
        if padding != "max_length":
            return None
        length = max_length or self.model_max_length
        if length >= NO_LIMIT:
            raise InvalidInput("padding='max_length' needs max_length: the tokenizer has no maximum of its own")
        return length

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

    def pad(
        self,
        encoded_inputs: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
        verbose: bool = True,
    ) -> BatchEncoding:
        """Pad encodings: a dict of rows, a list of dicts, or one dict of a single text; lists, arrays or tensors.

        input_ids, attention_mask (made where it is missing), token_type_ids and special_tokens_mask are padded, other
        columns stay. padding, max_length and return_tensors as for a call; arrays and tensors stay what they are. A row
        is never cut. Raises InvalidInput.
        """
        columns, kind = as_columns(encoded_inputs)
        if not columns[IDS]:
            return BatchEncoding(columns | ({"attention_mask": []} if return_attention_mask else {}))
        single = not is_batch(columns[IDS])
        if single:
            columns = {name: [values] for name, values in columns.items()}
        masked = "attention_mask" in self.model_input_names if return_attention_mask is None else return_attention_mask
        if masked and "attention_mask" not in columns:
            columns["attention_mask"] = [[1] * len(row) for row in columns[IDS]]
        if self._pads(padding):
            filling = Filling(self._fillings(), check_side(padding_side or self.padding_side, "padding_side"))
            columns = pad_rows(columns, filling, self._length(padding, max_length), pad_to_multiple_of)
        rows = {name: values[0] for name, values in columns.items()} if single else columns
        return BatchEncoding(rows, tensor_type=return_tensors or kind)

    def _fillings(self) -> dict[str, int]:
        other = {"attention_mask": 0, "token_type_ids": self.pad_token_type_id, "special_tokens_mask": 1}
        return {IDS: self.pad_token_id} | other

    @property
    def max_len_single_sentence(self) -> int:
        """The tokens of a text that the model takes besides the special ones."""
        return self.model_max_length - self.num_special_tokens_to_add()

    @property
    def max_len_sentences_pair(self) -> int:
        """The tokens of two texts that the model takes besides the special ones."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=True)

    def tokenize(
        self, text: str, pair: str | None = None, add_special_tokens: bool = False, **kwargs: Any
    ) -> list[str]:
        """The tokens of a text; kwargs as for a call."""
        return self(text, pair, add_special_tokens=add_special_tokens, **kwargs).tokens()

    def encode(self, text: str, text_pair: str | None = None, **kwargs: Any) -> Any:
        """The ids of a text."""
        return self(text, text_pair, **kwargs)["input_ids"]

    def batch_encode_plus(self, texts: Sequence[Any], **kwargs: Any) -> BatchEncoding:
        """transformers 4's name for a call with a batch."""
        return self(texts, **kwargs)

    def encode_plus(self, text: str, text_pair: str | None = None, **kwargs: Any) -> BatchEncoding:
        """transformers 4's name for a call with one text."""
        return self(text, text_pair, **kwargs)

    # Folders

    def save_pretrained(self, folder: str | Path) -> tuple[str, ...]:
        """Write tokenizer.json, tokenizer_config.json and special_tokens_map.json, which transformers reads too.

        Returns their paths.
        """
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        self.backend_tokenizer.no_truncation()
        self.backend_tokenizer.no_padding()
        self.backend_tokenizer.save(str(target / "tokenizer.json"))
        contents = {"tokenizer_config.json": self._settings(), "special_tokens_map.json": self.special_tokens_map}
        for name, values in contents.items():
            (target / name).write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        return tuple(str(target / name) for name in (*contents, "tokenizer.json"))

    def _settings(self) -> dict[str, Any]:
        """What tokenizer_config.json keeps: what came, and what is so now."""
        came = {name: value for name, value in self.init_kwargs.items() if name not in (*SPECIAL, "name_or_path")}
        kept = ("model_max_length", "padding_side", "truncation_side", "clean_up_tokenization_spaces")
        added = {str(index): _fields(token) for index, token in self.added_tokens_decoder.items()}
        now = {name: getattr(self, name) for name in kept} | self.special_tokens_map
        return came | now | {"tokenizer_class": type(self).__name__, "added_tokens_decoder": added}


def _fields(token: Any) -> dict[str, Any]:
    names = ("content", "lstrip", "normalized", "rstrip", "single_word", "special")
    return {name: getattr(token, name) for name in names}


def _read_pipeline(path: Path) -> Tokenizer:
    if not path.is_file():
        raise NotFound(f"expected a tokenizer.json; there is no file {path}")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise ConfigError(f"{path} is not a tokenizer of the tokenizers library: {error}") from error


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
