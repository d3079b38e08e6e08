"""Checks a proof from GET /v1/sessions/{id}/proof. Needs Python 3.11 and nothing else: no store, no Recount.

    python check_proof.py proof.json [--digest HEX]

Says what the conversation's events are and whether all of it holds together. With ``--digest``, that
of a checkpoint which was written down elsewhere, it also says whether the log was the same then.
Ends with 0 where everything holds, with 1 where something does not.
"""

from __future__ import annotations

import argparse
import json
import sys
from hashlib import sha256
from pathlib import Path
from uuid import UUID


class DoesNotHold(Exception):
    """The proof does not hold; the message tells a person why."""


def _check_events(proof: dict) -> bytes:  # type: ignore[type-arg]
    """Recompute the chain; return the link at the checkpoint's event. Raises DoesNotHold."""
    stream_id = UUID(proof["stream_id"]).bytes
    checkpoint = proof["checkpoint"]
    link, covered = bytes(32), bytes(32)
    for number, event in enumerate(proof["events"], 1):
        if event["version"] != number:
            raise DoesNotHold(f"event {number} is missing")
        if event["payload"] is None:
            commitment = bytes.fromhex(event["commitment"])
        else:
            commitment = sha256(bytes.fromhex(event["salt"]) + event["payload"].encode()).digest()
        topic = event["topic"].encode()
        place = b"".join(
            (
                stream_id,
                number.to_bytes(8, "big"),
                event["recorded_at"].to_bytes(8, "big", signed=True),
                len(topic).to_bytes(2, "big"),
                topic,
                event["project"].encode(),
            )
        )
        link = sha256(link + place + commitment).digest()
        if link.hex() != event["link"]:
            raise DoesNotHold(f"event {number} is not what was recorded")
        if checkpoint is not None and checkpoint["version"] == number:
            covered = link
    return covered


def _check_checkpoint(checkpoint: dict, link: bytes) -> None:  # type: ignore[type-arg]
    """Climb from the event to the root of its checkpoint (RFC 9162, 2.1.3.2). Raises DoesNotHold."""
    node = sha256(b"\x00" + checkpoint["event_position"].to_bytes(8, "big") + link).digest()
    index, last = checkpoint["index"], checkpoint["events"] - 1
    for text in checkpoint["path"]:
        sibling = bytes.fromhex(text)
        if index % 2 or index == last:
            node = sha256(b"\x01" + sibling + node).digest()
            while index and not index % 2:
                index, last = index >> 1, last >> 1
        else:
            node = sha256(b"\x01" + node + sibling).digest()
        index, last = index >> 1, last >> 1
    if last or node.hex() != checkpoint["root"]:
        raise DoesNotHold("the checkpoint does not cover the event")
    numbers = checkpoint["position"].to_bytes(8, "big") + checkpoint["events"].to_bytes(8, "big")
    before = bytes.fromhex(checkpoint["digest_before"]) + UUID(checkpoint["epoch"]).bytes
    digest = sha256(before + numbers + node).hexdigest()
    if digest != checkpoint["digest"]:
        raise DoesNotHold("the checkpoint's digest is not that of what it covers")


def check(file: str, digest: str | None) -> dict:  # type: ignore[type-arg]
    """Return the proof in a file after checking it. Raises DoesNotHold."""
    try:
        proof: dict = json.loads(Path(file).read_text(encoding="utf-8"))  # type: ignore[type-arg]
        link, checkpoint = _check_events(proof), proof["checkpoint"]
        if checkpoint is not None:
            _check_checkpoint(checkpoint, link)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise DoesNotHold(f"this is no proof that can be read ({type(error).__name__})") from error
    if digest and (checkpoint is None or checkpoint["digest"] != digest.lower()):
        raise DoesNotHold("the digest is another one")
    return proof


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("proof", help="the file")
    parser.add_argument("--digest", help="of the checkpoint, as it was written down elsewhere")
    arguments = parser.parse_args()
    try:
        proof = check(arguments.proof, arguments.digest)
    except DoesNotHold as reason:
        print(f"DOES NOT HOLD: {reason}")
        return 1
    for event in proof["events"]:
        print(f"{event['version']:>6}  {event['topic']}  {event['payload'] or '(erased)'}")
    covered, checkpoint = "not yet", proof["checkpoint"]
    if checkpoint is not None:
        covered = f"up to version {checkpoint['version']} under digest {checkpoint['digest']}"
    print(f"HOLDS: {len(proof['events'])} events; covered by a checkpoint: {covered}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
