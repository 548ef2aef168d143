"""The processes people run, their start and end; the demo, the doctor.

`start` starts processes, `signals` ends them, `listening` opens a server's socket. `claims` checks that workers claim
jobs. `demo` runs on the processes of `demo_processes`.
"""
