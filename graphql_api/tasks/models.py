"""The tables of tasks and of what happened to them.

Their rules are kept by the database, for every writer: those of tasks in the first migration, those of the log of
events in the second.
"""

from datetime import datetime
from enum import Enum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import strawberry
from sqlalchemy.dialects import postgresql
from sqlmodel import Field, SQLModel

from graphql_api.instants import Instant

TITLE_MAX = 255
DESCRIPTION_MAX = 1000


@strawberry.enum(name="TaskStatus", description="How far a task has come. Values may be added.")
class Status(Enum):
    PENDING = strawberry.enum_value("pending", description="Not begun.")
    IN_PROGRESS = strawberry.enum_value("in_progress", description="Begun, not done.")
    COMPLETED = strawberry.enum_value("completed", description="Done; `completedAt` says when.")


@strawberry.enum(
    name="TaskPriority",
    description="How much a task matters. In this order: LOW sorts before URGENT. Values may be added.",
)
class Priority(Enum):
    """Declared in the order in which PostgreSQL sorts them."""

    LOW = strawberry.enum_value("low", description="Can wait.")
    MEDIUM = strawberry.enum_value("medium", description="Matters as most tasks do.")
    HIGH = strawberry.enum_value("high", description="Before the others.")
    URGENT = strawberry.enum_value("urgent", description="At once.")


def _enum(values: type[Enum], name: str) -> postgresql.ENUM:
    return postgresql.ENUM(values, name=name, values_callable=lambda cls: [value.value for value in cls])


class TaskRow(SQLModel, table=True):
    """One task. `version`, `updated_at` and `completed_at` are the trigger's; nobody else sets them."""

    __tablename__ = "tasks"
    __table_args__ = (
        sa.CheckConstraint("user_id <> ''", name="tasks_has_owner"),
        sa.CheckConstraint(f"char_length(title) BETWEEN 1 AND {TITLE_MAX}", name="tasks_title_length"),
        sa.CheckConstraint(
            f"char_length(description) BETWEEN 1 AND {DESCRIPTION_MAX}", name="tasks_description_length"
        ),
        sa.CheckConstraint(
            "'0002-01-01 00:00+00' <= least(due_date, created_at, updated_at, completed_at) "
            "AND greatest(due_date, created_at, updated_at, completed_at) < '9999-01-01 00:00+00'",
            name="tasks_times_in_bounds",
        ),
        sa.CheckConstraint("completed = (status = 'completed')", name="tasks_completed_is_status"),
        sa.CheckConstraint("completed = (completed_at IS NOT NULL)", name="tasks_completed_has_time"),
        sa.Index("tasks_by_creation", "user_id", sa.desc("created_at"), sa.desc("id")),
        sa.Index("tasks_by_completion", "user_id", "completed", sa.desc("created_at"), sa.desc("id")),
        sa.Index("tasks_by_due_date", "user_id", "due_date", "id", postgresql_where=sa.text("NOT completed")),
        sa.Index(
            "tasks_by_assignee",
            "assigned_to",
            sa.desc("created_at"),
            sa.desc("id"),
            postgresql_where=sa.text("assigned_to IS NOT NULL"),
        ),
    )

    id: UUID = Field(sa_column=sa.Column(sa.Uuid, primary_key=True, server_default=sa.func.gen_random_uuid()))
    user_id: str = Field(sa_column=sa.Column(sa.String(255), nullable=False))
    title: str = Field(sa_column=sa.Column(sa.String(TITLE_MAX), nullable=False))
    description: str | None = Field(sa_column=sa.Column(sa.Text))
    status: Status = Field(sa_column=sa.Column(_enum(Status, "task_status"), nullable=False, server_default="pending"))
    completed: bool = Field(sa_column=sa.Column(sa.Boolean, nullable=False, server_default=sa.false()))
    priority: Priority = Field(
        sa_column=sa.Column(_enum(Priority, "task_priority"), nullable=False, server_default="medium")
    )
    due_date: datetime | None = Field(sa_column=sa.Column(Instant()))
    assigned_to: str | None = Field(sa_column=sa.Column(sa.String(255)))
    version: int = Field(sa_column=sa.Column(sa.Integer, nullable=False, server_default="1"))
    created_at: datetime = Field(sa_column=sa.Column(Instant(), nullable=False, server_default=sa.func.now()))
    updated_at: datetime = Field(sa_column=sa.Column(Instant(), nullable=False, server_default=sa.func.now()))
    completed_at: datetime | None = Field(sa_column=sa.Column(Instant()))
    words: str = Field(
        sa_column=sa.Column(
            postgresql.TSVECTOR,
            sa.Computed("to_tsvector('simple'::regconfig, title || ' ' || coalesce(description, ''))", persisted=True),
            nullable=True,
        )
    )


@strawberry.enum(name="TaskEventKind", description="What happened to a task. Values may be added.")
class EventKind(Enum):
    CREATED = strawberry.enum_value("created", description="It was created.")
    UPDATED = strawberry.enum_value(
        "updated",
        description="Values changed. When it was assigned to the viewer, or taken away, all of it came or went.",
    )
    DELETED = strawberry.enum_value("deleted", description="It was deleted.")
    RESTORED = strawberry.enum_value("restored", description="It came back after it was deleted.")


class TaskEventRow(SQLModel, table=True):
    """One change to a task, as one person may see it. Written by triggers alone; partitioned by month."""

    __tablename__ = "task_events"
    __table_args__ = (
        sa.Index("task_events_by_task", "user_id", "task_id", "cursor"),
        {"postgresql_partition_by": "RANGE (created_at)"},
    )

    user_id: str = Field(sa_column=sa.Column(sa.String(255), primary_key=True))
    cursor: int = Field(sa_column=sa.Column(sa.BigInteger, primary_key=True, autoincrement=False))
    task_id: UUID = Field(sa_column=sa.Column(sa.Uuid, nullable=False))
    kind: EventKind = Field(sa_column=sa.Column(_enum(EventKind, "task_event_kind"), nullable=False))
    before: dict[str, Any] | None = Field(sa_column=sa.Column(postgresql.JSONB))
    after: dict[str, Any] | None = Field(sa_column=sa.Column(postgresql.JSONB))
    actor_id: str | None = Field(sa_column=sa.Column(sa.String(255)))
    created_at: datetime = Field(sa_column=sa.Column(Instant(), primary_key=True))


table: sa.Table = TaskRow.__table__  # type: ignore[attr-defined]  # SQLModel adds it
events: sa.Table = TaskEventRow.__table__  # type: ignore[attr-defined]
horizon = sa.Table("task_events_horizon", SQLModel.metadata, sa.Column("cursor", sa.BigInteger, nullable=False))
"""One row: the last cursor that was dropped with an old partition of the log."""
