"""A ledger that has been at work for six weeks: models, tasks, tags, outages, unknown and corrected costs."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from sqlalchemy import Engine, insert, select, update

from models.ids import new_id
from models.ledger.ledger import Ledger
from models.money.pricing import Parts
from models.money.usage import Usage
from models.outcome import Outcome
from models.schema.attempt import Attempt
from models.schema.correction import Correction
from tests.support.ledgers.job_values import answered, claimed, new_batch, new_job, opening, succeeded, unknown

CANARY = "canary-of-the-text"
FIRST_DAY = datetime(2026, 10, 5, 23, 59, 59, 999_000, tzinfo=UTC)
_DAYS = 42
_MODELS = ("claude-opus-4-7", "claude-sonnet-4-6", "claude-haiku-4-5-20251001")
_TAGS: tuple[dict[str, str], ...] = ({"team": "media", "where": "here"}, {"team": "=law"}, {})


def billed(engine: Engine) -> None:
    """Fill a ledger; every amount and every day comes from the seed of the run."""
    ledger = Ledger(engine, worker="here")
    for number, tags in enumerate(_TAGS):
        jobs = [new_job(seq, task=random.choice(["summarize", "translate", None])) for seq in range(1, 13)]
        ledger.enqueue(new_batch(name=f"Bridges {number}" if tags else None, tags=tags), jobs)
        for job in jobs[:10]:
            _answer(ledger, job.id)
        lost = opening()
        claim = claimed(ledger, jobs[10].id)
        ledger.open_attempt(claim, lost)
        ledger.close_attempt(claim, unknown(lost.id))
        ledger.open_attempt(claimed(ledger, jobs[11].id), opening())
    _spread_over_days(engine)
    _correct(engine)


def with_canary(engine: Engine) -> None:
    """Have one job whose prompt, columns, answer and provider's error all hold CANARY."""
    ledger = Ledger(engine, worker="here")
    params = {"max_tokens": 100, "messages": [{"role": "user", "content": CANARY}]}
    job = new_job(params=params, columns={CANARY: CANARY})
    ledger.enqueue(new_batch(), [job])
    message = {"id": "msg_1", "content": [{"type": "text", "text": CANARY}]}
    answered(ledger, job.id, Outcome.OVERLOADED, ending=succeeded(message=message, error=CANARY))


def _answer(ledger: Ledger, job_id: str) -> None:
    usage = Usage(
        input_tokens=random.randint(1, 5_000),
        cache_read_tokens=random.choice([0, 9_000]),
        cache_write_1h_tokens=random.choice([0, 70]),
        output_tokens=random.randint(1, 900),
        web_searches=random.choice([0, 2]),
        raw={},
    )
    cost, parts = Decimal(random.randint(0, 10**9)).scaleb(-9), None
    if random.random() < 0.8:
        parts = Parts(
            input=_money(usage.input_tokens),
            cache_read=_money(usage.cache_read_tokens),
            cache_write_1h=_money(usage.cache_write_1h_tokens),
            output=_money(usage.output_tokens),
            web_search=_money(usage.web_searches),
        )
        cost = parts.total
    failures = random.choice([(), (Outcome.OVERLOADED,), (Outcome.RATE_LIMITED, Outcome.SERVER_ERROR)])
    answered(
        ledger,
        job_id,
        *failures,
        served_model=random.choice(_MODELS),
        outcome=random.choice([Outcome.ANSWERED, Outcome.TRUNCATED]),
        cost_usd=cost,
        parts=parts,
        usage=usage,
    )


def _money(quantity: int) -> Decimal:
    return (Decimal(quantity) * random.randint(1, 30_001)).scaleb(-9)


def _spread_over_days(engine: Engine) -> None:
    with engine.begin() as connection:
        for number, attempt_id in enumerate(connection.scalars(select(Attempt.id)).all()):
            chosen = timedelta(days=random.randrange(_DAYS), seconds=random.randrange(2))
            at = FIRST_DAY + (chosen if number else timedelta())
            endpoint = random.choice(("anthropic", "anthropic", "bedrock"))
            changes = {"opened_at": at, "endpoint": endpoint}
            connection.execute(update(Attempt).where(Attempt.id == attempt_id).values(**changes))


def _correct(engine: Engine) -> None:
    """Price a lost attempt after all, and an answered one twice."""
    with engine.begin() as connection:
        lost = connection.scalars(select(Attempt.id).where(Attempt.outcome == Outcome.TIMED_OUT)).first()
        answered = connection.scalars(select(Attempt.id).where(Attempt.cost_nano_usd > Decimal(0))).first()
        for attempt_id, number, cost in ((lost, 1, "0.5"), (answered, 1, "7"), (answered, 2, "0.000000003")):
            row = {
                "id": new_id(),
                "attempt_id": attempt_id,
                "number": number,
                "made_at": FIRST_DAY,
                "cost_nano_usd": Decimal(cost),
                "price_source": "corrected",
            }
            connection.execute(insert(Correction).values(row))


def effective_costs(engine: Engine) -> tuple[Decimal, int]:
    """Add up each attempt's last correction, or its own cost, one by one; and count those without."""
    last = select(Correction.attempt_id, Correction.cost_nano_usd).order_by(Correction.number)
    with engine.connect() as connection:
        corrected = dict(iter(connection.execute(last)))  # the last of each stays
        booked = connection.execute(select(Attempt.id, Attempt.cost_nano_usd)).all()
    costs = [corrected.get(attempt_id, cost) for attempt_id, cost in booked]
    return sum((cost for cost in costs if cost is not None), Decimal(0)), costs.count(None)
