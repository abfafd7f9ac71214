"""The `omapush` command: it starts the processes, wires them, and shows people what is going on."""
