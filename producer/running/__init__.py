"""The processes people run, their start and end; the demo, the doctor."""
