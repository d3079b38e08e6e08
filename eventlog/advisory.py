"""The keys of PostgreSQL's advisory locks, in one place, so that no two mean the same one.

The first six bytes spell "recoun"; the append lock, which spells the whole name, is named in SQL
(eventlog/sql/log.sql). Leads have keys of their own kind, made of names (projections/leading.py).
"""

MIGRATE_LOCK = 0x7265636F756E75  # processes that start at once take turns
CHECKPOINT_LOCK = 0x7265636F756E76  # one process takes checkpoints at a time
SHADOW_LOCK = 0x7265636F756E77  # one rebuild or check of the views at a time; shared by who erases
IMPORT_LOCK = 0x7265636F756E78  # one import of a log at a time
PURGE_LOCK = 0x7265636F756E79  # one purge at a time
