/* An echo server as usually written with libuv: one loop, a buffer of 64 KiB per connection. Input is echoed at once; if
 * the kernel does not take all of it, the connection is not read until the rest is written.
 * cc -O2 libuv.c -luv; listens on 127.0.0.1:PORT. */
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { BUFFER = 65536 };

struct client {
    uv_tcp_t tcp; /* First, so that a pointer to one is a pointer to the other. */
    uv_write_t write;
    char buffer[BUFFER];
};

static void on_close(uv_handle_t *handle) { free(handle); }

static void finish(struct client *client)
{
    if (!uv_is_closing((uv_handle_t *)client))
        uv_close((uv_handle_t *)client, on_close);
}

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)suggested;
    *buffer = uv_buf_init(((struct client *)handle)->buffer, BUFFER);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer);

static void on_written(uv_write_t *write, int status)
{
    struct client *client = write->data;
    if (status < 0)
        finish(client);
    else
        uv_read_start((uv_stream_t *)client, on_allocate, on_read);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
    struct client *client = (struct client *)stream;
    if (count < 0) {
        finish(client);
        return;
    }
    uv_buf_t rest = uv_buf_init(buffer->base, count);
    int sent = uv_try_write(stream, &rest, 1);
    if (sent == count)
        return;
    if (sent < 0 && sent != UV_EAGAIN) {
        finish(client);
        return;
    }
    if (sent > 0)
        rest = uv_buf_init(buffer->base + sent, count - sent);
    uv_read_stop(stream); /* The buffer is in use until the rest is written. */
    client->write.data = client;
    if (uv_write(&client->write, stream, &rest, 1, on_written))
        finish(client);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct client *client = malloc(sizeof *client);
    if (status < 0 || !client || uv_tcp_init(listener->loop, &client->tcp)) {
        free(client);
        return;
    }
    if (uv_accept(listener, (uv_stream_t *)client) || uv_tcp_nodelay(&client->tcp, 1)
        || uv_read_start((uv_stream_t *)client, on_allocate, on_read))
        finish(client);
}

int main(int argc, char **argv)
{
    uv_loop_t *loop = uv_default_loop();
    uv_tcp_t listener;
    struct sockaddr_in address;
    uv_ip4_addr("127.0.0.1", argc > 1 ? atoi(argv[1]) : 7777, &address);
    uv_tcp_init(loop, &listener);
    if (uv_tcp_bind(&listener, (struct sockaddr *)&address, 0) || uv_listen((uv_stream_t *)&listener, 4096, on_connection))
        return 1;
    return uv_run(loop, UV_RUN_DEFAULT);
}
