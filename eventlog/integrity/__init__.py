"""Tamper evidence: chains, checkpoints, verification and proofs."""
