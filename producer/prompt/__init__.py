"""The caller's prompt: its value, its checks, its start.

`prompt` is the value, `arguments` those of a submission, `template` fills a prompt. `check_prompt` and `check_params`
check a prompt, `start_rung` finds its start. `duplicates` and `row_buffer` bound the memory of a large file.
"""
