"""The shapes of requests and responses of ``/v1/projections``, as in api.schemas.requests and responses."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from recountdb.api.schemas.examples import MOMENT_EXAMPLE
from recountdb.api.schemas.requests import Incoming
from recountdb.projections.rebuild.progress import Rebuild, View


class NewRebuild(Incoming):
    """The views to rebuild. With ``dry_run``, only find out what would be different."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"views": ["sessions"], "dry_run": True}]})

    views: list[str] | None = Field(None, min_length=1, max_length=100, description="only these; else all")
    dry_run: bool = Field(False, strict=True)


class RebuildResource(BaseModel):
    """The rebuild under way, or the last one."""

    state: Literal["none", "running", "stopped", "done", "failed"] = Field(
        description="none: there never was one; stopped: killed, and another one of these views goes on there"
    )
    views: list[str]
    dry_run: bool
    started_at: datetime | None = Field(examples=[MOMENT_EXAMPLE])
    ended_at: datetime | None
    events: int = Field(description="in the log", examples=[1_000_000])
    events_done: int = Field(examples=[420_000])
    per_second: float | None = Field(description="events, while it runs", examples=[41_000.5])
    seconds_left: float | None = Field(description="until all events are done", examples=[14.2])
    differences: int | None = Field(description="rows that were not as the log has them; 100 a table at most")
    locked_seconds: float | None = Field(description="how long writers waited", examples=[0.021])
    error: str | None = Field(description="why it failed")


class ViewResource(BaseModel):
    name: str = Field(examples=["sessions"])
    version: int = Field(description="that its rows were made by", examples=[1])
    is_outdated: bool = Field(description="whether that is not this server's, so that it is to be rebuilt")
    rows: int = Field(description="of all projects; beyond a million an estimate", examples=[1200])
    rebuilt_at: datetime | None = Field(description="null: never", examples=[MOMENT_EXAMPLE])


class ViewListResource(BaseModel):
    items: list[ViewResource]
    rebuild: RebuildResource


NEVER: dict[str, Any] = {
    "state": "none",
    "views": [],
    "dry_run": False,
    "started_at": None,
    "ended_at": None,
    "events": 0,
    "events_done": 0,
    "per_second": None,
    "seconds_left": None,
    "differences": None,
    "locked_seconds": None,
    "error": None,
}


def view_resource(view: View) -> dict[str, Any]:
    return vars(view)


def rebuild_resource(rebuild: Rebuild | None) -> dict[str, Any]:
    if rebuild is None:
        return NEVER
    found = dict(vars(rebuild))
    return {name: found["is_rehearsal" if name == "dry_run" else name] for name in NEVER}
