"""Langflow's content blocks, which are stored as they came, and shown as the groups that its clients know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from recountdb.api.transfer.cleaning import loads

STEPS = "Agent Steps"


def group_blocks(stored: object) -> list[dict[str, Any]]:
    """Return the content blocks as Langflow's clients know them: groups of leaves, not nested deeper.

    Text beside the groups becomes the end of the first group with an agent's steps.
    """
    nodes = [
        node for node in map(decode_node, stored if isinstance(stored, list) else []) if node is not None
    ]
    groups = [node for node in nodes if _is_group(node)]
    leaves = [node for node in nodes if not _is_group(node)]
    if not groups:
        is_agent = any(leaf.get("type") == "tool_use" for leaf in leaves)
        return [_to_group({"title": STEPS, "contents": leaves})] if is_agent else []
    output = "".join(str(leaf.get("text") or "") for leaf in leaves if leaf.get("type") == "text")
    steps = next((place for place, node in enumerate(groups) if node.get("title") == STEPS), None)
    return [_to_group(node, output if place == steps else "") for place, node in enumerate(groups)]


def decode_node(node: object) -> dict[str, Any] | None:
    """Return a node, decoding one that is JSON in a text; None if it is not a node."""
    if isinstance(node, str):
        try:
            node = loads(node)
        except ValueError:
            return None
    return node if isinstance(node, dict) else None


def _is_group(node: Mapping[str, Any]) -> bool:
    """Return whether a node is a group. Old nodes have no type, and are recognized by their members."""
    return node["type"] == "group" if "type" in node else {"title", "contents"} <= node.keys()


def _to_group(node: Mapping[str, Any], output: str = "") -> dict[str, Any]:
    """Return a node as a group; ``output``, the text beside it, is appended as its last leaf."""
    contents = _read_leaves(node.get("contents"))
    if output:
        header = {"title": "Output", "icon": "MessageSquare"}
        contents.append({"type": "text", "duration": None, "header": header, "text": output})
    return {
        "title": node.get("title"),
        "contents": contents,
        "allow_markdown": node.get("allow_markdown", True),
        "media_url": node.get("media_url"),
    }


def _read_leaves(contents: object) -> list[dict[str, Any]]:
    nodes: Iterable[object] = contents if isinstance(contents, list) else []
    return [
        {name: value for name, value in leaf.items() if name not in ("id", "contents")}
        for leaf in map(decode_node, nodes)
        if leaf is not None
    ]
