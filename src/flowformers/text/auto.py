"""AutoTokenizer: the class is chosen by tokenizer_config.json, or else by config.json's model_type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flowformers.errors import InvalidInput
from flowformers.text import families
from flowformers.text.files import read_json, taken_folder
from flowformers.text.tokenizer import PreTrainedTokenizerFast

BY_MODEL_TYPE: dict[str, type[PreTrainedTokenizerFast]] = {
    "bert": families.BertTokenizerFast,
    "camembert": families.CamembertTokenizerFast,
    "distilbert": families.DistilBertTokenizerFast,
    "electra": families.ElectraTokenizerFast,
    "mpnet": families.MPNetTokenizerFast,
    "roberta": families.RobertaTokenizerFast,
    "xlm-roberta": families.XLMRobertaTokenizerFast,
}
BY_NAME = {cls.__name__: cls for cls in (*BY_MODEL_TYPE.values(), PreTrainedTokenizerFast)}


class AutoTokenizer:
    """Use AutoTokenizer.from_pretrained(folder or Hub id)."""

    @staticmethod
    def from_pretrained(name_or_path: str | Path, **kwargs: Any) -> PreTrainedTokenizerFast:
        """The tokenizer of a checkpoint; keywords as in PreTrainedTokenizerFast.from_pretrained."""
        folder = taken_folder(name_or_path, kwargs)
        return tokenizer_class(folder).from_folder(folder, str(name_or_path), kwargs)


def tokenizer_class(folder: Path) -> type[PreTrainedTokenizerFast]:
    """The class for a folder. Raises InvalidInput where neither file tells."""
    named = str(read_json(folder / "tokenizer_config.json").get("tokenizer_class", ""))
    fast = named if named.endswith("Fast") else f"{named}Fast"
    model_type = read_json(folder / "config.json").get("model_type")
    if fast in BY_NAME and fast != "PreTrainedTokenizerFast":
        return BY_NAME[fast]
    if model_type in BY_MODEL_TYPE:
        return BY_MODEL_TYPE[model_type]
    if (folder / "tokenizer.json").is_file():
        return PreTrainedTokenizerFast
    raise InvalidInput(
        f"expected tokenizer_class in {folder}/tokenizer_config.json of {', '.join(BY_NAME)}; "
        f"got {named or 'none'}, and config.json's model_type is {model_type!r}"
    )
