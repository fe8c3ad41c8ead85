/* A minimal epoll echo server: the smallest correct one.
 *
 * Edge-triggered, one buffer for all connections, one recv and one send per message. Output that the kernel does not
 * take is kept, and its connection is not read until it is sent, so every byte comes back in order, and a half-close is
 * answered with all pending output, then FIN. No limits, timeouts, log, counters, fairness or urgent data. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER = 65536, EVENTS = 1024, BACKLOG = 4096, MOST = 1 << 20, READ = EPOLLIN | EPOLLRDHUP | EPOLLET };

/* The pending output of a connection: at most one buffer, since nothing more is read meanwhile. */
struct pending {
    size_t begin, end;
    char bytes[BUFFER];
};

static char buffer[BUFFER];
static struct epoll_event events[EVENTS];
static struct pending **pending; /* By file descriptor; allocated at the first short send, freed at close. */
static int epoll;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void finish(int fd)
{
    free(pending[fd]);
    pending[fd] = NULL;
    close(fd);
}

/* Sends pending output; 0: all of it is sent, 1: the socket is full, -1: the connection has failed. */
static int flush(int fd, struct pending *output)
{
    while (output->begin < output->end) {
        ssize_t sent = send(fd, output->bytes + output->begin, output->end - output->begin, MSG_NOSIGNAL);
        if (sent >= 0)
            output->begin += sent;
        else if (errno == EAGAIN)
            return 1;
        else if (errno != EINTR)
            return -1;
    }
    return 0;
}

/* Keeps what a send did not take, and registers for writable events. */
static int keep(int fd, const char *bytes, size_t length)
{
    struct pending *output = pending[fd];
    if (!output) {
        struct epoll_event event = { .events = READ | EPOLLOUT, .data.fd = fd };
        output = pending[fd] = malloc(sizeof *output);
        if (!output || epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event))
            return -1;
    }
    memcpy(output->bytes, bytes, length);
    output->begin = 0;
    output->end = length;
    return flush(fd, output);
}

static void serve(int fd, unsigned ready)
{
    if (pending[fd] && pending[fd]->begin < pending[fd]->end) {
        int left = flush(fd, pending[fd]);
        if (left < 0)
            finish(fd);
        if (left)
            return;
        ready |= EPOLLRDHUP; /* Edges were ignored meanwhile: read until the socket is empty. */
    }
    for (;;) {
        ssize_t got = recv(fd, buffer, BUFFER, 0);
        if (got <= 0) {
            if (got < 0 && errno == EINTR)
                continue;
            if (got == 0 || errno != EAGAIN)
                finish(fd);
            return;
        }
        ssize_t sent = send(fd, buffer, got, MSG_NOSIGNAL);
        if (sent < got) {
            if (sent < 0 && errno != EAGAIN && errno != EINTR) {
                finish(fd);
                return;
            }
            if (sent < 0)
                sent = 0;
            int left = keep(fd, buffer + sent, got - sent);
            if (left < 0)
                finish(fd);
            if (left)
                return;
        }
        /* A short read has drained the socket (epoll(7), question 9), unless FIN or an error follows. */
        if (got < BUFFER && !(ready & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
            return;
    }
}

/* One accept per event: the listener is level-triggered, which is cheaper than an accept that fails with EAGAIN. */
static void accept_one(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct epoll_event event = { .events = READ, .data.fd = fd };
    if (fd >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
        close(fd);
}

int main(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof address;
    struct rlimit files;
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct epoll_event event = { .events = EPOLLIN, .data.fd = listener };

    if (getrlimit(RLIMIT_NOFILE, &files))
        die("getrlimit");
    files.rlim_cur = files.rlim_max < MOST ? files.rlim_max : MOST;
    setrlimit(RLIMIT_NOFILE, &files);
    pending = calloc(MOST, sizeof *pending); /* Untouched pages take no memory. */
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!pending || listener < 0 || epoll < 0)
        die("epoll");
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* Inherited by accepted sockets. */
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, BACKLOG))
        die("listen");
    if (getsockname(listener, (void *)&address, &length) || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event))
        die("listen");
    fprintf(stderr, "listening on 127.0.0.1:%d (epoll)\n", ntohs(address.sin_port));

    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        if (count < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener)
                accept_one(listener);
            else
                serve(fd, events[i].events);
        }
    }
}
