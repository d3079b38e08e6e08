"""The keys of PostgreSQL's advisory locks, in one place, so that no two mean the same one.

A lock has two keys: its purpose, one of these, and its owner, the oid of the table stored_events. So
stores in several schemas of one database do not affect each other. The keys begin with the letters
"rec"; the append lock is named in SQL (eventlog/log/sql/log.sql), and the keys of leads are made of their
names (projections/followers/leader.py).
"""

APPEND_LOCK = 0x72656300  # shared by every append: see eventlog.log.order
MIGRATE_LOCK = 0x72656301  # processes that start at once take turns; of a schema, before there is a table
CHECKPOINT_LOCK = 0x72656302  # one process takes checkpoints at a time
SHADOW_LOCK = 0x72656303  # held by a rebuild or check of the views, shared by those who erase
IMPORT_LOCK = 0x72656304  # one import of a log at a time
PURGE_LOCK = 0x72656305  # one purge at a time
REBUILD_LOCK = 0x72656306  # one rebuild or check of the views at a time
