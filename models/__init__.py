"""Values, tables, prices and settings that producer and worker share."""
