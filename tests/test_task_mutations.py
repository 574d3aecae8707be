"""Creating, changing, toggling and deleting tasks."""

from uuid import uuid4

from tests.client import CREATE, DELETE, TASK, TOGGLE, UPDATE, Api
from tests.issuer import Person


async def test_a_new_task_has_the_given_values_and_the_defaults(api: Api, ada: Person) -> None:
    task = await api.create(ada, "  Buy milk ", description=" oat ", dueDate="2026-12-01T09:00:00+01:00")
    assert task["title"] == "Buy milk"
    assert task["description"] == "oat"
    assert task["dueDate"] == "2026-12-01T08:00:00Z"
    assert (task["status"], task["completed"], task["priority"]) == ("PENDING", False, "MEDIUM")
    assert (task["version"], task["completedAt"], task["overdue"]) == (1, None, False)
    assert task["owner"] == {"id": ada.global_id, "name": "Ada", "image": None}
    assert task["assignee"] is None
    assert await api.data(ada, TASK, id=task["id"]) == {"task": task}
