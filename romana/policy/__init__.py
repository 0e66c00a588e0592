"""What Kubernetes asks for, compiled into what each endpoint admits. Pure: no I/O, no kernel."""
