"""The users view: each user's profile and metadata as they are now."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from recountdb.domain.errors import NotFound
from recountdb.domain.users import Profile, User
from recountdb.eventlog.log.recorder import Write
from recountdb.eventlog.postgres.database import Database
from recountdb.eventlog.postgres.statements import Statements
from recountdb.eventlog.write.ports import StreamChange
from recountdb.projections.lists.paging import Filter, Page, Window
from recountdb.projections.views.rows import list_rows, purged_streams, to_row

SQL = Statements(__name__, "users")
VERSION = 1
TABLES = {"users": ("stream_id",)}


def writes_for(changes: Sequence[StreamChange]) -> list[Write]:
    users = [change.state for change in changes if isinstance(change.state, User)]
    return [
        Write("users", SQL["upsert_users"], [to_row(user) for user in users if not user.is_purged]),
        Write("users", SQL["delete_users"], purged_streams(changes, User)),
    ]


def _user_from(profile: dict[str, Any], **columns: Any) -> User:
    return User(profile=Profile.model_validate(profile), **columns)


def get_user(database: Database, project: str, name: str, *, deleted: bool = False) -> User:
    """Return the user if it is live, or with ``deleted`` in either state. Raises NotFound."""
    for user in database.fetch_as(_user_from, SQL["get_user"], {"project": project, "name": name}):
        if deleted or not user.is_deleted:
            return user
    raise NotFound(User.KIND)


def find_hold(database: Database, project: str, name: str) -> str | None:
    """Return why this user may not be purged; None when there is no hold, or no such user."""
    for (hold,) in database.fetch(SQL["find_hold"], {"project": project, "name": name}):
        assert hold is None or isinstance(hold, str)
        return hold
    return None


def user_exists(database: Database, project: str, name: str) -> bool:
    """Return whether there is a session or a message of this user, live or deleted."""
    ((found,),) = database.fetch(SQL["user_exists"], {"project": project, "name": name})
    return bool(found)


def list_users(
    database: Database, project: str, window: Window, criteria: Filter | None = None
) -> Page[User]:
    """Return a page of users, in the order in which they were created."""
    sql = SQL[f"list_users_{window.order}_first"]
    bound = (criteria or Filter()).parameters()
    return list_rows(database, _user_from, sql, bound | {"project": project}, window)


def find_users(
    database: Database,
    project: str,
    *,
    names: Collection[str] | None = None,
    display_names: Collection[str] | None = None,
) -> list[User]:
    """Return all live users with one of ``names`` and one of ``display_names`` (None: any), by number."""
    bound = {
        "project": project,
        "names": None if names is None else list(names),
        "display_names": None if display_names is None else list(display_names),
    }
    return database.fetch_as(_user_from, SQL["find_users"], bound, prepare=False)
