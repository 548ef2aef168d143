"""Everything that is counted: bills, buckets, the prompt cache, the usage report."""
