from gateways.payments.sandbox.faults import Fault, FaultQueue, Kind, Operation


def refund_fault(kind: Kind, *, times: int = 1, payment_no: str | None = None) -> Fault:
    return Fault(operation=Operation.REFUND, kind=kind, times=times, payment_no=payment_no)


def queue(*faults: Fault) -> FaultQueue:
    waiting = FaultQueue()
    for fault in faults:
        waiting.add(fault)
    return waiting


def kinds(faults: FaultQueue, *payment_nos: str) -> list[Kind | None]:
    taken = [faults.take(Operation.REFUND, payment_no) for payment_no in payment_nos]
    return [None if fault is None else fault.kind for fault in taken]


def test_without_faults_all_goes_well() -> None:
    assert queue().take(Operation.REFUND, "PAY1") is None


def test_faults_are_used_first_in_first_out_as_often_as_told() -> None:
    faults = queue(refund_fault(Kind.REFUSE, times=2), refund_fault(Kind.HANG))

    assert kinds(faults, "PAY1", "PAY2", "PAY1", "PAY1") == [
        Kind.REFUSE,
        Kind.REFUSE,
        Kind.HANG,
        None,
    ]


def test_a_fault_for_one_payment_waits_for_it() -> None:
    faults = queue(refund_fault(Kind.LATE, payment_no="PAY2"), refund_fault(Kind.REFUSE))

    assert kinds(faults, "PAY1", "PAY1", "PAY2") == [Kind.REFUSE, None, Kind.LATE]


def test_a_fault_of_refunds_does_not_hit_queries() -> None:
    faults = queue(refund_fault(Kind.REFUSE))

    assert faults.take(Operation.QUERY, "PAY1") is None
    assert len(faults.pending()) == 1


def test_a_query_for_an_unknown_payment_meets_only_faults_for_all() -> None:
    faults = FaultQueue()
    faults.add(Fault(operation=Operation.QUERY, kind=Kind.HANG, payment_no="PAY1"))
    faults.add(Fault(operation=Operation.QUERY, kind=Kind.SLOW))

    taken = faults.take(Operation.QUERY, None)

    assert taken is not None
    assert taken.kind is Kind.SLOW


def test_what_is_pending_counts_down() -> None:
    faults = queue(refund_fault(Kind.REFUSE, times=3))

    faults.take(Operation.REFUND, "PAY1")

    assert [fault.times for fault in faults.pending()] == [2]


def test_cleared_faults_do_not_come() -> None:
    faults = queue(refund_fault(Kind.REFUSE, times=3))

    faults.clear()

    assert kinds(faults, "PAY1") == [None]
