"""Lists and counts of sagas in the order of their start, however many there are.

Indexes only. Those of sagas at rest are apart from those of open ones: a transition of an open saga
writes to a small index, and a saga comes into a big one once, when it rests. While they are built,
sagas cannot be written: some seconds for a million.
"""

# The word before the colon. The last error of a FAILED saga follows the advice what to do. Bounded,
# for an index refuses what is very long, and with it the saga's transition.
ERROR_CLASS = (
    "coalesce(substring(error_message, '[(]last error: ([^[:space:]:]{1,100}):'), "
    "substring(error_message, '^([^[:space:]:]{1,100}):'))"
)

# DESC NULLS LAST, so that nothing else has this order: with few statistics PostgreSQL would read
# all sagas by age in search of a rare one.
SQL = f"""
DROP INDEX saga_state_by_type;
CREATE INDEX saga_state_open ON saga_state
    (status, saga_type, current_step, created_at DESC NULLS LAST, id DESC NULLS LAST)
    WHERE completed_at IS NULL;
CREATE INDEX saga_state_at_rest ON saga_state
    (status, saga_type, current_step, created_at DESC NULLS LAST, id DESC NULLS LAST)
    WHERE completed_at IS NOT NULL;
CREATE INDEX saga_state_by_key ON saga_state
    (business_key, created_at DESC NULLS LAST, id DESC NULLS LAST)
    WHERE NOT holds_key;
CREATE INDEX saga_state_by_error ON saga_state
    ({ERROR_CLASS}, status, saga_type, current_step,
     created_at DESC NULLS LAST, id DESC NULLS LAST)
    WHERE error_message IS NOT NULL;
CREATE INDEX saga_state_retrying ON saga_state
    (status, saga_type, current_step, retry_count,
     created_at DESC NULLS LAST, id DESC NULLS LAST)
    WHERE retry_count > 0 AND status IN ('RUNNING', 'COMPENSATING');
CREATE INDEX saga_state_paused ON saga_state
    (status, saga_type, current_step, created_at DESC NULLS LAST, id DESC NULLS LAST)
    WHERE paused IS NOT NULL;
"""
