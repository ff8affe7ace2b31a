"""The order of the queue: who comes next, and which place each job has.

Within a queue, by priority; among equals the owner with the fewest jobs under way in that queue comes first, then
the one that has used the slots least lately, then the oldest job. So an owner of a thousand jobs holds up nobody
who has one. An owner at the limit of `owner_slots` comes after all others.

A place is the number of claims until it is the job's turn, were nothing to end meanwhile: the n-th job of an owner
that waits has n - 1 more under way by then. Counted in this way, the places are exactly the order of the claims.
"""

import math
from typing import Any

from sqlalchemy import CTE, ColumnElement, Select, Subquery, and_, case, event, func, select, update
from sqlalchemy.orm import Session

from app.db.engine import db_now
from app.db.tables import Job, OwnerUse
from app.db.upsert import insert_for

# In this time the weight of what an owner has used is halved.
HALF_LIFE_SECONDS = 3600.0
_KEY = "owner use"


def running_by_queue() -> CTE:
    """Jobs under way by queue, project and owner: `n`."""
    return (
        select(Job.queue, Job.project, Job.owner, func.count().label("n"))
        .where(Job.state == "running")
        .group_by(Job.queue, Job.project, Job.owner)
        .cte("running")
    )


def running_by_owner() -> CTE:
    """Jobs under way by project and owner, in all queues: `n`."""
    return (
        select(Job.project, Job.owner, func.count().label("n"))
        .where(Job.state == "running")
        .group_by(Job.project, Job.owner)
        .cte("held")
    )


def heads(queues: list[str] | None, owner_slots: int, *, limit: int, offset: int) -> Select[Any]:
    """Select `queue, priority, project, owner` of the oldest job that may run, for each such group, in claim order.

    One pass over an index, however long the queue; `queues` None: all.
    """
    ready = [Job.state == "queued", Job.run_after <= db_now()]
    if queues is not None:
        ready.append(Job.queue.in_(queues))
    group = (Job.queue, Job.priority, Job.project, Job.owner)
    head = select(*group, func.min(Job.id).label("id")).where(*ready).group_by(*group).cte("head")
    running, held = running_by_queue(), running_by_owner()
    query = (
        select(head.c.queue, head.c.priority, head.c.project, head.c.owner)
        .outerjoin(running, _same(head, running, "queue", "project", "owner"))
        .outerjoin(OwnerUse, and_(OwnerUse.project == head.c.project, OwnerUse.owner == head.c.owner))
        .order_by(head.c.priority.desc(), _or_zero(running.c.n), _or_zero(OwnerUse.level), head.c.id)
        .limit(limit)
        .offset(offset)
    )
    if owner_slots:
        query = query.outerjoin(held, _same(head, held, "project", "owner")).where(_or_zero(held.c.n) < owner_slots)
    return query


def places(queues: list[str] | None, owner_slots: int) -> Subquery:
    """`id`, `queue`, `position` in its queue, and `turn` over all these queues, of each queued job."""
    waits = case((Job.run_after > db_now(), 1), else_=0)
    turn = func.row_number().over(
        partition_by=(Job.queue, Job.project, Job.owner), order_by=(waits, Job.priority.desc(), Job.id)
    )
    queued = select(Job.id, Job.queue, Job.priority, Job.project, Job.owner, waits.label("waits"), turn.label("turn"))
    queued = queued.where(Job.state == "queued")
    if queues is not None:
        queued = queued.where(Job.queue.in_(queues))
    line = queued.cte("line")
    running, held = running_by_queue(), running_by_owner()
    ahead = _or_zero(running.c.n) + line.c.turn
    blocked = case((_or_zero(held.c.n) + line.c.turn > owner_slots, 1), else_=0)
    order: list[Any] = [line.c.waits, *([blocked] if owner_slots else [])]
    order += [line.c.priority.desc(), ahead, _or_zero(OwnerUse.level), line.c.id]
    query = (
        select(
            line.c.id,
            line.c.queue,
            func.row_number().over(partition_by=line.c.queue, order_by=order).label("position"),
            func.row_number().over(order_by=order).label("turn"),
        )
        .outerjoin(running, _same(line, running, "queue", "project", "owner"))
        .outerjoin(OwnerUse, and_(OwnerUse.project == line.c.project, OwnerUse.owner == line.c.owner))
    )
    if owner_slots:
        query = query.outerjoin(held, _same(line, held, "project", "owner"))
    return query.subquery("places")


def add_use(session: Session, project: str, owner: str, seconds: float, at_seconds: float) -> None:
    """Note that the owner has used a slot for so long, up to the instant `at_seconds` (Unix time of the database).

    Written just before the commit, in the order of the owners, as `app.db.totals` does and why.
    """
    waiting: dict[tuple[str, str], list[tuple[float, float]]] = session.info.setdefault(_KEY, {})
    waiting.setdefault((project, owner), []).append((seconds, at_seconds))


def raise_level(level: float, seconds: float, at_seconds: float) -> float:
    """Return the level of an owner after `seconds` more of a slot.

    The level is log2(use) + t / half-life, where `use` are the seconds used up to t, each second halved in weight
    for every half-life that has gone since. It changes only when something is used, though the use fades all the
    time: two owners compare in the same way whenever they are compared, so places do not move by themselves.
    """
    now = at_seconds / HALF_LIFE_SECONDS
    use = (2.0 ** min(level - now, 60.0) if level else 0.0) + max(seconds, 1e-3)
    return math.log2(use) + now


@event.listens_for(Session, "before_commit")
def _write_use(session: Session) -> None:
    for (project, owner), uses in sorted(session.info.pop(_KEY, {}).items()):
        key = {"project": project, "owner": owner}
        session.execute(insert_for(session, OwnerUse).values(**key, level=0.0).on_conflict_do_nothing())
        mine = (OwnerUse.project == project, OwnerUse.owner == owner)
        level = session.execute(select(OwnerUse.level).where(*mine).with_for_update()).scalar_one()
        for seconds, at_seconds in uses:
            level = raise_level(level, seconds, at_seconds)
        session.execute(
            update(OwnerUse).where(*mine).values(level=level), execution_options={"synchronize_session": False}
        )


def _same(one: Any, other: Any, *names: str) -> ColumnElement[bool]:
    return and_(*(one.c[name] == other.c[name] for name in names))


def _or_zero(column: Any) -> ColumnElement[Any]:
    return func.coalesce(column, 0)
