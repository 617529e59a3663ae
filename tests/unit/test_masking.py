"""What a definition names as sensitive stands nowhere in what is masked."""

import time
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel, Field

from saga import NeedsPerson, Refused, Saga, pivot
from saga.errors import SagaFailed, StepFailed
from saga.masking import MASK, Mask, replaced
from saga.task import Effect, External, IdempotencyKey

pytestmark = pytest.mark.unit


class Visit(BaseModel):
    user_id: str = ""
    reason: Any = None
    home: Any = Field(default=None, serialization_alias="whereabouts")
    room: str = ""


def call(state: Visit, key: IdempotencyKey) -> Visit:  # noqa: ARG001
    return state


def visit(*sensitive: str) -> Saga[Visit]:
    return Saga(
        name="visit",
        version=1,
        state=Visit,
        timeout=timedelta(minutes=5),
        steps=[pivot(External("visit.call", call))],
        sensitive=sensitive,
    )


VISIT = visit("user_id", "reason", "home")


def mask(*earlier: dict[str, Any], **state: Any) -> Mask:
    return Mask.of(VISIT, state, *earlier)


@pytest.mark.parametrize(
    ("value", "text", "left"),
    [
        ("alice", "no user alice here", "no user *** here"),
        ("alice", "no user alice.", "no user ***."),
        ("alice", "malices", "m***s"),
        ("alice", "Alice, ALICE and aLiCe", "***, *** and ***"),
        ("bo", "bo has an elbow (bo)", "*** has an elbow (***)"),
        ("7", "7 of 17, x7 and 7", "*** of 17, x7 and ***"),
        (7, "room 7 of 17", "room *** of 17"),
        (104.5, "104.5 left, not 1045", "*** left, not 1045"),
        (123456, "card 9912345600", "card 99***00"),
        ("Grüße", "GRÜSSE? Grüße!", "GRÜSSE? ***!"),
        ("ǅabc", "to ǆabc", "to ***"),
        ("İstanbul", "in İSTANBUL today", "in *** today"),
        ("张伟", "用户张伟没有配额", "用户***没有配额"),
        ("Jürg", "b'J\\xc3\\xbcrg' and J%C3%BCrg and J\\u00fcrg", "b'***' and *** and ***"),
        ('O\'Neil "X"', "said 'O\\'Neil \"X\"'", "said '***'"),
        ("a b@c.org", "/users/a%20b%40c.org?u=a+b%40c.org", "/users/***?u=***"),
        ("two\n lines\there", "it said two lines here", "it said ***"),
        ("$^(.*", "a pattern $^(.* is text", "a pattern *** is text"),
        ("***", "stars: ***", "stars: ***"),
        ("  ", "two  spaces", "two  spaces"),
        ("", "nothing", "nothing"),
        (True, "True is true", "True is true"),
        (None, "None is null", "None is null"),
    ],
)
def test_a_value_is_hidden_however_it_is_written(value: Any, text: str, left: str) -> None:
    assert mask(reason=value).text(text) == left


def test_nothing_is_told_that_a_database_quotes_of_its_rows() -> None:
    said = "UniqueViolation: duplicate key value DETAIL:  Key (name)=(dora) already exists."

    assert mask().text(said) == "UniqueViolation: duplicate key value DETAIL: ***"
    assert mask().text('Odd: no uuid: "x" LINE 1: SELECT 7') == 'Odd: no uuid: "x" LINE 1: ***'
    assert Mask.of(visit(), {}).text(said) == said


def test_values_that_overlap_or_touch_leave_nothing_between_them() -> None:
    hides = mask(user_id="abcd", reason=["cdef", "efgh", "abab"])

    assert hides.text("-abcdefgh-") == "-***-"
    assert hides.text("-abcdcdef-") == "-***-"
    assert hides.text("-ababab-") == "-***-"


def test_a_value_within_another_hides_the_longer_one_whole() -> None:
    hides = mask(user_id="anna", reason="annabel lee")

    assert hides.text("annabel lee, anna, annabel") == "***, ***, ***bel"


def test_a_long_value_is_hidden_as_far_as_it_goes_on() -> None:
    told = "I never ordered it, and my neighbour at number 12 has it now"
    hides = mask(reason=told)

    assert hides.text(f"refused: {told}") == "refused: ***"
    assert hides.text(f"refused: {told[:40]} (cut)") == "refused: *** (cut)"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("user alice.sm… (last error)", "user ***… (last error)"),
        ("data: ...mith@here.org: odd", "data: ...***: odd"),
        ("user al…", "user al…"),
        ("it waits...", "it waits..."),
    ],
)
def test_what_is_left_of_a_value_at_a_cut_is_hidden(text: str, left: str) -> None:
    assert mask(user_id="alice.smith@here.org").text(text) == left


def test_all_that_a_field_holds_is_sensitive_at_any_depth() -> None:
    hides = mask(reason={"said": ["too late", {"by": "carla"}], "at": 1200}, room="blue")

    assert hides.text("carla was too late at 1200, in the blue room") == (
        "*** was *** at ***, in the blue room"
    )


def test_a_field_of_that_name_is_sensitive_wherever_the_state_has_it() -> None:
    hides = Mask.of(VISIT, {"room": [{"userId": "erika"}, {"whereabouts": "attic"}]})

    assert hides.text("erika is in the attic") == "*** is in the ***"


def test_json_is_hidden_by_names_in_any_case_and_by_values() -> None:
    hides = mask(user_id="alice", reason=4711)

    told = hides.values(
        {
            "userId": None,
            "user_id": {"deep": 1},
            "USER-ID": "x",
            "whereabouts": "y",
            "room": ["alice's", 4711, 4712, True, None, {"UserId": [1], "of": "alice"}],
        }
    )

    assert told == {
        "userId": MASK,
        "user_id": MASK,
        "USER-ID": MASK,
        "whereabouts": MASK,
        "room": ["***'s", MASK, 4712, True, None, {"UserId": MASK, "of": MASK}],
    }


def test_an_event_keeps_the_engines_own_names_and_loses_what_fields_were() -> None:
    hides = mask({"user_id": "alice"}, user_id="bob")

    detail = {"reason": "refused", "task": "bob.call", "businessKey": "user:bob"}

    told = hides.detail({**detail, "error": "no alice, no bob", "was": {"user_id": 5}})

    assert told == {**detail, "error": "no ***, no ***", "was": {"user_id": MASK}}


def test_an_event_tells_what_a_sensitive_field_was_only_where_that_changed() -> None:
    before = {"user_id": "alice", "reason": None, "home": "attic", "room": "blue"}

    changed = replaced(VISIT, before, {"user_id": "bob", "reason": "late", "home": "attic"})

    assert changed == {"was": {"user_id": "alice"}}
    assert replaced(VISIT, before, before) == {}
    assert replaced(visit(), before, {}) == {}


def test_nothing_of_an_unknown_definition_is_told() -> None:
    hides = Mask.of(None, {"user_id": "alice"})

    assert hides.text("whatever") == MASK
    assert hides.detail({"error": "alice", "done": 3, "last": None, "was": {"pin": 1}}) == {
        "error": MASK,
        "done": 3,
        "last": None,
        "was": {"pin": MASK},
    }


def test_without_sensitive_fields_all_is_told() -> None:
    assert Mask.of(visit(), {"user_id": "alice"}).text("alice") == "alice"


def test_a_large_state_is_masked_in_a_moment() -> None:
    many = mask(reason=[f"value {number}" for number in range(60_000)])
    long = mask(reason="a" * 1_000_000)
    began = time.process_time()

    assert many.text("whatever") == MASK
    assert long.text("a" * 5_000 + "b") == "***b"
    assert mask(reason=[f"value {number}" for number in range(500)]).text("…" * 500) == "…" * 500
    assert time.process_time() - began < 2


def test_json_that_is_too_deep_is_hidden() -> None:
    deep: Any = "alice"
    for _ in range(2_000):
        deep = [deep]

    assert "alice" not in str(mask(user_id="bob").values(deep))


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("no user alice"), StepFailed("ValueError: no user ***")),
        (Refused("no user alice", code="NO"), Refused("no user ***", code="NO")),
        (SagaFailed("ask alice"), SagaFailed("ask ***")),
        (
            NeedsPerson("ask alice", effect=Effect.NOT_DONE),
            NeedsPerson("ask ***", effect=Effect.NOT_DONE),
        ),
    ],
)
def test_an_error_keeps_its_kind_and_has_nothing_behind_it(
    error: Exception, told: Exception
) -> None:
    error.__cause__ = KeyError("alice")

    masked = mask(user_id="alice").error(error)

    assert (type(masked), str(masked)) == (type(told), str(told))
    assert vars(masked) == vars(told)
    assert masked.__cause__ is masked.__context__ is None


def test_of_an_error_whose_saga_is_unknown_only_the_class_is_told() -> None:
    assert str(Mask(hides_all=True).error(ValueError("alice"))) == "ValueError: ***"
    assert str(Mask(hides_all=True).error(Refused("alice"))) == MASK
