"""`stepdown whatif`: recorded jobs replayed under another chain."""
