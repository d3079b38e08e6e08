"""Deletion and undeletion: of conversations with all they hold, and of single messages."""

from __future__ import annotations

from tests.support.talk import Talk


def unlike_versions(state: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in state.items() if name not in ("version", "updated_at")}


def test_a_deleted_conversation_is_gone_from_reads(talk: Talk) -> None:
    (message,) = talk.add("one")
    deleted = talk.delete()
    assert (deleted.status_code, deleted.json()["version"]) == (200, 3)
    assert deleted.json()["deleted_at"] == deleted.json()["updated_at"]
    for answer in (
        talk.get(),
        talk.page(),
        talk.message(message["id"]),
        talk.client.get(f"/v1/messages/{message['id']}"),
        talk.change(message["id"], {"content": "x"}),
        talk.remove(message["id"]),
    ):
        assert answer.status_code == 404
    newest = talk.client.get(f"/v1/{talk.kind}s", params={"order": "newest", "limit": 1}).json()["items"]
    assert [item[f"{talk.kind}_id"] for item in newest] != [talk.name]


def test_a_deleted_conversation_can_be_looked_at_on_purpose(talk: Talk) -> None:
    talk.add("one")
    deleted = talk.delete().json()
    assert talk.get(deleted=True).json() == deleted
    assert talk.contents(deleted="true") == talk.contents(deleted="any") == ["one"]
    assert talk.types() == ["started", "message-added", "deleted"]


def test_a_deletion_has_a_reason_in_the_trail(talk: Talk) -> None:
    talk.add("one")
    talk.client.delete(talk.path, params={"reason": "asked for ☂"})
    assert talk.trail()[-1]["payload"] == {"reason": "asked for ☂"}


def test_deleting_twice_and_undeleting_twice_is_no_error_and_records_once(talk: Talk) -> None:
    talk.add("one")
    first = talk.delete()
    assert (talk.delete().status_code, talk.delete().json()) == (200, first.json())
    back = talk.undelete()
    assert (talk.undelete().status_code, talk.undelete().json()) == (200, back.json())
    assert talk.types() == ["started", "message-added", "deleted", "undeleted"]


def test_an_undelete_restores_exactly_what_was_there(talk: Talk) -> None:
    one, two, three = talk.add("one", "two", "three")
    talk.merge({"mood": "good"})
    talk.change(two["id"], {"content": "changed"})
    talk.remove(three["id"])
    before, page = talk.get().json(), talk.page().json()
    talk.delete()
    restored = talk.undelete().json()
    assert unlike_versions(restored) == unlike_versions(before)
    assert talk.get().json() == restored
    assert talk.page().json() == page
    assert talk.contents() == ["one", "changed"]
    assert talk.message(one["id"]).json() == one
    assert talk.message(three["id"]).status_code == 404


def test_a_write_revives_the_conversation_but_not_what_was_deleted_with_it(talk: Talk) -> None:
    (old,) = talk.add("old")
    talk.merge({"mood": "good"})
    talk.delete()
    talk.add("new")
    assert talk.contents() == ["new"]
    state = talk.get().json()
    assert (state["message_count"], state["deleted_at"], state["metadata"]) == (1, None, {"mood": "good"})
    assert talk.message(old["id"]).status_code == 404
    assert talk.change(old["id"], {"content": "x"}).status_code == 404
    assert talk.contents(deleted="true") == ["old"]
    assert talk.contents(deleted="any") == ["old", "new"]
    assert talk.types()[-2:] == ["undeleted", "message-added"]


def test_a_metadata_write_revives_it_too(talk: Talk) -> None:
    talk.add("old")
    talk.delete()
    revived = talk.merge({"mood": "good"}).json()
    assert (revived["deleted_at"], revived["message_count"]) == (None, 0)
    assert revived["metadata"] == {"mood": "good"}
    assert talk.contents() == []


def test_a_metadata_write_that_changes_nothing_revives_it_all_the_same(talk: Talk) -> None:
    talk.add("old")
    talk.delete()
    assert talk.merge({}).json()["deleted_at"] is None
    assert talk.types()[-2:] == ["deleted", "undeleted"]


def test_an_undelete_after_a_revival_restores_the_last_deletion_only(talk: Talk) -> None:
    talk.add("first")
    talk.delete()
    talk.add("second")
    talk.delete()
    talk.undelete()
    assert talk.contents() == ["second"]
    assert talk.get().json()["message_count"] == 1


def test_an_undelete_of_a_revived_one_brings_nothing_back(talk: Talk) -> None:
    talk.add("old")
    talk.delete()
    talk.add("new")
    talk.undelete()
    assert talk.contents() == ["new"]


def test_words_deleted_with_a_conversation_may_be_said_again(talk: Talk) -> None:
    talk.add("hi", timestamp="2026-11-20T12:00:00Z")
    talk.delete()
    talk.add("hi", timestamp="2026-11-20T12:00:00Z")
    assert talk.contents() == ["hi"]


def test_the_id_of_a_hidden_message_stays_taken(talk: Talk) -> None:
    (old,) = talk.add("old")
    talk.delete()
    talk.add("new")
    body = {"messages": [{"id": old["id"], "role": "user", "content": "other"}]}
    assert talk.post(body).status_code == 409
    assert talk.contents() == ["new"]


def test_a_message_that_a_deletion_hides_is_never_said_to_be_recorded(talk: Talk) -> None:
    (old,) = talk.add("old")
    body = {"messages": [{"id": old["id"], "role": "user", "content": "old"}]}
    assert talk.post(body).status_code == 201
    talk.remove(old["id"])
    refused_by_message = talk.post(body)
    talk.delete()
    refused_by_conversation = talk.post(body)
    for refused in (refused_by_message, refused_by_conversation):
        assert (refused.status_code, refused.json()["type"]) == (409, "urn:recount:problem:message-deleted")
        assert "a deletion hides it" in refused.json()["detail"]
    assert talk.get().status_code == 404  # it was not revived for nothing


def test_a_deleted_message_does_not_come_back_with_its_conversation(talk: Talk) -> None:
    gone, _stays = talk.add("gone", "stays")
    talk.remove(gone["id"])
    talk.delete()
    talk.undelete()
    assert talk.contents() == ["stays"]
    assert talk.contents(deleted="true") == ["gone"]
