# Runs nc on a pseudo-terminal, types lines and waits for each reply on the screen. Argument: the port.
import os, pty, select, sys, time
pid, terminal = pty.fork()
if pid == 0:
    os.execvp("nc", ["nc", "-N", "127.0.0.1", sys.argv[1]])
screen = b""
def wait_for(text):
    global screen
    deadline = time.monotonic() + 15
    while text not in screen:
        ready, _, _ = select.select([terminal], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            sys.exit(f"not on the screen: {text!r}; the screen shows {screen!r}")
        try:
            piece = os.read(terminal, 4096)
        except OSError:
            piece = b""
        if not piece:
            sys.exit(f"nc exited before {text!r}; the screen shows {screen!r}")
        screen += piece
os.write(terminal, b"hello\n")
wait_for(b"ECHO hello\r\n")
# A typing error, corrected with backspace.
os.write(terminal, b"wrolx\x7f\x7f\x7f\x7forld\n")
wait_for(b"ECHO world\r\n")
os.write(terminal, b"\n")
wait_for(b"ECHO \r\n")
os.write(terminal, b"\x04")
_, status = os.waitpid(pid, 0)
print("nc exited with", os.waitstatus_to_exitcode(status))
