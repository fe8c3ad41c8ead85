/* The floor: the smallest correct epoll echo loop, and nothing beside it.
 *
 * Edge-triggered, one buffer for everybody, one recv and one send for each message. What the kernel does not take is
 * kept, and its peer is not read until it is sent, so every byte comes back in order and a half-close is answered with
 * all that is owed, then FIN. No limits, no timeouts, no log, no counters, no fairness, no urgent data. */
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

/* What a peer has not taken: at most one buffer, since nothing more is read meanwhile. */
struct owed {
    size_t begin, end;
    char bytes[BUFFER];
};

static char buffer[BUFFER];
static struct epoll_event events[EVENTS];
static struct owed **owed; /* By descriptor; allocated at the first short send, and kept while the connection lives. */
static int epoll;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void finish(int fd)
{
    free(owed[fd]);
    owed[fd] = NULL;
    close(fd);
}

/* Sends what is owed; 0: all of it is sent, 1: the socket is full, -1: the connection is at its end. */
static int pay(int fd, struct owed *debt)
{
    while (debt->begin < debt->end) {
        ssize_t sent = send(fd, debt->bytes + debt->begin, debt->end - debt->begin, MSG_NOSIGNAL);
        if (sent >= 0)
            debt->begin += sent;
        else if (errno == EAGAIN)
            return 1;
        else if (errno != EINTR)
            return -1;
    }
    return 0;
}

/* Keeps what a send did not take, and asks to be told when there is room. */
static int keep(int fd, const char *bytes, size_t length)
{
    struct owed *debt = owed[fd];
    if (!debt) {
        struct epoll_event event = { .events = READ | EPOLLOUT, .data.fd = fd };
        debt = owed[fd] = malloc(sizeof *debt);
        if (!debt || epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event))
            return -1;
    }
    memcpy(debt->bytes, bytes, length);
    debt->begin = 0;
    debt->end = length;
    return pay(fd, debt);
}

static void serve(int fd, unsigned ready)
{
    if (owed[fd] && owed[fd]->begin < owed[fd]->end) {
        int left = pay(fd, owed[fd]);
        if (left < 0)
            finish(fd);
        if (left)
            return;
        ready |= EPOLLRDHUP; /* Edges passed while it was not read: read until the socket is empty. */
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
        /* A short read has emptied the socket (epoll(7), question 9), unless there is an end to be read too. */
        if (got < BUFFER && !(ready & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
            return;
    }
}

/* One client for each event: the listener is level-triggered, which is cheaper than an accept that finds nobody. */
static void take(int listener)
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
    owed = calloc(MOST, sizeof *owed); /* Untouched pages cost nothing. */
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!owed || listener < 0 || epoll < 0)
        die("epoll");
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* Inherited by those accepted. */
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
                take(listener);
            else
                serve(fd, events[i].events);
        }
    }
}
