"""Guards of the state machine, saga/decide."""

from functools import partial

from tests.mutants.mutant import Mutant, tests

_bounds = partial(Mutant, file="saga/decide/bounds.py")
_back = partial(Mutant, file="saga/decide/back.py")
_findings = partial(Mutant, file="saga/decide/findings.py")
_forward = partial(Mutant, file="saga/decide/forward.py")

DECISIONS = (
    _forward(
        name="unknown is cleared by a later attempt",
        guard="unknown",
        before="return at.effect(at.step) if at.effect(at.step) is Effect.UNKNOWN else effect",
        after="return effect",
        killed_by=tests(
            "unit/test_decide_forward",
            "test_an_unknown_outcome_outlives_a_later_attempt_that_certainly_did_nothing",
        ),
    ),
    _forward(
        name="a refusal clears what earlier attempts may have done",
        guard="unknown",
        before="if at.effect(at.step) is Effect.UNKNOWN and not is_final:",
        after="if False:",
        killed_by=tests(
            "unit/test_decide_giving_up", "test_a_refusal_speaks_for_its_own_attempt_only"
        ),
    ),
    _forward(
        name="a lost worker's call is taken for not done",
        guard="unknown",
        before="effect = Effect.UNKNOWN if step.is_external else at.effect(at.step)",
        after="effect = at.effect(at.step)",
        killed_by=tests(
            "unit/test_decide_giving_up", "test_a_lost_call_past_the_pivot_is_left_unknown"
        ),
    ),
    _forward(
        name="the provider is not asked before going back",
        guard="probe",
        before="case _, Effect.UNKNOWN if step.probe is not None:",
        after="case _, Effect.UNKNOWN if False:",
        killed_by=tests(
            "unit/test_decide_giving_up",
            "test_when_nobody_knows_what_the_attempts_did_the_provider_is_asked",
        ),
    ),
    _forward(
        name="an unknown pivot without a probe goes back",
        guard="probe",
        before="case Role.PIVOT, Effect.UNKNOWN:",
        after="case Role.PIVOT, Effect.COMPENSATED:",
        killed_by=tests(
            "unit/test_decide_giving_up",
            "test_a_pivot_of_unknown_outcome_that_nobody_can_ask_about_needs_a_person",
        ),
    ),
    _findings(
        name="a pivot that nobody can tell about goes back",
        guard="probe",
        before="case FoundNoAnswer() if step.role is Role.PIVOT:",
        after="case FoundNoAnswer() if False:",
        killed_by=tests(
            "unit/test_decide_probes",
            "test_a_pivot_that_nobody_can_tell_about_for_an_hour_needs_a_person",
        ),
    ),
    _findings(
        name="did not happen is believed at once",
        guard="settle_after",
        before="case FoundNothing() if asked_at >= ended + settle_after(step):",
        after="case FoundNothing() if asked_at >= ended:",
        killed_by=tests("unit/test_decide_probes", "test_nothing_found_too_early_is_not_believed"),
    ),
    _findings(
        name="a slow probe's nothing is believed by when it was settled",
        guard="settle_after",
        before="if isinstance(event, FoundNothing) and event.asked_at is not None:",
        after="if False:",
        killed_by=tests("unit/test_decide_probes", "test_nothing_found_is_as_old_as_the_question"),
    ),
    _findings(
        name="a call's own timeout is left out of settle_after",
        guard="settle_after",
        before="return step.timeout + SETTLE_SLACK if",
        after="return SETTLE_SLACK if",
        killed_by=tests(
            "unit/test_decide_probes",
            "test_a_provider_is_given_the_calls_timeout_and_half_a_minute_unless_the_step_says_more",
        ),
    ),
    _findings(
        name="a call whose end nobody knows is taken for long over",
        guard="settle_after",
        before="ended = at.call_ended_at or at.now",
        after="ended = at.call_ended_at or at.now - settle_after(step)",
        killed_by=tests(
            "unit/test_decide_probes",
            "test_nothing_found_is_not_believed_when_nobody_knows_when_the_call_ended",
        ),
    ),
    _findings(
        name="what a probe did not find is not compensated",
        guard="whole way back",
        before="return go_back(saga, at, reason, {step.name: Effect.UNKNOWN})",
        after="return go_back(saga, at, reason, {step.name: Effect.NOT_DONE})",
        killed_by=tests(
            "unit/test_decide_probes",
            "test_a_step_that_a_probe_did_not_find_is_compensated_all_the_same",
        ),
    ),
    _back(
        name="steps are compensated in the order in which they ran",
        guard="reverse order",
        before="for step in reversed(saga.steps[: saga.index(at.step) + 1]):",
        after="for step in saga.steps[: saga.index(at.step) + 1]:",
        killed_by=tests(
            "unit/test_decide_compensating", "test_the_step_before_is_compensated_next"
        ),
    ),
    _back(
        name="what came to light behind the way back is not looked at",
        guard="reverse order",
        before="if at.effect(later.name) in OPEN:",
        after="if False:",
        killed_by=tests(
            "unit/test_decide_compensating",
            "test_a_pivot_that_came_to_light_behind_us_stops_the_way_back",
        ),
    ),
    _back(
        name="a compensation is tried again although the pivot came to light",
        guard="reverse order",
        before="if isinstance(move, Retry | Dispatch) and (late := came_to_light(saga, at)):",
        after="if False and (late := came_to_light(saga, at)):",
        killed_by=tests(
            "unit/test_decide_late",
            "test_a_compensation_is_not_tried_again_once_a_contradiction_came_to_light",
        ),
    ),
    _back(
        name="a person's compensation is passed by",
        guard="whole way back",
        before="""            case Manual(advice):
                by_hand = f"{step.name} must be compensated by hand: {advice}"
""",
        after="""            case Manual():
                effects[step.name] = Effect.COMPENSATED
                continue
""",
        killed_by=tests(
            "unit/test_decide_compensating",
            "test_a_step_that_only_a_person_can_compensate_ends_the_way_back",
        ),
    ),
    _back(
        name="a compensation that is refused is swallowed",
        guard="whole way back",
        before="""        case WorkerLost() if policy.allows(at.attempt):
            return Dispatch(taken_over=True)
""",
        after="""        case WorkerLost() if policy.allows(at.attempt):
            return Dispatch(taken_over=True)
        case RefusedFinally():
            return _go_on_back(saga, at)
""",
        killed_by=tests(
            "unit/test_decide_compensating",
            "test_a_compensation_that_is_refused_is_never_swallowed",
        ),
    ),
    _back(
        name="a compensation that believed too little counts",
        guard="whole way back",
        before="if believed is Effect.UNKNOWN and at.effect(step.name) is Effect.DONE:",
        after="if False:",
        killed_by=tests(
            "unit/test_decide_compensating",
            "test_a_compensation_that_believed_too_little_runs_again",
        ),
    ),
    _forward(
        name="a pivot that is done obeys the clock",
        guard="pivot rule",
        before="if index < saga.pivot_index and (reason := stop_reason(at)):",
        after="if reason := stop_reason(at):",
        killed_by=tests(
            "unit/test_decide_forward",
            "test_a_pivot_that_is_done_goes_forward_however_late_it_is",
        ),
    ),
    _forward(
        name="a step past the pivot that gives up goes back",
        guard="pivot rule",
        before="case Role.RETRIABLE, _:",
        after="case Role.RETRIABLE, Effect.COMPENSATED:",
        killed_by=tests("unit/test_decide_giving_up", "test_past_the_pivot_a_person_decides"),
    ),
    _forward(
        name="a step past the pivot that is refused goes back",
        guard="pivot rule",
        before="""    if step.role is Role.RETRIABLE:
        return _give_up""",
        after="""    if False:
        return _give_up""",
        killed_by=tests(
            "unit/test_decide_giving_up", "test_a_refusal_past_the_pivot_is_not_tried_again"
        ),
    ),
    _forward(
        name="attempts have no end",
        guard="attempt counter",
        before="if not step.retry.allows(at.attempt):",
        after="if False:",
        killed_by=tests(
            "unit/test_decide_giving_up", "test_a_first_step_that_gives_up_rests_compensated"
        ),
    ),
    _bounds(
        name="a saga's time has no end",
        guard="time",
        before="return at.stop_reason or (StopReason.TIMEOUT if at.is_over_time else None)",
        after="return at.stop_reason",
        killed_by=tests(
            "unit/test_decide_time_over", "test_a_first_step_that_is_late_rests_as_timed_out"
        ),
    ),
    _findings(
        name="a late success of what was compensated is only noted",
        guard="late success",
        before="if effect in _WENT_BACK and not went_forward:",
        after="if False:",
        killed_by=tests("unit/test_decide_late", "test_a_late_success_wakes_a_saga_that_rests"),
    ),
    _findings(
        name="a late success fails the saga under a live compensation",
        guard="late success",
        before="if at.status is Status.COMPENSATING and at.claimed:",
        after="if False:",
        killed_by=tests(
            "unit/test_decide_late",
            "test_a_compensation_at_work_is_not_disturbed_by_a_contradiction",
        ),
    ),
    _findings(
        name="nothing found beats a late success",
        guard="late success",
        before="if isinstance(event, FoundNothing) and known is Effect.DONE:",
        after="if False:",
        killed_by=tests(
            "unit/test_decide_probes",
            "test_nothing_found_is_not_believed_once_a_late_worker_said_that_it_happened",
        ),
    ),
    _findings(
        name="nobody looks a second time",
        guard="second look",
        before="{step.name: Effect.NOT_DONE}, look_at=step.name)",
        after="{step.name: Effect.NOT_DONE})",
        killed_by=tests(
            "unit/test_decide_probes",
            "test_a_pivot_that_did_not_happen_goes_back_and_is_looked_at_again",
        ),
    ),
    _findings(
        name="what a second look finds moves nothing",
        guard="second look",
        before="if isinstance(event, FoundDone):",
        after="if False:",
        killed_by=tests(
            "unit/test_decide_late", "test_a_second_look_that_finds_the_effect_needs_a_person"
        ),
    ),
)
