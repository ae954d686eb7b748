"""TFSentenceEncoder: a sentence-transformers folder, text -> one vector."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, Unpack

import keras
import numpy as np
import tensorflow as tf

from flowformers import checkpoint
from flowformers.errors import CheckpointError, ConfigError, InvalidInput, NotFound
from flowformers.heads.sentence import Normalize, Pooling, Projection
from flowformers.models.fitting import forget_traced
from flowformers.models.loading import folder_of
from flowformers.models.saving import SavedModelOptions, check_options
from flowformers.models.similarity import checked, similarity, unit
from flowformers.progress import steps
from flowformers.text import AutoTokenizer
from flowformers.types import Array, Tensor

MODULES = "modules.json"
LIBRARY = "sentence_transformers.models"
# Its settings of the transformer, which older releases named after the family.
KINDS = ("bert", "roberta", "distilbert", "camembert", "xlm-roberta")
READ = ("max_seq_length", "do_lower_case", "unpad_inputs")  # the last one changes no answer
FIXED = {
    "transformer_task": "feature-extraction",
    "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    "module_output_name": "token_embeddings",
}
Module = Projection | Normalize


class TFSentenceEncoder(keras.Model):  # type: ignore[misc]
    """An encoder, a pooling, and what follows: encode(texts) -> float32 [B, H].

    Pooling, dense layers and normalisation are those of the folder's modules.json; nothing is assumed. max_length is in
    tokens, without it the tokenizer's; lower_case is done before tokenisation, prompt is put in front of every text,
    truncate_dim is how many numbers of a vector are kept, similarity_fn_name is what similarity() does.
    """

    def __init__(
        self,
        transformer: Any,
        pooling: Pooling,
        modules: Sequence[Module] = (),
        *,
        tokenizer: Any = None,
        max_length: int | None = None,
        lower_case: bool = False,
        prompt: str = "",
        truncate_dim: int | None = None,
        similarity_fn_name: str = "cosine",
    ) -> None:
        super().__init__(name="tf_sentence_encoder")
        self.transformer, self.pooling, self.steps = transformer, pooling, list(modules)
        self.tokenizer, self.prompt, self.lower_case = tokenizer, prompt, lower_case
        self.similarity_fn_name = checked(similarity_fn_name)
        self.truncate_dim = truncate_dim
        limit = transformer.base_model.spec.max_length
        own = getattr(tokenizer, "model_max_length", limit)
        self.max_length = min(limit, int(own if max_length is None else max_length))
        self.built = True
        self._trace()

    @property
    def config(self) -> Any:
        """The transformer's."""
        return self.transformer.config

    @property
    def base_model(self) -> Any:
        """The encoder."""
        return self.transformer.base_model

    @property
    def precision(self) -> str:
        """The transformer's, see TFPreTrainedModel.precision."""
        return self.transformer.precision  # type: ignore[no-any-return]

    @precision.setter
    def precision(self, name: str) -> None:
        self.transformer.precision = name
        forget_traced(self)

    def call(self, inputs: Mapping[str, Tensor], training: bool = False) -> dict[str, Tensor]:
        """inputs: input_ids [B, S] and what else the transformer takes. Returns sentence_embedding, float32 [B, H]."""
        mask = inputs.get("attention_mask")
        mask = tf.ones_like(inputs["input_ids"]) if mask is None else mask
        output = self.transformer(dict(inputs), training=training, return_dict=True)
        vectors = self.pooling.apply(tf.cast(output["last_hidden_state"], tf.float32), tf.cast(mask, tf.float32))
        for step in self.steps:
            vectors = step.apply(vectors)
        return {"sentence_embedding": vectors if self.truncate_dim is None else vectors[:, : self.truncate_dim]}

    def encode(
        self,
        sentences: str | Sequence[str],
        batch_size: int = 32,
        *,
        show_progress_bar: bool | None = None,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        normalize_embeddings: bool = False,
    ) -> Any:
        """Vectors of texts in their order: float32 [B, H], or [H] for one string. Longer texts are cut.

        A NumPy array; with convert_to_tensor a TensorFlow tensor, else without convert_to_numpy a list of tensors [H].
        show_progress_bar: on a terminal. normalize_embeddings: to length 1, where the folder doesn't do so.
        Raises InvalidInput without a tokenizer or for anything but strings.
        """
        texts = self._texts(sentences)
        vectors = self._vectors(texts, batch_size, bool(show_progress_bar))
        vectors = unit(vectors) if normalize_embeddings else vectors
        result = vectors[0] if isinstance(sentences, str) else vectors
        if convert_to_tensor or (isinstance(sentences, str) and not convert_to_numpy):
            return tf.constant(result)
        return result if convert_to_numpy else [tf.constant(vector) for vector in result]

    def _texts(self, sentences: str | Sequence[str]) -> list[str]:
        if self.tokenizer is None:
            raise InvalidInput("encode() needs a tokenizer: load the folder with from_pretrained, or give tokenizer=")
        texts = [sentences] if isinstance(sentences, str) else list(sentences)
        wrong = next((text for text in texts if not isinstance(text, str)), None)
        if wrong is not None:
            raise InvalidInput(f"expected strings; got {type(wrong).__name__}")
        return texts

    def _vectors(self, texts: list[str], batch_size: int, progress: bool) -> Array:
        if not texts:
            return np.zeros((0, self._width()), np.float32)
        order = np.argsort([-len(text) for text in texts], kind="stable")  # similar lengths share a batch
        chunks = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
        shown = steps(chunks, "Encoding") if progress else chunks
        vectors = np.concatenate([self._batch([texts[index] for index in chunk]) for chunk in shown])
        result = np.empty_like(vectors)
        result[order] = vectors
        return result

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Array:
        """embeddings1: [A, H] or [H]; embeddings2: [B, H] or [H], arrays or tensors. Returns float32 [A, B].

        By similarity_fn_name: cosine, dot, or euclidean or manhattan distance with a minus sign. Raises InvalidInput.
        """
        return similarity(self.similarity_fn_name, embeddings1, embeddings2)

    def _width(self) -> int:
        ids = {name: tf.ones([1, 1], tf.int32) for name in self.serving_inputs}
        return int(self.call(ids)["sentence_embedding"].shape[-1])

    def _batch(self, texts: list[str]) -> Array:
        prepared = [(self.prompt + text).strip() for text in texts]
        batch = self.tokenizer(
            [text.lower() for text in prepared] if self.lower_case else prepared,
            padding=True,
            truncation=True,
            max_length=self.max_length,
            return_tensors="np",
        )
        ids = {name: tf.constant(batch[name], tf.int32) for name in self.serving_inputs if name in batch}
        if self._trace_key is not self.transformer.trace_key:
            self._trace()
        vectors: Array = self._traced(ids)["sentence_embedding"].numpy()
        return vectors

    def _trace(self) -> None:
        """Make encode()'s graph anew: the last one holds the transformer's precision and variables as they were."""
        self._trace_key = self.transformer.trace_key
        self._traced = tf.function(self.call, reduce_retracing=True)

    # Serving

    @property
    def serving_inputs(self) -> tuple[str, ...]:
        """The inputs of serving_default."""
        return self.transformer.serving_inputs  # type: ignore[no-any-return]

    @property
    def input_signature(self) -> dict[str, Any]:
        """The transformer's: int32 [-1, -1] each."""
        return self.transformer.input_signature  # type: ignore[no-any-return]

    def serving(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The default signature's body."""
        return self.call(inputs)

    # Folders

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, **kwargs: Any) -> Self:
        """Read a sentence-transformers folder or Hub id. Raises NotFound, ConfigError, or CheckpointError."""
        folder = folder_of(name_or_path, kwargs)
        entries = read_modules(folder)
        kinds = [kind for kind, _ in entries]
        if kinds[:2] != ["Transformer", "Pooling"] or any(kind not in STEPS for kind in kinds[2:]):
            raise ConfigError(
                f"expected Transformer, Pooling, then any of {', '.join(STEPS)} in {folder / MODULES}; "
                f"got {', '.join(kinds)}"
            )
        place = folder / entries[0][1]
        steps = [_step(kind, folder / path) for kind, path in entries[2:]]
        pooling = Pooling(_json(folder / entries[1][1] / "config.json"))
        return cls(_transformer(place, kwargs), pooling, steps, **_text_settings(folder, place))

    def save_pretrained(
        self,
        save_directory: str | Path,
        saved_model: bool = False,
        version: int = 1,
        *,
        safe_serialization: bool = True,
        **options: Unpack[SavedModelOptions],
    ) -> None:
        """Write a sentence-transformers folder; keywords as for models, safetensors unless told otherwise."""
        folder = Path(save_directory)
        check_options(options)
        self.transformer.save_pretrained(folder, safe_serialization=safe_serialization)
        if self.tokenizer is not None:
            self.tokenizer.save_pretrained(folder)
        _write_modules(folder, [self.pooling, *self.steps])
        _write_json(
            folder / "sentence_bert_config.json", {"max_seq_length": self.max_length, "do_lower_case": self.lower_case}
        )
        prompts = {"prompts": {"default": self.prompt}, "default_prompt_name": "default"} if self.prompt else {}
        kept = {"similarity_fn_name": self.similarity_fn_name, "truncate_dim": self.truncate_dim}
        _write_json(folder / "config_sentence_transformers.json", prompts | kept)
        if saved_model:
            from flowformers.export import write_saved_model

            write_saved_model(self, folder / "saved_model", version=version, **options)


def is_sentence_encoder(folder: Path) -> bool:
    """Whether a folder has a transformer with a pooling behind it."""
    return (folder / MODULES).is_file() and "Pooling" in [kind for kind, _ in read_modules(folder)]


def read_modules(folder: Path) -> list[tuple[str, str]]:
    """(kind, path) of every module in order. Raises NotFound or ConfigError."""
    entries = _json(folder / MODULES)
    try:
        ordered = sorted(entries, key=lambda entry: entry["idx"])
        return [(str(entry["type"]).rpartition(".")[2], str(entry["path"])) for entry in ordered]
    except (TypeError, KeyError) as error:
        raise ConfigError(f"expected a list of modules with idx, type and path in {folder / MODULES}") from error


def _transformer(place: Path, kwargs: Mapping[str, Any]) -> Any:
    from flowformers.models.auto import AutoConfig
    from flowformers.models.classes import class_for

    cls: Any = class_for(AutoConfig.from_pretrained(place).model_type, "Model")
    return cls.from_pretrained(place, add_pooling_layer=False, **kwargs)


def _text_settings(folder: Path, place: Path) -> dict[str, Any]:
    """The tokenizer and what is done to a text and its vector, as keywords of TFSentenceEncoder."""
    settings = _transformer_settings(place)
    limit = settings.get("max_seq_length")  # which comes before what the tokenizer says
    library = _json(folder / "config_sentence_transformers.json", optional=True)
    return {
        "tokenizer": AutoTokenizer.from_pretrained(place, **({} if limit is None else {"model_max_length": limit})),
        "lower_case": bool(settings.get("do_lower_case", False)),
        "similarity_fn_name": library.get("similarity_fn_name") or "cosine",
        "prompt": _default_prompt(library),
        "truncate_dim": library.get("truncate_dim"),
    }


def _transformer_settings(place: Path) -> dict[str, Any]:
    """The first file of settings that is there. Raises ConfigError for a setting that would change answers."""
    paths = [place / f"sentence_{kind}_config.json" for kind in KINDS]
    path = next((path for path in paths if path.is_file()), paths[0])
    settings: dict[str, Any] = _json(path, optional=True)
    odd = [name for name, value in settings.items() if value and name not in READ and value != FIXED.get(name)]
    if odd:
        raise ConfigError(
            f"expected {', '.join(READ)} in {path}, and a plain encoder of text; got {odd[0]}={settings[odd[0]]!r}, "
            "which is not supported"
        )
    return settings


def _default_prompt(library: Mapping[str, Any]) -> str:
    """Of config_sentence_transformers.json. Raises ConfigError where it names one that is not there."""
    prompts, named = {"query": "", "document": ""} | (library.get("prompts") or {}), library.get("default_prompt_name")
    if named and named not in prompts:
        raise ConfigError(f"expected a default_prompt_name among the prompts {', '.join(prompts)}; got {named!r}")
    return str(prompts[named]) if named else ""


def _dense(folder: Path) -> Projection:
    made = Projection(_json(folder / "config.json"))
    with checkpoint.open_checkpoint(folder) as source:
        names = {"linear.weight": made.linear.kernel} | ({"linear.bias": made.linear.bias} if made.with_bias else {})
        for name, variable in names.items():
            if name not in source.names() or source.shape(name) != tuple(reversed(variable.shape)):
                raise CheckpointError(f"expected {name} of shape {tuple(reversed(variable.shape))} in {source.path}")
            variable.assign(source.read(name).T)
    return made


STEPS = {"Dense": _dense, "Normalize": lambda _: Normalize()}


def _step(kind: str, folder: Path) -> Module:
    return STEPS[kind](folder)  # type: ignore[no-untyped-call]


def _write_modules(folder: Path, modules: Sequence[Pooling | Module]) -> None:
    entries = [{"idx": 0, "name": "0", "path": "", "type": f"{LIBRARY}.Transformer"}]
    for index, module in enumerate(modules, 1):
        kind = "Dense" if isinstance(module, Projection) else type(module).__name__
        path = f"{index}_{kind}"
        entries.append({"idx": index, "name": str(index), "path": path, "type": f"{LIBRARY}.{kind}"})
        (folder / path).mkdir(exist_ok=True)
        if module.fields():
            _write_json(folder / path / "config.json", module.fields())
        if isinstance(module, Projection):
            _write_dense(folder / path / "model.safetensors", module)
    _write_json(folder / MODULES, entries)


def _write_dense(path: Path, module: Projection) -> None:
    layer = module.linear
    weights = [("linear.weight", "kernel", layer.kernel)]
    weights += [("linear.bias", "bias", layer.bias)] if module.with_bias else []
    checkpoint.write_safetensors(
        path,
        [(checkpoint.Parameter(name, kind, tuple(x.shape), True), x.numpy()) for name, kind, x in weights],  # type: ignore[arg-type]
    )


def _json(path: Path, *, optional: bool = False) -> Any:
    if optional and not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFound(f"expected {path}; it is not there. Is it a sentence-transformers folder?") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"expected JSON in {path}; {error}") from error


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
