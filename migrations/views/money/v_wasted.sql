-- Attempts that are, or may be, billed and did not become their job's answer. Those in flight are not among them.
SELECT
    day, model, outcome, reason, explanation, attempts, unknown_costs, at_least_nano_usd, at_most_nano_usd,
    cost_nano_usd,
    USD(cost_nano_usd) AS cost_usd,
    CREDITS(cost_nano_usd) AS credits
FROM (
    SELECT
        d.day,
        a.model,
        a.outcome,
        a.reason,
        CASE a.outcome
            WHEN 'late' THEN 'its job had ended or was somebody else''s'
            WHEN 'truncated' THEN 'cut at max_tokens, and asked again'
            WHEN 'answered' THEN 'another answer took its place'
            WHEN 'refused' THEN 'refused after some output'
            WHEN 'unfinished' THEN 'a paused turn that came to nothing'
            WHEN 'unclear' THEN 'stopped for an unknown reason'
            WHEN 'empty' THEN 'without a word'
            WHEN 'invalid' THEN 'failed the check of its job'
            WHEN 'malformed' THEN 'not a message'
            WHEN 'unknown' THEN 'its worker was lost'
            ELSE 'its end was not seen'
        END AS explanation,
        COUNT(*) AS attempts,
        COUNT(CASE WHEN a.cost_nano_usd IS NULL THEN 1 END) AS unknown_costs,
        WHOLE(SUM(a.least_nano_usd)) AS at_least_nano_usd,
        -- Unknown itself where one of them had no bound.
        CASE WHEN COUNT(CASE WHEN a.cost_nano_usd IS NULL AND a.reserved_nano_usd IS NULL THEN 1 END) = 0
            THEN WHOLE(SUM(
                CASE
                    WHEN a.cost_nano_usd IS NOT NULL THEN NULL
                    WHEN a.least_nano_usd > a.reserved_nano_usd THEN a.least_nano_usd
                    ELSE a.reserved_nano_usd
                END
            ))
        END AS at_most_nano_usd,
        WHOLE(SUM(a.cost_nano_usd)) AS cost_nano_usd
    FROM EACH_DAY(v_attempts, opened_at, a)
    JOIN jobs AS j ON j.id = a.job_id
    WHERE WITHIN_DAY(a.opened_at)
        AND a.outcome IS NOT NULL
        AND (a.cost_nano_usd IS NULL OR a.cost_nano_usd > 0)
        AND NOT EXISTS (SELECT 1 FROM answers AS w WHERE w.job_id = a.job_id AND w.attempt_id = a.attempt_id)
        -- A purge removes the answer: it was that of the last attempt that had one.
        AND NOT (
            j.purged_at IS NOT NULL AND j.state = 'succeeded' AND a.outcome IN ('answered', 'truncated', 'unclear')
            AND NOT EXISTS (
                SELECT 1
                FROM attempts AS later
                WHERE later.job_id = a.job_id
                    AND later.attempt_no > a.attempt_no
                    AND later.outcome IN ('answered', 'truncated', 'unclear')
            )
        )
        -- The passes of a turn are in the answer of its last one, unless the turn was begun anew.
        AND NOT (
            a.outcome = 'unfinished' AND j.state = 'succeeded'
            AND NOT EXISTS (
                SELECT 1
                FROM attempts AS anew
                WHERE anew.job_id = a.job_id
                    AND anew.attempt_no > a.attempt_no
                    AND anew.reason NOT IN ('continue', 'raise', 'retry')
            )
        )
    GROUP BY d.day, a.model, a.outcome, a.reason
) AS wasted
