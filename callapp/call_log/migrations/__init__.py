"""The history of the schema, run by ``callapp.call_log.schema``."""
