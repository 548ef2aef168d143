-- How attempts ended that brought no answer, by the UTC day they were opened. Those in flight are not among them.
SELECT d.day, a.model, a.outcome, a.error_type, a.error_code, COUNT(*) AS attempts
FROM v_days AS d
CROSS JOIN v_attempts AS a
WHERE a.opened_at >= d.since AND a.opened_at < d.until AND a.outcome NOT IN ('answered', 'truncated')
GROUP BY d.day, a.model, a.outcome, a.error_type, a.error_code
