"""All counts: bills, buckets, the prompt cache, the usage report."""
