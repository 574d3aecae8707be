"""graphql-core's own tests of execution, with the compiled executor in the place of its `execute`.

    python tests/graphql_core_suite.py

downloads the source distribution of the installed version into a temporary folder, and the plugin of pytest that its
tests need, and runs them. As a plugin of that pytest, this module puts our executor where the tests import theirs.
"""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import graphql
import pytest
from graphql import execution
from graphql.execution import Executor, map_source_to_response_event
from graphql.language import OperationDefinitionNode
from graphql.pyutils import is_awaitable

from graphql_api.execution.executor import Plan

SYNC = "test_sync.py::describe_execute_synchronously_when_possible::describe_execute_sync::"
UNCHECKED = "`execute_sync` without `check_sync` takes what is awaitable for a value; we have no `execute_sync`."
NOT_APPLICABLE = {
    f"{SYNC}throws_if_encountering_async_operation_without_check_sync": UNCHECKED,
    f"{SYNC}iterates_sync_and_async_iterables_synchronously_without_check_sync": UNCHECKED,
    f"{SYNC}reports_async_iterables_as_errors_without_check_sync": UNCHECKED,
}
"""Tests that fail, each with the reason why they say nothing about us. Left out as a whole: `incremental`, that is
`@defer` and `@stream`, which are not in our schema and would be left to graphql-core."""

theirs = execution.execute
theirs_sync = execution.execute_sync
their_subscribe = execution.subscribe
ran: Counter[str] = Counter()


def _plan(schema: Any, document: Any, name: str | None, options: Mapping[str, Any]) -> Plan | None:
    """Ours, if graphql-core would find the operation, and nothing is asked for that only graphql-core has."""
    operations = [d for d in getattr(document, "definitions", ()) if isinstance(d, OperationDefinitionNode)]
    if name is not None:
        operations = [d for d in operations if d.name and d.name.value == name][-1:]
    incremental = schema.get_directive("defer") or schema.get_directive("stream")
    if len(operations) != 1 or incremental or any(value not in (None, False) for value in options.values()):
        return None
    plan = Plan(schema, document, operations[0])
    return None if plan.is_unusual else plan


def execute(
    schema: Any,
    document: Any,
    root_value: Any = None,
    context_value: Any = None,
    variable_values: Any = None,
    operation_name: str | None = None,
    **options: Any,
) -> Any:
    plan = _plan(schema, document, operation_name, options)
    if plan is None:
        ran["by graphql-core"] += 1
        return theirs(schema, document, root_value, context_value, variable_values, operation_name, **options)
    result = plan.execute(variable_values or {}, context_value, root_value)
    ran["compiled" if plan.sources else "refused before the first field"] += 1
    return result


def execute_sync(schema: Any, document: Any, *arguments: Any, check_sync: Any = False, **options: Any) -> Any:
    unknown = {key: value for key, value in options.items() if key not in KNOWN}
    if callable(check_sync) or _plan(schema, document, options.get("operation_name"), unknown) is None:
        options["check_sync"] = check_sync
        return theirs_sync(schema, document, *arguments, **options)
    result = execute(schema, document, *arguments, **options)
    if is_awaitable(result):
        getattr(result, "close", lambda: None)()
        raise RuntimeError("GraphQL execution failed to complete synchronously.")
    return result


KNOWN = {"root_value", "context_value", "variable_values", "operation_name"}


def subscribe(schema: Any, document: Any, *arguments: Any, **options: Any) -> Any:
    """The stream of events is graphql-core's, each event is executed by us."""
    unknown = {key: value for key, value in options.items() if key not in KNOWN}
    plan = _plan(schema, document, options.get("operation_name"), unknown)
    if plan is None or arguments:
        return their_subscribe(schema, document, *arguments, **options)

    def execute_event(executor: Executor[Any]) -> Any:
        ran["events compiled"] += 1
        return plan.run(executor.variable_values, executor.context_value, executor.root_value)

    def respond(executor: Executor[Any], events: Any) -> Any:
        return map_source_to_response_event(executor, events, execute_event)

    with mock.patch.object(sys.modules["graphql.execution.execute"], "map_source_to_response_event", respond):
        result = their_subscribe(schema, document, **options)
    if not inspect.iscoroutine(result):
        return result

    async def patched() -> Any:
        with mock.patch.object(sys.modules["graphql.execution.execute"], "map_source_to_response_event", respond):
            return await result

    return patched()


def pytest_configure() -> None:
    for module in (graphql, execution, sys.modules["graphql.graphql"]):
        for ours in (execute, execute_sync, subscribe):
            if hasattr(module, ours.__name__):
                setattr(module, ours.__name__, ours)


def _name(item: Any) -> str:
    return str(item.nodeid).removeprefix("tests/execution/")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Generator[None, Any, Any]:
    report = yield
    if report.when == "call" and report.failed and _name(item) in NOT_APPLICABLE:
        report.outcome = "skipped"
        report.longrepr = (str(item.path), 0, f"Skipped: {NOT_APPLICABLE[_name(item)]}")
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    terminalreporter.write_line(f"executions: {dict(ran)}")


def main() -> int:
    tests = Path(__file__).parent
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        pip = [sys.executable, "-m", "pip", "-q"]
        version = f"graphql-core=={graphql.__version__}"
        subprocess.run(
            [*pip, "download", "--no-deps", "--no-binary", "graphql-core", version, "-d", folder], check=True
        )
        plugins = ["pytest-describe", "pytest-timeout"]
        subprocess.run([*pip, "install", "--no-deps", "--target", folder / "plugins", *plugins], check=True)
        [archive] = folder.glob("*.tar.gz")
        with tarfile.open(archive) as source:
            source.extractall(folder, filter="data")
        [root] = folder.glob("graphql_core-*/")
        path = os.pathsep.join(str(place) for place in (tests, folder / "plugins", tests.parent))
        run = [sys.executable, "-m", "pytest", "-p", "graphql_core_suite", "-p", "no:xdist"]
        run += [
            "-o",
            "addopts=",
            "-q",
            "-rsf",
            "--ignore=tests/execution/incremental",
            "tests/execution",
            *sys.argv[1:],
        ]
        return subprocess.run(run, cwd=root, env={**os.environ, "PYTHONPATH": path}).returncode


if __name__ == "__main__":
    sys.exit(main())
