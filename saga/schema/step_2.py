"""Waiting, pausing and deciding by hand: signals, pauses, and where a FAILED saga came from."""

SQL = """
ALTER TABLE saga_state
    ADD COLUMN signal      text,
    ADD COLUMN polls       integer NOT NULL DEFAULT 0,
    ADD COLUMN generations jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN paused      text,
    ADD COLUMN paused_at   timestamptz,
    ADD COLUMN failed_from text;
UPDATE saga_state SET failed_from = CASE
    WHEN EXISTS (SELECT FROM saga_event AS e WHERE e.saga_id = saga_state.saga_id
                 AND e.kind = 'timed_out') THEN 'TIMEOUT'
    WHEN EXISTS (SELECT FROM saga_event AS e WHERE e.saga_id = saga_state.saga_id
                 AND e.kind = 'compensated') THEN 'COMPENSATED'
    WHEN EXISTS (SELECT FROM saga_event AS e WHERE e.saga_id = saga_state.saga_id
                 AND e.kind = 'compensating') THEN 'COMPENSATING'
    ELSE 'RUNNING' END
WHERE status = 'FAILED';
ALTER TABLE saga_state
    DROP CONSTRAINT saga_state_waiting_for_is_known,
    DROP CONSTRAINT saga_state_stop_reason_is_known,
    DROP CONSTRAINT saga_state_work_is_watched,
    ADD CONSTRAINT saga_state_waiting_for_is_known CHECK (
        waiting_for IN ('probe', 'poll', 'signal', 'sleep', 'second_look')),
    ADD CONSTRAINT saga_state_stop_reason_is_known CHECK (
        stop_reason IN ('refused', 'gave_up', 'timeout', 'cancelled', 'ordered')),
    ADD CONSTRAINT saga_state_work_is_watched CHECK (
        status NOT IN ('RUNNING', 'COMPENSATING') OR wake_at IS NOT NULL OR paused IS NOT NULL),
    ADD CONSTRAINT saga_state_signal_is_waited_for CHECK (
        CASE waiting_for WHEN 'signal' THEN signal IS NOT NULL
                         WHEN 'poll' THEN true
                         ELSE signal IS NULL END),
    ADD CONSTRAINT saga_state_paused_is_known CHECK (paused IN ('saga', 'type', 'step')),
    ADD CONSTRAINT saga_state_pause_is_dated CHECK ((paused IS NULL) = (paused_at IS NULL)),
    ADD CONSTRAINT saga_state_only_work_is_paused CHECK (
        paused IS NULL OR status IN ('RUNNING', 'COMPENSATING')),
    ADD CONSTRAINT saga_state_failed_from_is_known CHECK (
        failed_from IN ('RUNNING', 'COMPENSATING', 'COMPENSATED', 'TIMEOUT')),
    ADD CONSTRAINT saga_state_failed_came_from_somewhere CHECK (
        (status = 'FAILED') = (failed_from IS NOT NULL)),
    ADD CONSTRAINT saga_state_polls_are_not_negative CHECK (polls >= 0);

CREATE TABLE saga_signal (
    id          bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT saga_signal_pkey PRIMARY KEY,
    saga_id     uuid NOT NULL,
    name        text NOT NULL,
    signal_id   text NOT NULL,
    payload     jsonb NOT NULL,
    actor       text,
    received_at timestamptz NOT NULL,
    consumed_at timestamptz,
    CONSTRAINT saga_signal_signal_id_key UNIQUE (saga_id, signal_id)
);
CREATE INDEX saga_signal_unconsumed
    ON saga_signal (saga_id, name, id) WHERE consumed_at IS NULL;

CREATE TABLE saga_pause (
    id            bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT saga_pause_pkey PRIMARY KEY,
    saga_type     text NOT NULL,
    step          text,
    at            timestamptz NOT NULL,
    actor         text NOT NULL,
    reason        text NOT NULL,
    resumed_at    timestamptz,
    resumed_by    text,
    resume_reason text,
    lifted_at     timestamptz,
    CONSTRAINT saga_pause_resume_is_whole CHECK (
        (resumed_at IS NULL) = (resumed_by IS NULL)
        AND (resumed_at IS NULL) = (resume_reason IS NULL)),
    CONSTRAINT saga_pause_lift_follows_resume CHECK (
        lifted_at IS NULL OR resumed_at IS NOT NULL)
);
CREATE UNIQUE INDEX saga_pause_of_type
    ON saga_pause (saga_type) WHERE resumed_at IS NULL AND step IS NULL;
CREATE UNIQUE INDEX saga_pause_of_step
    ON saga_pause (saga_type, step) WHERE resumed_at IS NULL AND step IS NOT NULL;
"""
