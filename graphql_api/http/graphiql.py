"""GraphiQL: an editor in the browser, with the schema at hand and a first query to run."""

from pathlib import Path

PAGE = (Path(__file__).parent / "graphiql.html").read_text(encoding="utf-8")
"""Scripts come from a CDN in pinned versions, each with its hash: a changed file is not run."""
