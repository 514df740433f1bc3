import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextbridge_emulator import count_tokens
from contextbridge_emulator.answers import Answer, Limits, Prompt, Tool, answer
from contextbridge_emulator.samples import sample


def ask(text: str, *, max_tokens: int | None = None, stops: tuple[str, ...] = ()) -> Answer:
    return answer(Prompt(model="echo", user_texts=[text]), Limits(max_tokens, stops))


@pytest.mark.parametrize(
    "text,said",
    [
        ("Hi", 'You said: "Hi". (turn 1)'),
        ("say: so", "so"),
        ("say: ", ""),
        ("count to 3", "1 2 3"),
        ("Count To 1", "1"),
        ("count to 0", ""),
        ("recall turn 1", "recall turn 1"),
        ("recall turn 9", "There was no such turn."),
    ],
)
def test_answers_follow_from_the_last_text(text: str, said: str) -> None:
    assert ask(text).text == said


def test_an_answer_quotes_the_beginning_of_its_context() -> None:
    prompt = Prompt(model="echo", user_texts=["a", "b"], context="x" * 100)
    assert answer(prompt, Limits()).text == (
        f'You said: "b". The context says: "{"x" * 80}". (turn 2)'
    )


def test_counting_has_an_end() -> None:
    counted = ask("count to 9999999")
    assert counted.text.endswith(" 1000000")


@given(st.text(), st.integers(1, 20))
def test_a_limit_is_never_exceeded(text: str, room: int) -> None:
    cut = ask(f"say: {text}", max_tokens=room)
    assert cut.tokens == count_tokens(cut.text) <= room
    assert text.startswith(cut.text)
    assert (cut.finish == "length") is (cut.text != text)


def test_an_answer_ends_before_the_first_stop() -> None:
    stopped = ask("say: one two three", stops=("three", " two", "", "x"))
    assert (stopped.text, stopped.finish, stopped.tokens) == ("one", "stop", 1)


@pytest.mark.parametrize(
    "schema,value",
    [
        (None, "t"),
        ({}, "t"),
        ({"type": "STRING"}, "t"),
        ({"type": ["null", "integer"]}, 7),
        ({"type": ["null"]}, None),
        ({"type": "number"}, 1.5),
        ({"type": "boolean"}, True),
        ({"enum": ["a", "b"]}, "a"),
        ({"type": "array", "items": {"type": "integer"}}, [7]),
        ({"properties": {"a": {}}}, {"a": "t"}),
        ({"type": "object"}, {}),
    ],
)
def test_samples_satisfy_their_schema(schema: object, value: object) -> None:
    assert sample(schema, "t") == value


def test_arguments_of_a_tool_are_always_an_object() -> None:
    prompt = Prompt(
        model="echo",
        user_texts=["x"],
        tools=[Tool("a", {"type": "string"}), Tool("b")],
        call_tools=True,
    )
    called = answer(prompt, Limits())
    assert [(call.name, call.arguments) for call in called.calls] == [("a", {})]
    assert called.finish == "tool_calls"
