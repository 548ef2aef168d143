-- How attempts ended that brought no answer, by the UTC day they were opened. Those in flight are not among them.
SELECT d.day, a.model, a.outcome, a.error_type, a.error_code, COUNT(*) AS attempts
FROM EACH_DAY(v_attempts, opened_at, a)
WHERE WITHIN_DAY(a.opened_at) AND a.outcome NOT IN ('answered', 'truncated', 'unfinished')
GROUP BY d.day, a.model, a.outcome, a.error_type, a.error_code
