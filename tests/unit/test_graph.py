"""Pictures of definitions and of sagas: what they tell, and that nothing in them can break them."""

import re
from dataclasses import replace
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from matplotlib import get_data_path
from PIL import ImageFont

from saga import Saga, compensatable, manual, nothing_to_compensate, pivot, retriable, skip
from saga.errors import DefinitionNotFound
from saga.graph import Picture, Where, definition, definition_of, drawn_as, mermaid, svg
from saga.graph.layout import width, wrapped
from saga.graph.svg import NARROW, WIDTH
from saga.graph.where import Activity
from saga.graph.words import duration, waits
from saga.position import Status
from saga.registry import Registry
from saga.retry import RetryPolicy
from saga.task import Effect
from tests.unit.positions import (
    State,
    ask,
    call,
    cleanup,
    device,
    letter,
    refund,
    sql,
    sql_back,
    visit,
)
from tests.unit.test_public_names import EVENT_KINDS

pytestmark = pytest.mark.unit

ID = "7f3c2b1e-4a55-4e0c-9f7a-0c1d2e3f4a5b"
NASTY = 'ask "Ann" <ann@example.org> & `see` #3; end\x1b *now* ]]> %% subgraph'


def huge() -> Saga[Any]:
    """Twelve steps with long names, one compensated by a person with much to be told."""
    name = "device_creation_in_every_region_of_the_world_at_once"
    back = [
        sql_back(f"{name}.give_back_the_capacity_of_the_device_in_a_zone_far_away"),
        nothing_to_compensate,
        manual(f"{NASTY} " * 20),
    ]
    steps = [
        compensatable(
            call(f"{name}.reserve_the_capacity_for_the_device_in_zone_{i}_of_the_largest_region"),
            compensation=back[i] if i < len(back) else nothing_to_compensate,
        )
        for i in range(7)
    ]
    wide = "w" * 60
    middle = pivot(call(f"{name}.{wide}"), probe=ask(f"{name}.is_{wide}_there_or_not_{wide}"))
    last = [retriable(sql(f"{name}.end_{i}")) for i in range(4)]
    return Saga(
        name=name, version=1, state=State, timeout=timedelta(days=1), steps=[*steps, middle, *last]
    )


def where(saga: Saga[Any], status: Status, step: Any, **told: Any) -> Where:
    """A saga that stands at ``step``; ``effects`` are those of the first steps, in order."""
    names = [each.name for each in saga.steps]
    told["effects"] = dict(zip(names, told.get("effects", []), strict=False))
    return Where(
        **{"saga_id": ID, "attempts": {}, "why": "it is so", **told}, status=status, step=step.name
    )


def words(picture: Picture) -> list[str]:
    """All that the SVG says where it can be seen."""
    drawn = ET.fromstring(svg(picture))
    return [text.text or "" for text in drawn.iter() if text.tag.endswith("}text")]


DEFINITIONS = [drawn_as(saga) for saga in (refund, device, letter, visit, cleanup, huge())]
SITUATIONS = [
    drawn_as(
        saga,
        where(
            saga,
            status,
            step.action,
            effects=[effect] * len(saga.steps),
            activity=activity,
            waits_for=f"the signal {NASTY}",
            attempts={step.name: 4},
            why=f"nobody knows: {NASTY}" * 20,
        ),
    )
    for saga, status, effect, activity in product(
        (refund, visit, cleanup), Status, Effect, [None, Activity.WAITING, Activity.FAILED]
    )
    for step in (saga.steps[0], saga.steps[-1])
]
SITUATIONS += [
    drawn_as(huge(), replace(at.where, status=Status.FAILED, step=f"{huge().name}.end_3"))
    for at in SITUATIONS[:6]
    if at.where is not None
]

# The longest words there are, side by side.
SITUATIONS.append(
    drawn_as(
        device,
        where(
            device,
            Status.COMPENSATING,
            device.steps[1].action,
            effects=[Effect.COMPENSATION_FAILED] * len(device.steps),
            activity=Activity.COMPENSATING,
            attempts={step.name: 12 for step in device.steps},
        ),
    )
)


# What is told


def test_a_definition_tells_steps_roles_kinds_compensations_probes_and_limits() -> None:
    saga = Saga(
        name="refund",
        version=3,
        state=State,
        timeout=timedelta(minutes=90),
        steps=[
            compensatable(
                sql("refund.take"),
                compensation=sql_back("refund.give_back"),
                retry=RetryPolicy(retries=1),
                compensation_retry=RetryPolicy(retries=0),
            ),
            compensatable(sql("refund.look"), compensation=nothing_to_compensate),
            pivot(
                call("refund.call"),
                probe=ask("refund.find"),
                timeout=timedelta(seconds=90),
                compensation=manual("look at the account"),
            ),
            retriable(sql("refund.book"), compensation=sql_back("refund.reopen")),
        ],
    )
    picture = drawn_as(saga)

    for told in (" ".join(words(picture)), mermaid(picture), " ".join(picture.told())):
        plain = told.replace("<br/>", " ")
        for word in (
            *("take", "look", "call", "book", "give_back", "reopen", "find"),
            *("compensatable", "pivot", "retriable", "transactional", "external"),
            *("1 retry", "no retries", "timeout 1 min 30 s", "timeout 10 s"),
            *("nothing to compensate", "look at the account", "if a person orders it"),
        ):
            assert word in plain
        assert "refund." not in plain
    assert "version 3 · timeout 1 h 30 min" in words(picture)
    assert {"COMPLETED", "COMPENSATED", "FAILED", "no way back from here"} <= set(words(picture))


def test_a_step_that_may_be_skipped_is_drawn_as_such_and_leads_to_no_failure() -> None:
    steps = [pivot(sql("parcel.send")), retriable(call("parcel.tell"), give_up=skip)]
    parcel = Saga(name="parcel", version=1, state=State, timeout=timedelta(minutes=5), steps=steps)
    gone = where(parcel, Status.COMPLETED, steps[1], effects=[Effect.DONE, Effect.UNKNOWN])

    for picture, word in (
        (drawn_as(parcel), "3 retries · timeout 30 s · skipped if it fails"),
        (drawn_as(parcel, gone), "skipped"),
    ):
        assert word in words(picture)
        assert word in mermaid(picture)
        assert word in " ".join(picture.told())
        assert "step1 -.-> failed" in mermaid(picture)


@pytest.mark.parametrize(
    ("saga", "before"), [(refund, 2), (device, 4), (letter, 1), (cleanup, 0), (visit, None)]
)
def test_the_line_of_no_return_comes_after_the_pivot(saga: Saga[Any], before: int | None) -> None:
    picture = drawn_as(saga)

    assert picture.no_return == before
    assert ("no way back from here" in words(picture)) is (before is not None)
    assert ("no way back from here" in mermaid(picture)) is (before is not None)
    assert ("COMPENSATED" in words(picture)) is (before != 0)
    assert ("COMPENSATED" in mermaid(picture)) is (before != 0)


@pytest.mark.parametrize("effect", Effect)
def test_every_effect_is_told_in_words_too(effect: Effect) -> None:
    picture = drawn_as(refund, where(refund, Status.COMPENSATED, refund.steps[0], effects=[effect]))
    said = effect.replace("_", " ")

    assert said in words(picture)
    assert said in mermaid(picture)
    assert f"effect {said}" in " ".join(picture.told())


@pytest.mark.parametrize("activity", Activity)
def test_where_a_saga_stands_is_marked_once_and_told_in_words(activity: Activity) -> None:
    at = where(refund, Status.RUNNING, refund.steps[1], activity=activity, effects=[Effect.DONE])

    picture = drawn_as(refund, at)

    said = "FAILED" if activity is Activity.FAILED else activity.value
    assert said in words(picture)
    assert svg(picture).count('class="card here ') == 1
    assert said in mermaid(picture)
    assert re.findall(r"class (\w+) here", mermaid(picture)) == ["step2"]


@pytest.mark.parametrize(
    "status", [Status.COMPLETED, Status.COMPENSATED, Status.TIMEOUT, Status.FAILED]
)
def test_the_end_that_a_saga_came_to_is_marked(status: Status) -> None:
    picture = drawn_as(refund, where(refund, status, refund.steps[0]))

    assert re.findall(r'<rect [^>]*rx="14" class="\w+ on here"', svg(picture))
    assert words(picture).count(status) == 2
    [marked] = re.findall(r"class (\w+) here", mermaid(picture))
    assert f'{marked}(["{status}' in mermaid(picture)


def test_a_saga_tells_its_id_why_what_it_waits_for_and_how_often_it_tried() -> None:
    step = refund.steps[1]
    at = where(
        refund,
        Status.RUNNING,
        step,
        activity=Activity.WAITING,
        waits_for="its probe",
        attempts={step.name: 4},
        why="nobody knows whether refund.call took effect",
    )

    said = words(drawn_as(refund, at))

    assert ID in said
    assert "nobody knows whether call took effect" in said
    assert "waiting for its probe · tried 4 times" in said
    assert "waiting for its probe · tried 4 times" in mermaid(drawn_as(refund, at))


# Nothing breaks them


def test_every_svg_is_well_formed_stands_alone_and_is_told_to_who_cannot_see_it() -> None:
    for picture in DEFINITIONS + SITUATIONS:
        drawn = svg(picture)
        root = ET.fromstring(drawn)
        title, desc = root[0], root[1]
        assert root.get("role") == "img"
        assert root.get("aria-labelledby") == f"{title.get('id')} {desc.get('id')}"
        assert picture.saga_type in (title.text or "")
        assert all(box.name in (desc.text or "") for box in picture.boxes)
        assert root.get("viewBox") == f"0 0 {root.get('width')} {root.get('height')}"
        assert not re.search(r"<script|<a\b|href|url\(|@import|@font-face|\bon\w+=", drawn)
        assert "prefers-color-scheme:dark" in drawn
        styled = [
            rule for rule in drawn.split("<style>")[1].split("</style>")[0].split("\n") if rule
        ]
        assert all(rule.startswith((".saga-graph ", "@media", "}")) for rule in styled)


def test_a_picture_in_a_page_leaves_style_and_head_to_it() -> None:
    for picture in DEFINITIONS + SITUATIONS:
        drawn = svg(picture, standalone=False)
        ET.fromstring(drawn)
        assert not re.search(r'<style|style=|class="paper"', drawn)


def test_ids_are_apart_in_a_page_that_has_pictures_of_two_versions_in_two_widths() -> None:
    versions = [drawn_as(refund), replace(drawn_as(refund), version=refund.version + 1)]
    drawn = "".join(
        svg(picture, standalone=False, width=width)
        for picture in (*versions, SITUATIONS[0])
        for width in (WIDTH, NARROW)
    )
    ids = re.findall(r' id="([^"]+)"', drawn)

    assert len(ids) == len(set(ids)) == 12
    assert re.findall(r'aria-labelledby="([^"]+)"', drawn) == [
        f"{title} {desc}" for title, desc in zip(ids[::2], ids[1::2], strict=True)
    ]


@pytest.mark.parametrize("most", [WIDTH, NARROW])
def test_no_text_leaves_its_card(most: int) -> None:
    for picture in DEFINITIONS + SITUATIONS:
        root = ET.fromstring(svg(picture, width=most))
        height = float(root.get("height") or 0)
        for text in root.iter("{http://www.w3.org/2000/svg}text"):
            size, monospace = (
                float(text.get("font-size") or 0),
                "m" in str(text.get("class")).split(),
            )
            wide = width(text.text or "", size, monospace=monospace)
            left = float(text.get("x") or 0) - wide / 2 * (text.get("text-anchor") == "middle")
            assert left >= 0
            assert left + wide <= most - 18, text.text
            assert 0 < float(text.get("y") or 0) < height


@pytest.mark.parametrize("most", [WIDTH, NARROW])
def test_cards_and_ends_stand_below_each_other(most: int) -> None:
    card = re.compile(rf'<rect x="24" y="([\d.]+)" width="{most - 84}" height="([\d.]+)"')
    for picture in DEFINITIONS + SITUATIONS:
        frames = card.findall(svg(picture, width=most))
        assert len(frames) == len(picture.boxes)
        below = 0.0
        for top, height in frames:
            assert float(top) > below
            below = float(top) + float(height)


@pytest.mark.parametrize(
    ("retries", "said"),
    [
        (0, ""),
        (2, "after 2 s, 4 s"),
        (4, "after 2 s, 4 s, 8 s, 16 s"),
        (10, "after 2 s, 4 s, 8 s … 10 min"),
    ],
)
def test_the_waits_before_retries_are_told_in_a_few_words(retries: int, said: str) -> None:
    assert waits(RetryPolicy(retries=retries)) == said


LABEL = r'"[^"<#`]*(?:(?:<b>|</b>|<br/>|#\d+;)[^"<#`]*)*"'
NODE = re.compile(rf"(\w+)(?:\[{LABEL}\]|\({LABEL}\)|\(\[{LABEL}\]\)|\{{\{{{LABEL}\}}\}})")
EDGE = re.compile(rf"(\w+) (?:-->|-\.->|-\.-|==>\|{LABEL}\|) (\w+)")


def test_every_mermaid_chart_has_only_sound_lines_and_edges_between_its_nodes() -> None:
    for picture in DEFINITIONS + SITUATIONS:
        first, *lines = mermaid(picture).removesuffix("\n").split("\n")
        nodes = [found[1] for line in lines if (found := NODE.fullmatch(line.strip()))]
        edges = [found for line in lines if (found := EDGE.fullmatch(line.strip()))]
        styles = [
            line
            for line in lines
            if re.match(r"    (classDef \w+ \S+( 4)?|class [\w,]+ \w+)$", line)
        ]

        assert first == "flowchart TD"
        assert len(nodes) + len(edges) + len(styles) == len(lines)
        assert len(set(nodes)) == len(nodes)
        assert {node for edge in edges for node in edge.groups()} <= set(nodes)
        assert "end" not in nodes
        defined = set(re.findall(r"classDef (\w+)", mermaid(picture)))
        assert set(re.findall(r"class [\w,]+ (\w+)", mermaid(picture))) <= defined


def test_what_mermaid_or_html_would_read_is_written_as_numbers() -> None:
    saga = replace(visit, steps=[compensatable(sql("visit.end"), compensation=manual(NASTY))])

    told = mermaid(drawn_as(saga))

    assert "ask #34;Ann#34; #60;ann#64;example.org#62; #38; #96;see#96; #35;3#59;" in told.replace(
        "<br/>", " "
    )


# Lines of text


def test_text_is_broken_after_underscores_and_never_lost_but_at_the_end() -> None:
    def fits(line: str) -> bool:
        return len(line) <= 10

    assert wrapped("call_provider_refund", fits=fits, most=3) == ["call_", "provider_", "refund"]
    assert wrapped("  a  word\nor two ", fits=fits, most=3) == ["a word or", "two"]
    assert wrapped("x" * 25, fits=fits, most=3) == ["x" * 10, "x" * 10, "x" * 5]
    assert wrapped("one two three four five", fits=fits, most=2) == ["one two", "three fou…"]
    assert wrapped("", fits=fits, most=2) == []


@pytest.mark.parametrize("text", ["call_provider_refund", "WWW MMM mmm", "illicit; fjord, 10 s"])
@pytest.mark.parametrize("file", ["DejaVuSans.ttf", "DejaVuSansMono.ttf"])
def test_text_is_never_wider_than_it_is_taken_for(text: str, file: str) -> None:
    font = ImageFont.truetype(Path(get_data_path()) / "fonts" / "ttf" / file, 100)

    assert font.getlength(text) <= width(text, 100, monospace="Mono" in file)


@pytest.mark.parametrize(
    ("time", "said"),
    [
        (timedelta(seconds=30), "30 s"),
        (timedelta(minutes=90), "1 h 30 min"),
        (timedelta(days=2, minutes=1, seconds=1), "2 d 1 min"),
        (timedelta(milliseconds=250), "250 ms"),
        (timedelta(microseconds=1), "0 s"),
    ],
)
def test_durations_are_told_by_their_two_largest_units(time: timedelta, said: str) -> None:
    assert duration(time) == said


# Which definition, and where


def event(kind: str, **detail: Any) -> dict[str, Any]:
    return {"kind": kind, "step": "refund.call", "detail": detail}


def shown(status: str, *kinds: str | dict[str, Any], saga: Saga[Any] = refund) -> dict[str, Any]:
    steps = [
        {"name": step.name, "role": step.role.value, "effect": "done", "attempts": 1}
        for step in saga.steps
    ]
    told = {"sagaId": ID, "sagaType": saga.name, "status": status, "currentStep": "refund.call"}
    events = [event(kind) if isinstance(kind, str) else kind for kind in kinds]
    return {"saga": told, "steps": steps, "events": events, "why": "so"}


FAILED_ONCE = ("started", "step_done", "attempt_started", "attempt_failed")
PROBING = (*FAILED_ONCE, "attempt_started", "probe_planned")


@pytest.mark.parametrize(
    ("told", "activity", "waits_for"),
    [
        (shown("RUNNING", "started"), Activity.RUNNING, None),
        (shown("RUNNING", *FAILED_ONCE), Activity.WAITING, "the next attempt"),
        (shown("RUNNING", *FAILED_ONCE, "attempt_started"), Activity.RUNNING, None),
        (shown("RUNNING", *FAILED_ONCE, "dispatched"), Activity.RUNNING, None),
        (shown("RUNNING", *FAILED_ONCE, "overdue"), Activity.WAITING, "the next attempt"),
        (shown("RUNNING", *PROBING), Activity.WAITING, "its probe"),
        (
            shown("RUNNING", *PROBING, "dispatched", "attempt_started"),
            Activity.WAITING,
            "its probe",
        ),
        (shown("RUNNING", *PROBING, "attempt_started", "step_done"), Activity.RUNNING, None),
        (shown("RUNNING", "accepted"), Activity.WAITING, "the final word"),
        (shown("RUNNING", "accepted", "signalled"), Activity.RUNNING, None),
        (shown("RUNNING", "sleeping", "signal_received"), Activity.WAITING, "its time"),
        (
            shown("RUNNING", event("waiting", signal="paid")),
            Activity.WAITING,
            "the signal paid",
        ),
        (shown("RUNNING", *FAILED_ONCE, "paused"), Activity.PAUSED, None),
        (
            shown("RUNNING", *FAILED_ONCE, "paused", "resumed"),
            Activity.WAITING,
            "the next attempt",
        ),
        (shown("RUNNING", "paused", "failed", "retried"), Activity.RUNNING, None),
        (shown("COMPENSATING", *FAILED_ONCE, "compensating"), Activity.COMPENSATING, None),
        (
            shown("COMPENSATING", "compensating", "attempt_failed"),
            Activity.WAITING,
            "the next attempt",
        ),
        (shown("FAILED", "paused", "failed"), Activity.FAILED, None),
        (shown("COMPENSATED", "attempt_failed", "compensated"), None, None),
        (shown("COMPLETED", "completed"), None, None),
    ],
)
def test_what_goes_on_is_read_from_what_happened(
    told: dict[str, Any], activity: Activity | None, waits_for: str | None
) -> None:
    at = Where.of(told)

    assert (at.activity, at.waits_for) == (activity, waits_for)
    assert {each["kind"] for each in told["events"]} <= EVENT_KINDS


def test_a_saga_is_drawn_by_the_definition_that_it_goes_by() -> None:
    older = replace(refund, steps=refund.steps[:-1])
    newer = replace(refund, version=2)
    registry = Registry([older, newer, visit])

    assert definition_of(registry, shown("RUNNING", saga=older)) is older
    assert definition_of(registry, shown("RUNNING", saga=newer)) is newer
    assert definition_of(Registry([newer, refund]), shown("RUNNING")) is newer
    assert definition(registry, "refund") is newer
    assert definition(registry, "refund", 1) is older


def test_a_definition_that_is_not_known_is_told_with_those_that_are() -> None:
    registry = Registry([refund, visit])
    unknown = shown("RUNNING", saga=replace(refund, steps=refund.steps[:-1]))

    for ask_for in (
        lambda: definition(registry, "sale"),
        lambda: definition(registry, "refund", 7),
        lambda: definition_of(registry, unknown),
    ):
        with pytest.raises(DefinitionNotFound):
            ask_for()
    with pytest.raises(DefinitionNotFound, match=r"there are: refund, visit$"):
        definition(registry, "sale")
    with pytest.raises(DefinitionNotFound, match=r"no version 7 of refund; there are: 1$"):
        definition(registry, "refund", 7)
    with pytest.raises(DefinitionNotFound, match=f"saga {ID} .* does not know; there are: refund"):
        definition_of(registry, unknown)
    with pytest.raises(DefinitionNotFound, match=r"none$"):
        definition(Registry([]), "sale")
