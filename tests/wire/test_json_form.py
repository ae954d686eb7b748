"""JSON forms of predict. "protocol N" is a section of docs/protocol.md."""

from __future__ import annotations

import base64
import json
import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flowformers.errors import Kind, ServingError
from flowformers.wire import json_answer, json_form

X = {"x": "float32"}
TWO = {"a": "float32", "b": "int32"}


def tensors(body, **dtypes):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return json_form.to_inputs(json_form.parse(content), dtypes)


def refusal(body, **dtypes):
    with pytest.raises(ServingError) as caught:
        tensors(body, **dtypes)
    return caught.value


def outcome(body, **dtypes):
    try:
        return tensors(body, **dtypes)["x"], None
    except ServingError as error:
        return None, error


def test_an_endless_string_of_quotes_is_read_once():
    begun = time.monotonic()
    assert "Unterminated string" in str(refusal(b'{"Inf": "' + rb"\"" * 20_000, **X))
    assert time.monotonic() - begun < 1


def rows(**outputs):
    return json_answer.predictions({name: np.asarray(value) for name, value in outputs.items()}, rows=True)


def columns(**outputs):
    return json_answer.predictions({name: np.asarray(value) for name, value in outputs.items()}, rows=False)


# What a request says


def test_plain_rows_are_stacked_into_the_only_input():  # protocol 4
    array = tensors({"instances": [[1, 2], [3, 4.5]]}, **X)["x"]
    assert array.dtype == np.float32
    assert array.tolist() == [[1, 2], [3, 4.5]]


def test_scalar_rows_make_a_vector():  # protocol 4
    assert tensors({"instances": [1.0, 2.0, 5.0]}, **X)["x"].shape == (3,)


def test_named_rows_become_one_array_per_input():  # protocol 4
    found = tensors({"instances": [{"a": 1, "b": [1, 2]}, {"a": 2, "b": [3, 4]}]}, **TWO)
    assert found["a"].tolist() == [1, 2]
    assert found["b"].tolist() == [[1, 2], [3, 4]]


def test_one_input_may_be_named_in_every_row():  # protocol 4
    assert tensors({"instances": [{"x": 1.0}, {"x": 2.0}]}, **X)["x"].tolist() == [1, 2]


def test_columns_are_taken_as_they_are_without_a_common_batch():  # protocol 4
    found = tensors({"inputs": {"a": 1.5, "b": [[1, 2], [3, 4]]}}, **TWO)
    assert found["a"].shape == ()
    assert found["b"].shape == (2, 2)


def test_columns_of_one_input_need_no_name():  # protocol 4
    assert tensors({"inputs": [[1.0], [2.0]]}, **X)["x"].shape == (2, 1)


def test_names_that_the_signature_does_not_know_are_ignored_in_columns():  # protocol 4
    assert list(tensors({"inputs": {"x": 1, "y": "what?"}}, **X)) == ["x"]


@pytest.mark.parametrize(
    ("body", "shape"),
    [
        ({"inputs": []}, (0,)),
        ({"inputs": [[], []]}, (2, 0)),
        ({"instances": [[], []]}, (2, 0)),
        ({"instances": [[[]]]}, (1, 1, 0)),
    ],
)
def test_empty_lists_keep_their_shape(body, shape):  # protocol 4
    assert tensors(body, **X)["x"].shape == shape


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"inputs": 1}, "serving_default"),
        ({"inputs": 1, "signature_name": ""}, "serving_default"),
        ({"inputs": 1, "signature_name": "other"}, "other"),
    ],
)
def test_an_absent_or_empty_signature_name_means_the_default(body, name):  # protocol 4
    assert json_form.parse(json.dumps(body).encode()).signature_name == name


def test_other_top_level_keys_are_ignored():  # protocol 4
    assert tensors({"comment": [None], "inputs": 1}, **X)["x"] == 1


@pytest.mark.parametrize(
    ("body", "fragment"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b" \n", "JSON Parse error: The document is empty"),
        (b"[1]", "Is not object"),
        (b"null", "Is not object"),
        (b'{"instances": [1], "inputs": 1}', "expecting only one of"),
        (b'{"x": 1}', "Missing 'inputs' or 'instances' key"),
        (b'{"inputs": 1, "signature_name": null}', "'signature_name' key must be a string value"),
        (b'{"instances": []}', "No values in 'instances' array"),
        (b'{"instances": {"x": 1}}', "to be an array/list"),
        (b'{"instances": null}', "to be an array/list"),
    ],
)
def test_a_body_of_the_wrong_form_is_told_what_is_wrong(body, fragment):  # protocol 4 and 9
    error = refusal(body, **X)
    assert error.kind is Kind.INVALID_ARGUMENT
    assert fragment in str(error)


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs": 1',
        b'{"inputs": [1,]}',
        b'{"inputs": 01}',
        b'{"inputs": 0x1}',
        b"{'inputs': 1}",
        b'{"inputs": 1 /* one */}',
        b'{"inputs": "a\nb"}',
        b'{"inputs": nan}',
        b'{"inputs": Infinit}',
    ],
)
def test_text_that_is_not_json_is_refused_with_the_offset(body):  # protocol 5 and 9
    error = refusal(body, x="object")
    assert error.kind is Kind.INVALID_ARGUMENT
    assert str(error).startswith("JSON Parse error: ")
    assert "at offset: " in str(error)


@pytest.mark.parametrize(
    "body", [b'\xef\xbb\xbf{"inputs": 1}', b' \r\n\t{"inputs": 1}', b'{"inputs": 1} and then some']
)
def test_a_byte_order_mark_and_bytes_after_the_object_are_skipped(body):  # protocol 5
    assert tensors(body, **X)["x"] == 1


def test_of_two_equal_keys_the_first_is_found():  # protocol 5
    assert tensors(b'{"inputs": 1, "inputs": 2}', **X)["x"] == 1
    assert tensors(b'{"instances": [{"x": 1, "x": 2}]}', **X)["x"].tolist() == [1]


@pytest.mark.parametrize("place", [b'{"signature_name": %s, "inputs": 1}', b'{"inputs": %s}', b'{"instances": [%s]}'])
def test_half_a_million_nested_lists_are_refused_and_crash_nothing(place):  # protocol 5 and 20
    assert refusal(place % (b"[" * 500_000 + b"]" * 500_000), **X).kind is Kind.INVALID_ARGUMENT


# Rows and columns that do not fit


@pytest.mark.parametrize(
    ("body", "dtypes", "fragment"),
    [
        ({"instances": [1, 2]}, TWO, "instances is a plain list, but expecting list of objects"),
        ({"instances": [{"a": 1, "b": 1}, 2]}, TWO, "Failed to process element: 1"),
        ({"instances": [1, {"x": 1}]}, X, "Failed to process element: 1"),
        ({"instances": [{"a": 1}]}, TWO, "does not have named input: b"),
        ({"instances": [{"a": 1, "b": 1, "c": 1}]}, TWO, "keys must be equal to: a,b"),
        ({"instances": [{"a": 1, "b": 1}, {"a": 1, "c": 1}]}, TWO, "Failed to process element: 1"),
        ({"instances": [[1, 2], [1]]}, X, "Expecting tensor size: 2 but got: 1"),
        ({"instances": [[1, 2], [[1], [2]]]}, X, "Expecting shape"),
        ({"inputs": 1}, TWO, "'inputs' is a plain value/list"),
        ({"inputs": {"a": 1}}, TWO, "Missing named input: b"),
        ({"inputs": [[1, 2], [3]]}, X, "unexpected size"),
        ({"inputs": [[1], 2]}, X, "unexpected level"),
        ({"inputs": [1, [2]]}, X, "incorrect level"),
        ({"inputs": [[], [1]]}, X, "unexpected size"),
    ],
)
def test_values_that_do_not_fit_the_signature_are_refused(body, dtypes, fragment):  # protocol 4 and 9
    error = refusal(body, **dtypes)
    assert error.kind is Kind.INVALID_ARGUMENT
    assert fragment in str(error)


def test_a_refused_row_is_told_by_its_number_and_key():  # protocol 9
    text = str(refusal({"instances": [{"a": 1, "b": 1}, {"a": 1, "b": "1"}]}, **TWO))
    assert text.startswith("Failed to process element: 1 key: b of 'instances' list. Error: INVALID_ARGUMENT: ")


# Kinds of values


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        *[("float32", value) for value in ('"1"', "true", "null", '{"b64": "MQ=="}')],
        *[("int32", value) for value in ("1.0", "1e3", "true", '"1"', "null", "2147483648", "-2147483649", "NaN")],
        *[("int8", value) for value in ("2147483648", "1.0")],
        *[("int64", value) for value in ("9223372036854775808", "-9223372036854775809", "1.0")],
        *[("uint32", value) for value in ("-1", "4294967296")],
        *[("uint64", value) for value in ("-1", "18446744073709551616")],
        *[("bool", value) for value in ("1", "0", '"true"', "null", "1.0")],
        *[("object", value) for value in ("1", "true", "null", "1.5")],
    ],
)
def test_no_value_is_taken_for_one_of_another_kind(dtype, value):  # protocol 5
    for body in ('{"inputs": [%s]}', '{"instances": [%s]}'):
        error = refusal((body % value).encode(), x=dtype)
        assert error.kind is Kind.INVALID_ARGUMENT
        assert "is not of expected type: " in str(error)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("int32", 2**31 - 1),
        ("int32", -(2**31)),
        ("int64", 2**63 - 1),
        ("int64", -(2**63)),
        ("uint32", 2**32 - 1),
        ("uint64", 2**64 - 1),
        ("uint64", 0),
        ("bool", True),
    ],
)
def test_the_ends_of_every_range_arrive_exactly(dtype, value):  # protocol 5
    array = tensors({"inputs": [value, 0 if dtype != "bool" else False]}, x=dtype)["x"]
    assert array.dtype == dtype
    assert array.tolist()[0] == value


@pytest.mark.parametrize(("dtype", "value", "wrapped"), [("int8", 300, 44), ("uint8", -1, 255), ("int16", 65537, 1)])
def test_narrow_integers_wrap_silently(dtype, value, wrapped):  # protocol 5
    assert tensors({"inputs": [value]}, x=dtype)["x"].tolist() == [wrapped]


@pytest.mark.parametrize(
    ("token", "value"),
    [
        ("NaN", math.nan),
        ("-NaN", math.nan),
        ("Infinity", math.inf),
        ("-Infinity", -math.inf),
        ("Inf", math.inf),
        ("-Inf", -math.inf),
    ],
)
def test_nan_and_infinity_are_numbers_in_a_request(token, value):  # protocol 5
    array = tensors(f'{{"inputs": [1, {token}, 2]}}'.encode(), **X)["x"]
    np.testing.assert_array_equal(array, np.array([1, value, 2], np.float32))


def test_the_words_for_infinity_stay_words_inside_strings():  # protocol 5
    body = rb'{"inputs": {"x": [-Inf], "s": ["-Inf", "\"-NaN, Inf"]}}'
    assert tensors(body, x="float32", s="object")["s"].tolist() == [b"-Inf", b'"-NaN, Inf']


def test_a_number_too_precise_or_too_big_for_float32_is_rounded():  # protocol 5
    array = tensors(b'{"inputs": [0.1234567890123, 1e39, -1e39, 1e-60]}', **X)["x"]
    assert array.tolist() == [float(np.float32(0.1234567890123)), math.inf, -math.inf, 0]


@pytest.mark.parametrize("token", ["1e309", "-1e309", "1" + "0" * 400, "1" + "0" * 5000])
def test_a_number_above_the_range_of_a_double_is_an_error(token):  # protocol 5
    for body in ('{"inputs": [%s]}', '{"ignored": [{"a": %s}], "inputs": [1]}', '{"inputs": {"x": 1, "y": %s}}'):
        assert refusal((body % token).encode(), x="float64").kind is Kind.INVALID_ARGUMENT


def test_infinity_and_huge_whole_numbers_may_be_ignored():  # protocol 5
    assert tensors(b'{"ignored": [Infinity, -Inf, NaN, 1%s], "inputs": 1}' % (b"0" * 308), **X)["x"] == 1


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "uint16", "complex64"])
def test_a_dtype_without_json_form_is_501_in_columns_and_400_in_rows(dtype):  # protocol 5
    assert refusal({"inputs": [1]}, x=dtype).kind is Kind.UNIMPLEMENTED
    assert refusal({"instances": [1]}, x=dtype).kind is Kind.INVALID_ARGUMENT


# Strings


def test_strings_arrive_as_their_utf8_bytes():  # protocol 5
    array = tensors({"instances": ["a", "", "héllo 😀"]}, x="object")["x"]
    assert array.tolist() == [b"a", b"", "héllo 😀".encode()]


def test_bytes_that_are_not_utf8_pass_unchanged():  # protocol 5
    assert tensors(b'{"inputs": ["a\xff\x80"]}', x="object")["x"].tolist() == [b"a\xff\x80"]


@pytest.mark.parametrize("text", ["aGk=", "aGk", "a G\\nk =", "aG k"])
def test_base64_needs_no_padding_and_may_hold_white_space(text):  # protocol 5
    assert tensors(f'{{"inputs": {{"b64": "{text}"}}}}'.encode(), x="object")["x"].item() == b"hi"


@pytest.mark.parametrize("body", [{"instances": [{"b64": "aGk="}]}, {"instances": [[[{"b64": "aGk="}]]]}])
def test_a_base64_object_is_a_value_at_any_depth(body):  # protocol 5
    assert tensors(body, x="object")["x"].ravel().tolist() == [b"hi"]


def test_an_object_with_b64_and_another_key_is_a_named_row():  # protocol 5
    found = tensors({"instances": [{"b64": 1, "b": 2}]}, b64="float32", b="int32")
    assert (found["b64"].tolist(), found["b"].tolist()) == ([1], [2])


@pytest.mark.parametrize("text", ["a", "aGk==", "aGk=aGk=", "_-8=", "é", "a*k="])
def test_bad_base64_is_refused(text):  # protocol 5
    error = refusal({"inputs": {"b64": text}}, x="object")
    assert (error.kind, "Unable to base64 decode" in str(error)) == (Kind.INVALID_ARGUMENT, True)


@pytest.mark.parametrize("value", [{"b64": 1}, {"b64": None}, {"b64": ["aGk="]}])
def test_a_base64_object_without_a_string_is_refused(value):  # protocol 5
    assert "not formatted correctly for base64 data" in str(refusal({"inputs": [value]}, x="object"))


@pytest.mark.parametrize("escape", ["\\ud800", "a\\uDBFF b", "\\ud83d\\u0041", "\\udc80", "\\\\\\uDCff", "\\udfff"])
@pytest.mark.parametrize("body", ['{"inputs": "%s"}', '{"inputs": "\xff%s"}', '{"inputs": "a", "ignored": ["%s"]}'])
def test_a_surrogate_without_its_partner_is_refused(body, escape):  # protocol 5
    error = refusal((body % escape).encode("latin-1"), x="object")
    assert (error.kind, "surrogate without its partner" in str(error)) == (Kind.INVALID_ARGUMENT, True)


@pytest.mark.parametrize(
    ("text", "value"), [(rb"\ud83d\ude00\uD83D\uDE00", "😀😀".encode()), (rb"\\ud800 \\\\udc80", rb"\ud800 \\udc80")]
)
def test_a_pair_of_surrogates_is_one_letter_and_an_escaped_backslash_begins_none(text, value):  # protocol 5
    assert tensors(b'{"inputs": "%s"} "\\ud800"' % text, x="object")["x"].item() == value


# What an answer says


def test_rows_of_one_output_are_bare_values():  # protocol 6
    assert json.loads(rows(y=[[1.0, 2.0], [3.0, 4.0]])) == {"predictions": [[1.0, 2.0], [3.0, 4.0]]}


def test_rows_of_several_outputs_are_objects():  # protocol 6
    assert json.loads(rows(y=[1, 2], z=[[3], [4]])) == {"predictions": [{"y": 1, "z": [3]}, {"y": 2, "z": [4]}]}


def test_columns_are_bare_for_one_output_and_named_for_several():  # protocol 6
    assert json.loads(columns(y=[[1], [2]])) == {"outputs": [[1], [2]]}
    assert json.loads(columns(y=[1, 2], z=True)) == {"outputs": {"y": [1, 2], "z": True}}


def test_a_scalar_column_is_a_bare_value():  # protocol 6
    assert json.loads(columns(y=np.float32(2))) == {"outputs": 2.0}


def test_zero_rows_are_an_empty_list():  # protocol 6
    assert json.loads(rows(y=np.zeros((0, 3), np.float32), z=np.zeros(0, np.int32))) == {"predictions": []}


def test_rows_without_a_batch_dimension_are_refused():  # protocol 6
    with pytest.raises(ServingError, match="Tensor name: y has no shape information"):
        rows(y=1.0)


def test_rows_of_unequal_number_are_refused():  # protocol 6
    with pytest.raises(ServingError, match="Tensor name: z has inconsistent batch size"):
        rows(y=[1, 2], z=[1])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.float32(2), "2.0"),
        (np.float32(9_000_000), "9e+06"),
        (np.float32(0.2), "0.2"),
        (np.float32(1435774336), "1.43577434e+09"),
        (np.float32(1 / 3), "0.333333343"),
        (np.float64(1 / 3), "0.33333333333333331"),
        (np.float64(0.2), "0.2"),
        (np.float32(-0.0), "-0.0"),
        (np.float32(1e-7), "1e-07"),
        (np.float32("nan"), "NaN"),
        (np.float32("inf"), "Infinity"),
        (np.float64("-inf"), "-Infinity"),
        (np.int64(-(2**63)), "-9223372036854775808"),
        (np.uint64(2**64 - 1), "18446744073709551615"),
        (np.int8(2), "2"),
        (np.bool_(True), "true"),
    ],
)
def test_numbers_have_tensorflow_servings_text(value, text):  # protocol 5
    assert columns(y=value).decode().split() == ["{", '"outputs":', text, "}"]


@pytest.mark.parametrize("dtype", ["float16", "complex64"])
def test_an_output_without_json_form_is_refused(dtype):  # protocol 5
    with pytest.raises(ServingError, match="Failed to write JSON value for tensor type") as caught:
        columns(y=np.ones(2, dtype))
    assert caught.value.kind is Kind.INVALID_ARGUMENT


def test_only_string_outputs_with_bytes_in_their_name_are_base64():  # protocol 5
    raw = np.array([b"\xff\x00"], object)
    assert json.loads(rows(image_bytes=raw)) == {"predictions": [{"b64": "/wA="}]}
    assert json.loads(columns(image_bytes=raw)) == {"outputs": [{"b64": "/wA="}]}
    assert json.loads(rows(n_bytes=[1, 2])) == {"predictions": [1, 2]}


def test_string_outputs_are_written_byte_for_byte():  # protocol 5
    assert b'["caf\xc3\xa9", "\xff"]' in columns(y=np.array(["café".encode(), b"\xff"], object))


def test_quotes_and_control_characters_of_an_output_are_escaped():  # protocol 5
    raw = b'"\\\n\x00\x1f\x7f'
    assert json.loads(columns(y=np.array([raw], object)))["outputs"] == [raw.decode()]


# Round trips


def same(array, dtype):
    for write, key in ((columns, "inputs"), (rows, "instances")):
        answer = write(y=array)
        body = answer.replace(b"outputs", b"inputs", 1).replace(b"predictions", b"instances", 1)
        assert key.encode() in body
        np.testing.assert_array_equal(tensors(body, x=dtype)["x"], array)


SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, max_side=3)


@given(hnp.arrays(np.float32, SHAPES))
def test_every_float32_reads_back_to_itself(array):  # protocol 5
    same(array, "float32")


@given(hnp.arrays(np.float64, SHAPES))
def test_every_float64_reads_back_to_itself(array):  # protocol 5
    same(array, "float64")


@given(st.sampled_from(["int8", "int16", "int32", "int64", "uint8", "uint32", "uint64", "bool"]), st.data())
def test_every_integer_reads_back_to_itself(dtype, data):  # protocol 5
    same(data.draw(hnp.arrays(dtype, SHAPES)), dtype)


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=4))
def test_any_bytes_arrive_whole_as_base64_and_leave_whole_as_base64(values):  # protocol 5
    encoded = [{"b64": base64.b64encode(value).decode()} for value in values]
    array = tensors({"inputs": encoded}, x="object")["x"]
    assert array.tolist() == values
    assert json.loads(columns(y_bytes=array))["outputs"] == encoded


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=4))
def test_any_bytes_survive_as_plain_strings_too(values):  # protocol 5
    body = columns(y=np.array([*values, b""], object)[:-1]).replace(b"outputs", b"inputs", 1)
    assert tensors(body, x="object")["x"].tolist() == values


@given(st.binary(max_size=60))
def test_whatever_the_bytes_a_body_is_read_or_refused_by_a_serving_error(body):  # protocol 9
    array, error = outcome(body, **X)
    assert (array is None) is (error is not None)
    assert error is None or error.kind is Kind.INVALID_ARGUMENT


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "b64", "y"]), inner, max_size=2),
    max_leaves=8,
)


@given(st.sampled_from(["instances", "inputs"]), JSON, st.sampled_from(["float32", "int32", "bool", "object"]))
def test_any_json_value_is_an_array_of_the_dtype_or_a_400(key, value, dtype):  # protocol 4 and 5
    array, error = outcome({key: value}, x=dtype)
    assert error is None or error.kind is Kind.INVALID_ARGUMENT
    assert array is None or array.dtype == dtype
