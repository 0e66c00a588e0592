"""The load: one client and one server, each a process that can be in any pod; one request at a
time.

Both block in plain system calls, with everything prepared before the clock starts: of a request's
time, this code takes a few microseconds (reported as processor time in user space). Both run on the
same processor, so that a request takes as long as all the work for it together, and none of it is
hidden by work at the same time.
"""
