"""What crosses a boundary between rooms, and nothing else: records, ids, manifests, storage."""

CONTRACT_VERSION = "1.0"
"""Version of all records of this package. A new nullable field raises the minor part; anything else the major part."""
