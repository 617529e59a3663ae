"""The first tables: sagas, what happened to them, and who is alive."""

SQL = """
CREATE TABLE saga_state (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    saga_id            uuid NOT NULL,
    saga_type          text NOT NULL,
    definition_version integer NOT NULL,
    current_step       text NOT NULL,
    step_index         integer NOT NULL,
    state              jsonb NOT NULL,
    effects            jsonb NOT NULL DEFAULT '{}',
    status             text NOT NULL,
    error_message      text,
    retry_count        integer NOT NULL DEFAULT 0,
    max_retries        integer NOT NULL,
    attempt            integer NOT NULL DEFAULT 0,
    version            bigint NOT NULL DEFAULT 1,
    epoch              integer NOT NULL DEFAULT 1,
    dispatches         integer NOT NULL DEFAULT 0,
    claimed_by         uuid,
    claim_deadline     timestamptz,
    call_ended_at      timestamptz,
    wake_at            timestamptz,
    not_before         timestamptz,
    waiting_for        text,
    stop_reason        text,
    look_at            text,
    looks              integer NOT NULL DEFAULT 0,
    overdue            boolean NOT NULL DEFAULT false,
    unknown_since      timestamptz,
    business_key       text,
    holds_key          boolean NOT NULL DEFAULT true,
    idempotency_key    text,
    input_hash         text,
    timeout_at         timestamptz NOT NULL,
    started_at         timestamptz NOT NULL,
    completed_at       timestamptz,
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL,
    metadata           jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT saga_state_saga_id_key UNIQUE (saga_id),
    CONSTRAINT saga_state_status_is_known CHECK (
        status IN ('RUNNING', 'COMPLETED', 'COMPENSATING', 'COMPENSATED', 'TIMEOUT', 'FAILED')),
    CONSTRAINT saga_state_waiting_for_is_known CHECK (
        waiting_for IN ('probe', 'poll', 'second_look')),
    CONSTRAINT saga_state_stop_reason_is_known CHECK (
        stop_reason IN ('refused', 'gave_up', 'timeout')),
    CONSTRAINT saga_state_claim_is_whole CHECK (
        (claimed_by IS NULL) = (claim_deadline IS NULL)),
    CONSTRAINT saga_state_claim_is_watched CHECK (
        claimed_by IS NULL OR wake_at IS NOT NULL),
    CONSTRAINT saga_state_work_is_watched CHECK (
        status NOT IN ('RUNNING', 'COMPENSATING') OR wake_at IS NOT NULL),
    CONSTRAINT saga_state_parked_is_unclaimed CHECK (
        status NOT IN ('COMPLETED', 'FAILED') OR (claimed_by IS NULL AND wake_at IS NULL)),
    CONSTRAINT saga_state_rest_is_dated CHECK (
        (status IN ('COMPLETED', 'COMPENSATED', 'TIMEOUT')) = (completed_at IS NOT NULL)),
    CONSTRAINT saga_state_going_back_has_a_reason CHECK (
        status NOT IN ('COMPENSATING', 'COMPENSATED', 'TIMEOUT') OR stop_reason IS NOT NULL),
    CONSTRAINT saga_state_timeout_means_time_ran_out CHECK (
        status NOT IN ('COMPENSATED', 'TIMEOUT')
        OR (status = 'TIMEOUT') = (stop_reason = 'timeout')),
    CONSTRAINT saga_state_compensated_has_no_open_effect CHECK (
        status NOT IN ('COMPENSATED', 'TIMEOUT') OR NOT jsonb_path_exists(
            effects, '$.* ? (@ == "done" || @ == "unknown" || @ == "compensation_failed")')),
    CONSTRAINT saga_state_key_is_held_by_open_sagas CHECK (
        CASE status WHEN 'FAILED' THEN true
                    ELSE holds_key = (status IN ('RUNNING', 'COMPENSATING')) END),
    CONSTRAINT saga_state_counts_are_not_negative CHECK (
        attempt >= 0 AND retry_count >= 0 AND dispatches >= 0 AND epoch >= 1 AND version >= 1)
);
CREATE UNIQUE INDEX saga_state_idempotency_key
    ON saga_state (saga_type, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE UNIQUE INDEX saga_state_business_key_of_open
    ON saga_state (business_key) WHERE holds_key;
CREATE INDEX saga_state_due ON saga_state (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX saga_state_by_type ON saga_state (saga_type, status, created_at);
CREATE INDEX saga_state_by_age ON saga_state (created_at);

CREATE TABLE saga_event (
    saga_id  uuid NOT NULL,
    seq      bigint NOT NULL,
    at       timestamptz NOT NULL,
    kind     text NOT NULL,
    step     text,
    attempt  integer,
    epoch    integer NOT NULL,
    task_id  text,
    worker   text,
    duration interval,
    actor    text,
    detail   jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT saga_event_pkey PRIMARY KEY (saga_id, seq)
);
CREATE FUNCTION saga_event_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'saga_event is append-only: what happened stays';
END $$;
CREATE TRIGGER saga_event_is_append_only BEFORE UPDATE ON saga_event
    FOR EACH ROW EXECUTE FUNCTION saga_event_is_append_only();

CREATE TABLE saga_pulse (
    name   text CONSTRAINT saga_pulse_pkey PRIMARY KEY,
    at     timestamptz NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}'
);
"""
