"""from_pretrained: a folder or Hub id -> a model, with an account of every tensor."""

from __future__ import annotations

import difflib
import inspect
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flowformers import checkpoint
from flowformers.errors import InvalidInput, WeightsMismatch
from flowformers.families import PretrainedConfig
from flowformers.families._config import read_config
from flowformers.hub import OPTIONS, taken_from
from flowformers.models.naming import Slot, ignorable
from flowformers.nn.parts import uninitialised
from flowformers.nn.precision import checked
from flowformers.progress import steps

log = logging.getLogger("flowformers")

NOT_KEYWORDS = ("self", "cls", "name_or_path", "model_args", "kwargs")


def from_pretrained(
    cls: Any,
    name_or_path: str | Path,
    *model_args: Any,
    config: PretrainedConfig | str | Path | None = None,
    from_pt: bool = False,
    use_safetensors: bool | None = None,
    ignore_mismatched_sizes: bool = False,
    output_loading_info: bool = False,
    precision: str = "fp32",
    strict: bool = False,
    **kwargs: Any,
) -> Any:
    """Load a model of class cls.

    name_or_path: a checkpoint folder or a Hub id; revision, subfolder, token, cache_dir, local_files_only and
    force_download choose among a repository's files, and those of `config` where that is a folder or Hub id. from_pt:
    PyTorch weights only (no PyTorch is needed either way).
    precision: fp32, bf16, fp16 or int8, see TFPreTrainedModel.precision.
    strict: raise WeightsMismatch for weights that the checkpoint has not, which start fresh with a warning otherwise. A
    base model's pooler is left out instead: many checkpoints have none, and the states are whole without it.
    Keywords that are fields of the config change it; the rest goes to the constructor. Returns the model, or with
    output_loading_info the model and the account. Raises NotFound, ConfigError, CheckpointError, or WeightsMismatch
    with every tensor that is missing or of the wrong shape.
    """
    checked(precision)
    if isinstance(config, dict):
        raise InvalidInput(
            f"expected a {cls.config_class.__name__}, a folder or a Hub id as config; got a dict. "
            f"{cls.config_class.__name__}.from_dict makes one of it"
        )
    hub = taken_from(kwargs)
    folder = checkpoint.resolve(name_or_path, **hub)
    given = cls.config_class.from_pretrained(config, **hub) if isinstance(config, str | Path) else config
    settings, extra = _config(cls, folder, given, kwargs)
    _check_extra(cls, settings, extra)
    with checkpoint.open_checkpoint(folder, use_safetensors=use_safetensors, from_pt=from_pt) as source:
        with uninitialised():
            model = cls(settings, *model_args, **(_without_pooler(cls, source) if strict else {}) | extra)
        info = fill(model, source, ignore_mismatched_sizes=ignore_mismatched_sizes, strict=strict)
    model.name_or_path, model.precision = str(name_or_path), precision
    return (model, info) if output_loading_info else model


def folder_of(name_or_path: str | Path, keywords: dict[str, Any]) -> Path:
    """The folder of a checkpoint or Hub id; the Hub's keywords are taken out of those of the call."""
    return checkpoint.resolve(name_or_path, **taken_from(keywords))


def _config(
    cls: Any, folder: Path, config: PretrainedConfig | None, kwargs: dict[str, Any]
) -> tuple[PretrainedConfig, dict[str, Any]]:
    """The config with the fields given as keywords, and the keywords that are none of its fields."""
    fields = config.to_dict() if config is not None else read_config(folder)
    model_type = fields.get("model_type", cls.family.model_type)
    if model_type != cls.family.model_type:
        raise InvalidInput(
            f"expected a {cls.family.model_type} checkpoint for {cls.__name__}; config.json says {model_type!r}. "
            "Use the TFAuto class of the task to choose by checkpoint"
        )
    known = cls.config_class.from_dict(fields)
    changes = {name: value for name, value in kwargs.items() if hasattr(known, name)}
    extra = {name: value for name, value in kwargs.items() if name not in changes}
    return cls.config_class.from_dict(fields, **changes), extra


def _check_extra(cls: Any, config: PretrainedConfig, extra: Mapping[str, Any]) -> None:
    """Raises TypeError for keywords that neither the config nor the constructor knows, with what may be meant."""
    taken = inspect.signature(cls.__init__).parameters
    unknown = [name for name in extra if name not in taken]
    if not unknown or any(one.kind is inspect.Parameter.VAR_KEYWORD for one in taken.values()):
        return
    own = inspect.signature(from_pretrained).parameters
    known = {"num_labels", *vars(config), *OPTIONS, *(name for name in (*taken, *own) if name not in NOT_KEYWORDS)}
    near = difflib.get_close_matches(unknown[0], known, n=1)
    hint = f". Did you mean {near[0]}?" if near else ""
    raise TypeError(
        f"from_pretrained() got an unexpected keyword argument {unknown[0]!r}; expected a field of "
        f"{type(config).__name__}, an argument of {cls.__name__}, or one that says what to load{hint}"
    )


def fill(model: Any, source: checkpoint.Checkpoint, *, ignore_mismatched_sizes: bool, strict: bool) -> dict[str, Any]:
    """Fill the model's weights from a checkpoint, one tensor at a time. Returns the account of the load."""
    slots: list[Slot] = model.slots()
    plan = checkpoint.plan(
        source,
        [slot.parameter for slot in slots],
        base_prefix=model.family.prefix,
        ignore_mismatched_sizes=ignore_mismatched_sizes,
    )
    if strict:
        _refuse_fresh(model, source, _fresh(plan))
    for index, name in steps(plan.assignments, "Loading weights"):
        slots[index].variable.assign(checkpoint.read_parameter(source, name, slots[index].parameter))
    filled = {index for index, _ in plan.assignments}
    for index, slot in enumerate(slots):
        if index not in filled:
            slot.part.initialise(slot.attribute)
    _report(model, plan)
    return plan.loading_info()


def _report(model: Any, plan: checkpoint.Plan) -> None:
    new = _fresh(plan)
    if new:
        log.warning(
            "%s: %d weights are not in the checkpoint and start fresh: %s. Train before you use predictions.",
            type(model).__name__, len(new), ", ".join(new),
        )  # fmt: skip
    unread = ignorable(list(plan.unexpected_keys), model.family)
    if unread:
        log.warning(
            "%s: the checkpoint holds tensors that nothing here reads: %s", type(model).__name__, ", ".join(unread)
        )


def _without_pooler(cls: Any, source: checkpoint.Checkpoint) -> dict[str, Any]:
    """Keywords for the constructor of a base model whose checkpoint has no pooler."""
    bare = "Model" in cls.head_spec.auto and cls.head_spec.pooler
    return {"add_pooling_layer": False} if bare and not any("pooler" in name for name in source.names()) else {}


def _fresh(plan: checkpoint.Plan) -> list[str]:
    """The weights that the checkpoint does not fill."""
    return [*plan.missing_keys, *(name for name, *_ in plan.mismatched_keys)]


def _refuse_fresh(model: Any, source: checkpoint.Checkpoint, names: list[str]) -> None:
    if names:
        raise WeightsMismatch(
            f"{source.path}: {len(names)} weights of {type(model).__name__} are not in the checkpoint and would be "
            f"random: {', '.join(names)}. Choose the task that it was trained for (--task masked-lm, text-encoding, "
            "...; config.json says it without --task), or train it first"
        )
