"""Guards around devices: their quotas, their ports, and whose a container is."""

from functools import partial

from tests.mutants.mutant import Mutant, tests

_steps = partial(Mutant, file="tasks/device_creation.py", guard="quota")
_ports = partial(Mutant, file="tasks/device_ports.py", guard="port")
_container = partial(Mutant, file="tasks/device_container.py", guard="container")
_deletion = partial(Mutant, file="tasks/device_deletion.py", guard="container")
_late = partial(Mutant, file="workflows/sweeping/late_containers.py", guard="container")
_CREATION, _DELETION = "integration/test_device_creation", "integration/test_device_deletion"
_QUOTAS, _TWINS = "integration/test_device_quotas", "integration/test_device_twins"

DEVICES = (
    _steps(
        name="a quota is reserved without its row's lock",
        before="session.get(DeviceQuota, state.user_id, with_for_update=True)",
        after="session.get(DeviceQuota, state.user_id)",
        killed_by=tests(_QUOTAS, "test_who_waits_for_a_quota_sees_what_was_reserved_meanwhile"),
    ),
    _steps(
        name="a quota that expired while its row was waited for is taken for good",
        before="select(func.clock_timestamp())",
        after="select(func.now())",
        killed_by=tests(
            _QUOTAS, "test_a_quota_that_expires_while_the_saga_waits_for_its_row_is_over"
        ),
    ),
    _steps(
        name="what is used already is reported as used once more",
        before=".where(QuotaShare.device_id == state.device_id, "
        "QuotaShare.status == ShareStatus.RESERVED)",
        after=".where(QuotaShare.device_id == state.device_id)",
        killed_by=tests(
            _CREATION, "test_a_device_whose_rows_somebody_moved_is_not_handed_to_its_user"
        ),
    ),
    _steps(
        name="a reservation outlives its device",
        before="session.execute(delete(QuotaShare).where("
        "QuotaShare.device_id == state.device_id))\n    device_ports",
        after="device_ports",
        killed_by=tests(_QUOTAS, "test_a_place_that_is_given_back_can_be_taken_at_once"),
        dies_of=("NotInQuota",),
    ),
    _ports(
        name="two choose a port at once",
        before="_choose_alone(session)\n    port =",
        after="port =",
        killed_by=tests(_QUOTAS, "test_who_waits_for_a_port_sees_what_was_reserved_meanwhile"),
    ),
    _ports(
        name="a port is replaced although its container runs",
        before="            DevicePort.is_settled.is_(False),\n",
        after="",
        killed_by=tests(
            _TWINS,
            "test_a_worker_that_saw_a_clash_and_froze_leaves_the_container_that_another_one_started",
        ),
    ),
    _ports(
        name="a late clash takes away the port that another device has by now",
        before="DevicePort.device_id == device_id,\n            DevicePort.is_settled",
        after="DevicePort.is_settled",
        killed_by=tests(
            "integration/test_device_ports",
            "test_a_clash_that_is_told_late_takes_no_port_from_the_device_that_has_it_by_now",
        ),
    ),
    _container(
        name="a refusal after a clash is taken for the word that there is no container",
        before="with _halfway() if turn else nullcontext():",
        after="with nullcontext():",
        killed_by=tests(
            _CREATION,
            "test_a_refusal_after_a_clash_does_not_hide_the_container_that_clashed",
        ),
    ),
    _container(
        name="a container whose port went to somebody else is used",
        guard="port",
        before="if _settle(state.device_id, port):",
        after="if _settle(state.device_id, port) or True:",
        killed_by=tests(
            _TWINS,
            "test_a_worker_that_thaws_when_its_saga_went_back_leaves_no_container",
            "test_whose_port_an_older_worker_replaces_takes_the_other_port",
        ),
    ),
    _container(
        name="a container is removed by the name that another one has by now",
        before="host.remove(found.id)\n            found = None",
        after="host.remove(found.name)\n            found = None",
        killed_by=tests(
            _TWINS, "test_what_is_removed_is_what_was_seen_and_not_what_bears_its_name_by_now"
        ),
    ),
    _container(
        name="a stranger's container of the name is used",
        before="if found is not None and not is_of(found, device_id):",
        after="if False:",
        killed_by=tests(
            _CREATION, "test_a_strangers_container_of_the_name_is_neither_used_nor_removed"
        ),
    ),
    _container(
        name="a stranger's container of the name is removed",
        before="if found is not None and is_of(found, device_id):",
        after="if found is not None:",
        killed_by=tests(
            _DELETION, "test_a_strangers_container_of_the_name_is_neither_stopped_nor_removed"
        ),
    ),
    _deletion(
        name="a stranger's container of the name is stopped",
        before="if found is not None and device_container.is_of(found, state.device_id):",
        after="if found is not None:",
        killed_by=tests(
            _DELETION, "test_a_strangers_container_of_the_name_is_neither_stopped_nor_removed"
        ),
    ),
    _late(
        name="a FAILED saga's container is tidied away",
        before="frozenset({Status.COMPENSATED, Status.TIMEOUT})",
        after="frozenset({Status.COMPENSATED, Status.TIMEOUT, Status.FAILED})",
        killed_by=tests(_TWINS, "test_the_container_of_a_saga_that_failed_is_for_a_person"),
    ),
    _late(
        name="a container is tidied away whose saga was woken meanwhile",
        before="if not self._late([container]):",
        after="if False:",
        killed_by=tests(
            _TWINS, "test_a_late_container_whose_saga_was_woken_meanwhile_is_left_to_a_person"
        ),
    ),
)
