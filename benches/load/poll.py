"""An echo server on poll(2), whose cost per message grows with idle connections. Prints its port."""
import resource
import select
import socket

_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
listener.setblocking(False)
print(listener.getsockname()[1], flush=True)
poll = select.poll()
poll.register(listener, select.POLLIN)
connections = {}


def accept():
    try:
        connection, _ = listener.accept()
    except BlockingIOError:
        return
    connections[connection.fileno()] = connection
    poll.register(connection, select.POLLIN)


def echo(fd):
    try:
        data = connections[fd].recv(65536)
        connections[fd].sendall(data)
    except OSError:
        data = b""
    if not data:
        poll.unregister(fd)
        connections.pop(fd).close()


while True:
    for fd, _ in poll.poll():
        if fd == listener.fileno():
            accept()
        else:
            echo(fd)
