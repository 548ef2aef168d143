"""The script, and the answer that a rule of the script gives."""
