-- Every UTC day from the first attempt, or finished job, to the last. Joined on since and until, a view that groups by
-- day can look for one day's rows in the index of a time.
WITH RECURSIVE days(day) AS (
    SELECT DAY(first_at)
    FROM (
        SELECT MIN(at) AS first_at
        FROM (SELECT MIN(opened_at) AS at FROM attempts UNION ALL SELECT MIN(finished_at) FROM jobs) AS firsts
    ) AS first
    WHERE first_at IS NOT NULL
    UNION ALL
    SELECT NEXT_DAY(day)
    FROM days
    WHERE day < (
        SELECT DAY(MAX(at))
        FROM (SELECT MAX(opened_at) AS at FROM attempts UNION ALL SELECT MAX(finished_at) FROM jobs) AS lasts
    )
)
SELECT day, START(day) AS since, START(NEXT_DAY(day)) AS until
FROM days
