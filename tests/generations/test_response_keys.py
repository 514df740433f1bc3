"""The key of an answer: golden vectors pin it, and one field at a time is changed."""

import hashlib
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor as Field
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given
from hypothesis import strategies as st

from contextbridge import v1 as pb
from contextbridge_server.generations.call import GenerationCall
from contextbridge_server.generations.response_cache import (
    LARGE_BYTES,
    cache_use,
    context_tag,
    customer_tag,
    idempotency_lookup_key,
    request_bytes,
    request_digest,
    response_key,
)
from contextbridge_server.request_context import Caller, RequestContext
from contextbridge_server.translate.chat_translator import ChatTranslator
from contextbridge_server.translate.gemini_translator import GeminiTranslator

GOLDEN = Path(__file__).parents[1] / "golden" / "response_keys" / "vectors.json"
VECTORS = json.loads(GOLDEN.read_text())
TRANSLATORS = {"chat": ChatTranslator(), "generate": GeminiTranslator()}
REQUESTS = {"chat": pb.ChatWithContextRequest, "generate": pb.GenerateContentRequest}
FAMILIES = pytest.mark.parametrize("family", TRANSLATORS)
CONTEXT_FIELDS = {"chat": "context_id", "generate": "cached_content"}
CONTEXT = "content:5e"

HOW_IT_IS_READ = ("idempotency_key", "resume_after")
"""Fields that say how an answer is read, and never which one it is."""
BY_RULES = ("model", "response_cache", "customer")
"""Fields that count by rules of their own."""

UNKNOWN = b"\xc0\x3e\x01"
"""Field 1000, which no message has, with the value 1."""

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


@dataclass(frozen=True)
class Scope:
    """Who asks whom, about what."""

    tenant: str = "acme"
    upstream_key: str | None = None
    upstream: str = "http://gateway"
    content: str = CONTEXT


SCOPE = Scope()


def ask_of(family, request, scope=SCOPE):
    return GenerationCall(
        request, TRANSLATORS[family], context_of(scope.tenant, scope.upstream_key)
    )


def context_of(tenant, upstream_key=None):
    ctx = RequestContext("request-1", caller=Caller("caller", tenant))
    if upstream_key is not None:
        ctx.use_upstream_key(upstream_key)
    return ctx


def key_of(family, request, scope=SCOPE):
    return response_key(
        ask_of(family, request, scope), request.model, scope.content, scope.upstream
    )


# Messages in which every field is set, and messages that differ from them in one thing.


def filled(descriptor, seen=()):
    """Return a message whose fields are all set, to values that are not their defaults.

    Of a oneof it is the first; a message that holds itself does so once.
    """
    message = new(descriptor)
    chosen = {oneof.fields[0].name for oneof in descriptor.oneofs}
    for field in descriptor.fields:
        oneof = field.containing_oneof
        if (oneof is None or field.name in chosen) and not is_too_deep(field, seen):
            fill(message, field, seen)
    return message


def new(descriptor):
    return GetMessageClass(descriptor)()


def is_too_deep(field, seen):
    value = value_type(field)
    return value is not None and seen.count(value.full_name) > 1


def value_type(field):
    """Return the descriptor of a field's messages, of a map those of its values; or none."""
    if is_map(field):
        return field.message_type.fields_by_name["value"].message_type
    return field.message_type


def is_map(field):
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def fill(message, field, seen=()):
    """Set a field of a message to a value that is not its default."""
    target, deeper = getattr(message, field.name), (*seen, field.containing_type.full_name)
    inner = value_type(field)
    if is_map(field):
        for number, key in enumerate(("one", "two")):
            if inner is None:
                target[key] = scalar(field.message_type.fields_by_name["value"], number)
            else:
                target[key].CopyFrom(filled(inner, deeper))
    elif field.is_repeated:
        for number in range(2):
            target.append(filled(inner, deeper) if inner else scalar(field, number))
        if inner and inner.fields:
            # The second differs from the first.
            target[1].ClearField(target[1].ListFields()[0][0].name)
    elif inner is not None:
        target.CopyFrom(filled(inner, deeper))
        target.SetInParent()
    else:
        setattr(message, field.name, scalar(field, 0))


def scalar(field, number):
    """Return one of several values of a field, none of which is its default."""
    match field.type:
        case Field.TYPE_STRING:
            return f"{field.name} {number}"
        case Field.TYPE_BYTES:
            return f"{field.name} {number}".encode()
        case Field.TYPE_BOOL:
            return True
        case Field.TYPE_ENUM:
            # google.protobuf.NullValue has only its default.
            return field.enum_type.values[-1].number
        case Field.TYPE_DOUBLE | Field.TYPE_FLOAT:
            return 0.5 + number
        case _:
            return 7 + number


def changed(message, seen=(), but=()):
    """Yield what was changed and a copy of a message with that change, one at a time.

    Args:
        message: What is changed.
        seen: The messages that it is in.
        but: Names of fields that are left as they are.
    """
    copy = clone(message)
    copy.MergeFromString(UNKNOWN)
    yield "an unknown field", copy
    for field in message.DESCRIPTOR.fields:
        if field.name not in but and not is_too_deep(field, seen):
            for what, copy in of_field(message, field, seen):
                yield f"{field.name}{what}", copy


def clone(message):
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def of_field(message, field, seen):
    deeper = (*seen, message.DESCRIPTOR.full_name)
    if is_map(field):
        yield from of_map(message, field, deeper)
    elif field.is_repeated:
        yield from of_repeated(message, field, deeper)
    else:
        yield from of_single(message, field, seen, deeper)


def of_single(message, field, seen, deeper):
    inner = field.message_type
    is_there = message.HasField(field.name) if field.has_presence else True
    if not is_there:
        # In a oneof, another member takes the place of the one that is set.
        copy = clone(message)
        fill(copy, field, seen)
        yield " set", copy
        message = copy
        if field.containing_oneof is None or inner is None:
            yield from emptied(message, field)
            return
    elif field.has_presence:
        copy = clone(message)
        copy.ClearField(field.name)
        yield " cleared", copy
    yield from emptied(message, field)
    if inner is None:
        for what, value in others(field, getattr(message, field.name)):
            copy = clone(message)
            setattr(copy, field.name, value)
            yield what, copy
        return
    for what, value in changed(getattr(message, field.name), deeper):
        copy = clone(message)
        getattr(copy, field.name).CopyFrom(value)
        yield f".{what}", copy


def emptied(message, field):
    """Yield a message in which a field that is set has its default."""
    copy = clone(message)
    if field.message_type is None:
        setattr(copy, field.name, field.default_value)
    else:
        copy.ClearField(field.name)
        getattr(copy, field.name).SetInParent()
    if copy != message:
        yield " emptied", copy


def others(field, value):
    """Yield values that are neither a scalar field's own nor its default."""
    match field.type:
        case Field.TYPE_STRING:
            yield " longer by a space", f"{value} "
            yield " in capitals", value.upper() + "X"
            yield " as JSON", json.dumps({"a": 1})
        case Field.TYPE_BYTES:
            yield " longer by a zero", value + b"\0"
        case Field.TYPE_DOUBLE | Field.TYPE_FLOAT:
            yield " by the last bit", math.nextafter(value, math.inf)
            yield " negative", -value - 1
        case Field.TYPE_BOOL | Field.TYPE_ENUM:
            pass
        case _:
            yield " by one", value + 1
            yield " negative", -value - 1


def of_repeated(message, field, deeper):
    values = list(getattr(message, field.name))
    inner = field.message_type
    empty = new(inner) if inner else field.default_value[:0] or scalar(field, 5)
    other = filled(inner, deeper) if inner else scalar(field, 6)
    lists = {" with one more": [*values, other], " with an empty one more": [*values, empty]}
    if values:
        lists |= {" cleared": [], " without the last": values[:-1]}
        lists[" with the first again"] = [values[0], *values]
        if values[0] != values[-1]:
            lists[" turned"] = values[::-1]
        if inner is None:
            lists[" with another first"] = [scalar(field, 9), *values[1:]]
        else:
            for what, value in changed(values[0], deeper):
                lists[f"[0].{what}"] = [value, *values[1:]]
    for what, items in lists.items():
        copy = clone(message)
        copy.ClearField(field.name)
        getattr(copy, field.name).extend(items)
        yield what, copy


def of_map(message, field, deeper):
    inner = value_type(field)
    keys = sorted(getattr(message, field.name))

    def put(copy, key, value):
        if inner is None:
            getattr(copy, field.name)[key] = value
        else:
            getattr(copy, field.name)[key].CopyFrom(value)

    copy = clone(message)
    value_field = field.message_type.fields_by_name["value"]
    put(copy, "three", filled(inner, deeper) if inner else scalar(value_field, 3))
    yield " with one more", copy
    if not keys:
        return
    copy = clone(message)
    copy.ClearField(field.name)
    yield " cleared", copy
    first = getattr(message, field.name)[keys[0]]
    copy = clone(message)
    del getattr(copy, field.name)[keys[0]]
    yield " without one", copy
    copy = clone(copy)
    put(copy, f"{keys[0]} ", first)
    yield " by another name", copy
    values = changed(first, deeper) if inner else others(value_field, first)
    for what, value in values:
        copy = clone(message)
        put(copy, keys[0], value)
        yield f"[{keys[0]}].{what}", copy


def told_apart(hash_of, request, but):
    """Check that all that can be changed in a request changes a hash; return what was changed."""
    written = request.SerializeToString(deterministic=True)
    seen = {hash_of(request): ("nothing", written)}
    for what, copy in changed(request, but=but):
        written = copy.SerializeToString(deterministic=True)
        other, same = seen.setdefault(hash_of(copy), (what, written))
        # Two changes may well make one message.
        assert same == written, f"{what} has the hash of {other}"
    return {what for what, _ in seen.values()}


def plain(family):
    """Return an empty request, and one with everything."""
    request = REQUESTS[family]
    whole = filled(request.DESCRIPTOR)
    whole.response_cache.by_customer = False
    return {"empty": request(), "full": whole}


@FAMILIES
@pytest.mark.parametrize("base", ["empty", "full"])
def test_whatever_is_changed_changes_the_key(family, base):
    exempt = (*HOW_IT_IS_READ, *BY_RULES, CONTEXT_FIELDS[family])

    walked = told_apart(lambda copy: key_of(family, copy), plain(family)[base], exempt)

    # The walk is what is relied on: that it goes everywhere is checked too.
    fields = {re.split(r"[ .\[]", what)[0] for what in walked}
    assert fields >= set(REQUESTS[family].DESCRIPTOR.fields_by_name) - set(exempt)
    assert len(walked) > {"empty": 20, "full": 200}[base]


@FAMILIES
def test_the_walk_goes_down_to_the_leaves(family):
    request = plain(family)["full"]

    walked = {what for what, _ in changed(request)}

    expected = {
        "chat": {
            "messages[0].tool_calls[0].arguments_json longer by a space",
            "messages[0].parts[0].image_url.url longer by a space",
            "messages[0].an unknown field",
            "tools[0].function.strict cleared",
            "tools[0].function.strict emptied",
            "temperature by the last bit",
            "temperature cleared",
            "temperature emptied",
            "logit_bias[one]. negative",
            "tool_choice.function_name set",
            "extra_body.fields[one].string_value set",
            "extra_body.fields[one].struct_value.fields with one more",
        },
        "generate": {
            "contents[0].parts[0].inline_data.data longer by a zero",
            "contents[0].parts[0].function_response.parts[0].file_data.file_uri longer by a space",
            "tools[0].function_declarations[0].parameters.properties[one].type longer by a space",
            "generation_config.thinking_config.thinking_budget emptied",
            "generation_config.an unknown field",
            "labels by another name",
            "store cleared",
        },
    }
    assert expected[family] <= walked


# What does not count.


@FAMILIES
@pytest.mark.parametrize("base", ["empty", "full"])
@pytest.mark.parametrize("field", HOW_IT_IS_READ)
def test_how_an_answer_is_read_does_not_count(family, base, field):
    request = plain(family)[base]
    key = key_of(family, request)
    but = {each.name for each in request.DESCRIPTOR.fields} - {field}

    copies = [copy for what, copy in changed(request, but=but) if what != "an unknown field"]

    assert copies
    assert {key_of(family, copy) for copy in copies} == {key}


@FAMILIES
def test_a_context_counts_by_its_content_and_not_by_its_id(family):
    request = plain(family)["full"]
    key = key_of(family, request)
    for context_id in ("", "context-2", "cachedContents/c"):
        setattr(request, CONTEXT_FIELDS[family], context_id)

        assert key_of(family, request) == key
        assert key_of(family, request, Scope(content="content:6f")) != key


POLICIES = {
    "enabled": pb.ResponseCachePolicy(enabled=True),
    "with a ttl": pb.ResponseCachePolicy(ttl={"seconds": 5}),
    "refreshing": pb.ResponseCachePolicy(refresh=True),
    "by model, said": pb.ResponseCachePolicy(by_model=True),
}


@FAMILIES
@pytest.mark.parametrize("what", POLICIES)
def test_how_long_and_how_freshly_an_answer_is_kept_does_not_count(family, what):
    request = plain(family)["full"]
    request.ClearField("response_cache")
    key = key_of(family, request)

    request.response_cache.CopyFrom(POLICIES[what])

    assert key_of(family, request) == key


CUSTOMERS = (
    pb.Customer(),
    pb.Customer(identifier="c-1"),
    pb.Customer(identifier="c-2"),
    pb.Customer(identifier="C-1"),
    pb.Customer(identifier="c-1 "),
    pb.Customer(name="Ada"),
    pb.Customer(identifier="c-1", name="Ada", email="ada@example.com"),
)


@FAMILIES
def test_a_customer_counts_by_its_identifier_and_only_if_asked(family):
    request = plain(family)["full"]
    request.ClearField("customer")
    key = key_of(family, request)
    keys = {}
    for customer in CUSTOMERS:
        request.customer.CopyFrom(customer)
        request.response_cache.by_customer = False
        assert key_of(family, request) == key
        request.response_cache.by_customer = True
        keys.setdefault(key_of(family, request), set()).add(customer.identifier)

    assert key not in keys
    assert sorted(map(sorted, keys.values())) == [[""], ["C-1"], ["c-1"], ["c-1 "], ["c-2"]]


@FAMILIES
def test_a_model_counts_unless_it_is_not_to(family):
    request = plain(family)["full"]
    names = ("", "m", "models/m", "M", "m ", "models/models/m", "tunedModels/m")
    by_model, apart = {}, set()
    for name in names:
        request.model = name
        request.response_cache.by_model = False
        apart.add(key_of(family, request))
        for policy in (True, None):
            if policy is None:
                request.response_cache.ClearField("by_model")
            else:
                request.response_cache.by_model = policy
            by_model.setdefault(key_of(family, request), set()).add(name)

    assert len(apart) == 1
    assert not apart & set(by_model)
    assert {"m", "models/m"} in by_model.values()
    assert len(by_model) == len(names) - 1


# Who asks whom.


@FAMILIES
def test_who_asks_whom_about_what_counts(family):
    request = plain(family)["full"]
    scopes = [
        SCOPE,
        Scope(tenant="bolt"),
        Scope(tenant="Acme"),
        Scope(tenant=""),
        Scope(upstream_key="sk-1"),
        Scope(upstream_key="sk-2"),
        Scope(upstream="http://gateway/"),
        Scope(upstream="https://gateway"),
        Scope(content="context:5e"),
        Scope(content="upstream:5e"),
        Scope(content=""),
    ]

    assert len({key_of(family, request, scope) for scope in scopes}) == len(scopes)


def test_neither_who_in_the_tenant_asks_nor_which_call_counts():
    request = plain("chat")["full"]
    asks = [
        GenerationCall(
            request,
            TRANSLATORS["chat"],
            RequestContext(request_id, deadline, Caller(name, "acme", unknown)),
        )
        for name, unknown in (("one", True), ("two", False))
        for request_id, deadline in (("r-1", 5.0), ("r-2", None))
    ]

    assert len({response_key(ask, "m", CONTEXT, "http://gateway") for ask in asks}) == 1


def test_the_families_never_meet():
    keys = {key_of(family, REQUESTS[family](model="m")) for family in TRANSLATORS}

    assert len(keys) == len(TRANSLATORS)


SCOPES = st.builds(Scope, TEXTS, st.one_of(st.none(), TEXTS), TEXTS, TEXTS)


@given(st.lists(st.tuples(SCOPES, TEXTS, st.one_of(st.none(), TEXTS)), min_size=2, max_size=6))
def test_no_two_lists_of_texts_are_taken_for_each_other(cases):
    """Texts run together otherwise: tenant `ab` of account `c`, and tenant `a` of `bc`."""

    def key(scope, model, customer):
        request = pb.ChatWithContextRequest(model=model)
        if customer is not None:
            request.customer.identifier = customer
            request.response_cache.by_customer = True
        return key_of("chat", request, scope)

    different = {
        (scope, model.removeprefix("models/"), customer) for scope, model, customer in cases
    }

    assert len({key(*case) for case in cases}) == len(different)


# How it is written.


@pytest.mark.parametrize(
    "field", ["response_format_json", "tools", "generation_config", "messages", "tool_call"]
)
def test_json_counts_letter_by_letter(field):
    """A model may heed the order of a schema's members, and 1.0 is not 1."""
    texts = ('{"a":1,"b":2}', '{"b":2,"a":1}', '{"a": 1,"b":2}', '{"a":1.0,"b":2}', '{"a":1}')

    def key(text):
        match field:
            case "response_format_json":
                return key_of("chat", pb.ChatWithContextRequest(response_format_json=text))
            case "tools":
                tool = pb.ChatTool(function=pb.ChatFunction(parameters_json=text))
                return key_of("chat", pb.ChatWithContextRequest(tools=[tool]))
            case "messages":
                message = pb.ChatMessage(extra_json=text)
                return key_of("chat", pb.ChatWithContextRequest(messages=[message]))
            case "tool_call":
                call = pb.FunctionCall(args_json=text)
                content = pb.Content(parts=[pb.Part(function_call=call)])
                return key_of("generate", pb.GenerateContentRequest(contents=[content]))
            case _:
                config = pb.GenerationConfig(response_json_schema=text)
                return key_of("generate", pb.GenerateContentRequest(generation_config=config))

    assert len({key(text) for text in texts}) == len(texts)


def test_texts_count_byte_by_byte():
    texts = ("é", "e\N{COMBINING ACUTE ACCENT}", "e", "É", " é", "\N{ZERO WIDTH SPACE}é", "")
    keys = {
        key_of("chat", pb.ChatWithContextRequest(messages=[pb.ChatMessage(content=text)]))
        for text in texts
    }

    assert len(keys) == len(texts)


@given(st.dictionaries(TEXTS, TEXTS, min_size=2, max_size=8), st.randoms())
def test_maps_in_another_order_are_the_same(labels, random):
    turned = list(labels.items())
    random.shuffle(turned)
    one, other = pb.GenerateContentRequest(), pb.GenerateContentRequest()
    for request, items in ((one, labels.items()), (other, turned)):
        for key, value in items:
            request.labels[key] = value
            request.extra_body[key] = {value: key, "list": [key]}
            request.extra_body.fields[key].struct_value["z"] = value
            schema = pb.Schema(properties={value: pb.Schema(type=key), "a": pb.Schema()})
            request.generation_config.response_schema.properties[key].CopyFrom(schema)

    assert key_of("generate", one) == key_of("generate", other)


@FAMILIES
def test_a_request_is_left_as_it_was(family):
    request = plain(family)["full"]
    before = request.SerializeToString(deterministic=True)

    key_of(family, request)
    request_digest(ask_of(family, request))

    assert request.SerializeToString(deterministic=True) == before


@FAMILIES
def test_a_request_that_came_over_the_wire_has_the_same_key(family):
    request = plain(family)["full"]

    again = REQUESTS[family].FromString(request.SerializeToString())

    assert key_of(family, again) == key_of(family, request)


# The digest of an idempotency key.


@FAMILIES
@pytest.mark.parametrize("base", ["empty", "full"])
def test_whatever_is_changed_makes_another_request_under_an_idempotency_key(family, base):
    told_apart(
        lambda copy: request_digest(ask_of(family, copy)), plain(family)[base], HOW_IT_IS_READ
    )


@FAMILIES
def test_how_an_answer_is_read_makes_no_other_request(family):
    request = plain(family)["full"]
    digest = request_digest(ask_of(family, request))
    request.idempotency_key, request.resume_after = "another", 99

    assert request_digest(ask_of(family, request)) == digest


def test_an_idempotency_key_is_its_tenants_and_its_accounts():
    askers = [
        context_of(tenant, key) for tenant in ("acme", "bolt") for key in (None, "sk-1", "sk-2")
    ]

    lookup_keys = {idempotency_lookup_key(ctx, "id").prefix for ctx in askers}
    assert len(lookup_keys) == len(askers)
    assert idempotency_lookup_key(askers[0], "a/b") != idempotency_lookup_key(askers[0], "b")


# How a call uses the cache.


async def test_a_large_request_has_the_same_key_as_if_it_were_hashed_at_once():
    request = pb.ChatWithContextRequest(messages=[pb.ChatMessage(content="x" * LARGE_BYTES)])
    ask = ask_of("chat", request)

    use = await cache_use(ask, "m", CONTEXT, "http://gateway")

    assert request_bytes(request) > LARGE_BYTES
    assert use.key == response_key(ask, "m", CONTEXT, "http://gateway")


@FAMILIES
async def test_an_answer_is_found_by_its_customer_and_its_context_however_named(family):
    request = REQUESTS[family](customer=pb.Customer(identifier="c-1"))
    setattr(request, CONTEXT_FIELDS[family], "context-1")

    use = await cache_use(ask_of(family, request), "m", CONTEXT, "http://gateway")

    expected = {customer_tag("c-1"), context_tag("context-1"), context_tag(CONTEXT)}
    assert set(use.tags) == expected
    assert len(expected) == 3
    assert customer_tag("c-1") != context_tag("c-1")


@FAMILIES
async def test_an_answer_without_context_and_customer_is_found_by_neither(family):
    use = await cache_use(ask_of(family, REQUESTS[family]()), "m", "", "http://gateway")

    assert use.tags == ()


@FAMILIES
async def test_what_is_not_said_is_thirty_days_and_nothing_else(family):
    request = REQUESTS[family](response_cache=pb.ResponseCachePolicy(enabled=True))

    use = await cache_use(ask_of(family, request), "m", "", "http://gateway")

    assert (use.ttl.days, use.ttl.seconds, use.refresh) == (30, 0, False)


# Golden vectors.


def request_of(vector):
    return json_format.ParseDict(vector["request"], REQUESTS[vector["family"]]())


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["what"])
def test_a_golden_vector_keeps_its_key(vector):
    scope = Scope(**vector["scope"])

    assert key_of(vector["family"], request_of(vector), scope) == vector["key"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["what"])
def test_a_golden_vector_is_the_hash_of_what_it_says_is_hashed(vector):
    parts = [text.encode() for text in vector["texts"]] + [bytes.fromhex(vector["rest"])]
    hashed = b"".join(len(part).to_bytes(8, "big") + part for part in parts)

    assert hashlib.sha256(hashed).hexdigest() == vector["key"]


def test_golden_vectors_of_one_key_are_those_that_say_so():
    keys = {vector["what"]: vector["key"] for vector in VECTORS}
    same = {vector["what"]: vector["same_as"] for vector in VECTORS if "same_as" in vector}

    assert {what: keys[other] for what, other in same.items()} == {w: keys[w] for w in same}
    assert len(set(keys.values())) == len(keys) - len(same)
    assert len(keys) == len(VECTORS)
