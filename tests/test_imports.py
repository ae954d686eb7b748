"""What a user gets by `import flowformers`: little at once, the rest by name, and clear words without TensorFlow."""

from __future__ import annotations

import subprocess
import sys

import pytest

import flowformers

HEADS = (
    "Model", "ForMaskedLM", "ForSequenceClassification", "ForMultipleChoice", "ForTokenClassification",
    "ForQuestionAnswering",
)  # fmt: skip
# Python's own mark for a module that can't be imported.
WITHOUT = "import sys; sys.modules.update(dict.fromkeys(['tensorflow', 'keras', 'tensorflow_text']))\n"


def run(script, *, without_tensorflow=False):
    done = subprocess.run(
        [sys.executable, "-c", (WITHOUT if without_tensorflow else "") + script], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_and_help_touch_no_heavy_library():
    """0.3 s is the aim; what decides it is which libraries are imported, so that is what is held."""
    heavy = "tensorflow", "keras", "numpy", "h5py", "grpc", "tokenizers", "safetensors", "huggingface_hub", "starlette"
    script = f"""
import sys, contextlib, io
import flowformers
from flowformers.cli import main
for words in (["--help"], ["serve", "--help"], ["export", "--help"], ["inspect", "--help"]):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        main(words)
print([name for name in {heavy!r} if name in sys.modules])
"""
    assert run(script) == "[]"


@pytest.mark.parametrize("family", ["Bert", "Roberta", "XLMRoberta", "Camembert", "Electra", "MPNet", "DistilBert"])
def test_every_family_has_its_public_names(family):
    names = [f"TF{family}{head}" for head in HEADS] + [f"{family}Config", f"{family}TokenizerFast"]
    for name in names:
        assert getattr(flowformers, name).__name__ == name
    assert set(names) <= set(dir(flowformers))


@pytest.mark.parametrize(
    "name",
    ["TFAutoModel", "TFAutoModelForPreTraining", "TFAutoModelWithLMHead", *(f"TFAutoModel{h}" for h in HEADS[1:])],
)
def test_auto_classes_exist(name):
    assert hasattr(getattr(flowformers, name), "from_pretrained")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="TFGPT2Model"):
        _ = flowformers.TFGPT2Model


def test_without_tensorflow_models_name_the_extra_to_install():
    script = """
import flowformers
try:
    flowformers.TFBertModel
except flowformers.MissingDependency as error:
    print(error)
"""
    assert "pip install 'flowformers[cpu]'" in run(script, without_tensorflow=True)


def test_without_tensorflow_what_there_is_can_be_listed_and_asked_for():
    script = """
import flowformers
print({"BertTokenizerFast", "errors"} <= set(dir(flowformers)))
print(hasattr(flowformers, "TFNope"), hasattr(flowformers, "X"))
for name in ("DistilBertConfig", "TFXLMRobertaForMaskedLM", "ModelOutput", "TFMaskedLMOutput", "TFSentenceEncoder"):
    try:
        getattr(flowformers, name)
    except flowformers.MissingDependency:
        print(name)
"""
    assert run(script, without_tensorflow=True).split() == [
        *("True", "False", "False"),
        *("DistilBertConfig", "TFXLMRobertaForMaskedLM", "ModelOutput", "TFMaskedLMOutput", "TFSentenceEncoder"),
    ]


@pytest.mark.parametrize("command", ["serve", "export", "inspect"])
def test_without_tensorflow_commands_name_the_extra_to_install(command):
    script = f"""
import contextlib, io
from flowformers.cli import main
err = io.StringIO()
with contextlib.redirect_stderr(err):
    code = main([{command!r}, "x"] + (["y"] if {command!r} == "export" else []))
print(code, err.getvalue())
"""
    out = run(script, without_tensorflow=True)
    assert out.startswith(f"1 flowformers: error: {command} needs TensorFlow")
    assert "pip install 'flowformers[cpu]'" in out


def test_tokenizers_and_configs_of_text_need_no_tensorflow(minilm):
    script = f"""
import flowformers
print(flowformers.AutoTokenizer.from_pretrained({str(minilm)!r})("I love it").input_ids)
"""
    assert run(script, without_tensorflow=True) == "[101, 1045, 2293, 2009, 102]"
