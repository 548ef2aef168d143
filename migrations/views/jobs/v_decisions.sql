-- Every decision of every walk that was not "the answer is kept": what was passed over, waited for, left or climbed.
SELECT
    d.job_id,
    j.batch_id,
    j.task,
    d.lease_token,
    d.number,
    d.attempt_count,
    d.at,
    d.rung,
    d.model,
    d.decision,
    d.reason,
    d.details
FROM decisions AS d
INNER JOIN jobs AS j ON j.id = d.job_id
