-- The lane of message batches, by batch: its jobs, its purchases, and the same usage at the rates of live calls. There
-- tokens cost twice as much, and web searches the same. `moved` jobs went live, since their item gave no answer in time.
-- `overlapped` answers came after the other lane's, so that the job was bought twice. `never_packed` jobs
-- went live without an item. A batch without an attempt has no row yet.
SELECT
    batch_id,
    (SELECT COUNT(*) FROM jobs AS j WHERE j.batch_id = summed.batch_id AND j.lane = 'half_price') AS jobs,
    (
        SELECT COUNT(*)
        FROM jobs AS j
        WHERE j.batch_id = summed.batch_id AND j.lane = 'half_price'
            AND EXISTS (SELECT 1 FROM attempts AS call WHERE call.job_id = j.id)
            AND NOT EXISTS (SELECT 1 FROM attempts AS call WHERE call.job_id = j.id AND call.message_batch_id IS NOT NULL)
    ) AS never_packed,
    attempts, open, unknown_costs, cost_nano_usd, live_nano_usd,
    live_nano_usd - cost_nano_usd AS saved_nano_usd,
    USD(cost_nano_usd) AS cost_usd,
    USD(live_nano_usd) AS live_usd,
    USD((live_nano_usd - cost_nano_usd)) AS saved_usd,
    moved_late, moved_expired, moved_errored, moved_lost, overlapped, overlapped_nano_usd,
    USD(overlapped_nano_usd) AS overlapped_usd
FROM (
    SELECT
        each_one.batch_id,
        COUNT(CASE WHEN each_one.lane = 'half_price' AND each_one.is_billed THEN 1 END) AS attempts,
        COUNT(CASE WHEN each_one.lane = 'half_price' AND each_one.is_open THEN 1 END) AS open,
        COUNT(CASE WHEN each_one.lane = 'half_price' AND each_one.cost_nano_usd IS NULL THEN 1 END) AS unknown_costs,
        WHOLE(SUM(CASE WHEN each_one.lane = 'half_price' THEN each_one.cost_nano_usd END)) AS cost_nano_usd,
        WHOLE(SUM(CASE WHEN each_one.lane = 'half_price' THEN each_one.live_nano_usd END)) AS live_nano_usd,
        COUNT(CASE WHEN each_one.moved = 'late' THEN 1 END) AS moved_late,
        COUNT(CASE WHEN each_one.moved = 'expired' THEN 1 END) AS moved_expired,
        COUNT(CASE WHEN each_one.moved = 'errored' THEN 1 END) AS moved_errored,
        COUNT(CASE WHEN each_one.moved = 'lost' THEN 1 END) AS moved_lost,
        COUNT(CASE WHEN each_one.is_billed AND each_one.is_second THEN 1 END) AS overlapped,
        WHOLE(SUM(CASE WHEN each_one.is_billed AND each_one.is_second THEN each_one.cost_nano_usd END))
            AS overlapped_nano_usd
    FROM (
        SELECT
            a.batch_id,
            a.lane,
            a.cost_nano_usd,
            a.closed_at IS NULL AS is_open,
            a.closed_at IS NOT NULL AND COALESCE(a.cost_nano_usd, 1) > 0 AS is_billed,
            CASE a.service_tier
                WHEN 'batch' THEN 2 * a.cost_nano_usd - COALESCE(a.web_search_nano_usd, 10000000 * a.web_searches, 0)
                ELSE a.cost_nano_usd
            END AS live_nano_usd,
            CASE
                WHEN a.lane = 'live' OR a.reason = 'late' THEN NULL -- the cost of an item that was taken for lost
                WHEN a.outcome = 'not_run' AND a.error_type IN ('expired', 'lost') THEN a.error_type
                WHEN a.outcome = 'not_run' AND a.error_type NOT IN ('canceled', 'late') THEN 'errored'
                WHEN a.outcome = 'not_run' OR live.reason = 'late' THEN 'late'
                WHEN a.http_status >= 400 AND live.id IS NOT NULL THEN 'errored'
            END AS moved,
            a.outcome = 'late' AND CASE
                WHEN a.lane = 'half_price' THEN a.reason = 'late' OR COALESCE(live.reason, '') = 'late'
                ELSE EXISTS (
                    SELECT 1
                    FROM attempts AS item
                    WHERE item.job_id = a.job_id AND item.message_batch_id IS NOT NULL AND item.outcome = 'answered'
                )
            END AS is_second
        FROM v_attempts AS a
        INNER JOIN jobs AS j ON j.id = a.job_id
        LEFT JOIN attempts AS live
            ON live.job_id = a.job_id AND live.attempt_no = a.attempt_no + 1 AND live.message_batch_id IS NULL
        WHERE j.lane = 'half_price'
    ) AS each_one
    GROUP BY each_one.batch_id
) AS summed
