/* conn.c - buffers around a socket. */
#include "comm/boot/conn.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"

void epx_conn_init(epx_conn *conn, int fd, uint8_t *buffer, size_t in_room, size_t out_room)
{
    *conn = (epx_conn){
        .fd = fd, .in = buffer, .in_room = in_room, .out = buffer + in_room, .out_room = out_room};
}

void epx_conn_adopt(epx_conn *to, epx_conn *from)
{
    size_t unread = from->in_end - from->in_begin;

    if (unread > to->in_room)
        unread = to->in_room; /* no handshake leaves that much: it cannot be a frame of ours */
    memcpy(to->in, from->in + from->in_begin, unread);
    to->in_begin = 0;
    to->in_end = unread;
    to->out_begin = to->out_end = 0;
    to->fd = from->fd;
    to->in_sequence = from->in_sequence;
    to->out_sequence = from->out_sequence;
    to->mute = from->mute;
    to->ended = from->ended;
    to->error = from->error;
    from->fd = -1;
}

void epx_conn_close(epx_conn *conn)
{
    if (conn->fd >= 0)
        close(conn->fd);
    conn->fd = -1;
}

static void compact(uint8_t *buffer, size_t *begin, size_t *end)
{
    if (*begin == 0)
        return;
    memmove(buffer, buffer + *begin, *end - *begin);
    *end -= *begin;
    *begin = 0;
}

bool epx_conn_fill(epx_conn *conn)
{
    bool moved = false;
    ssize_t n;

    if (conn->fd < 0 || conn->ended)
        return false;
    compact(conn->in, &conn->in_begin, &conn->in_end);
    while (conn->in_end < conn->in_room) {
        n = recv(conn->fd, conn->in + conn->in_end, conn->in_room - conn->in_end, MSG_DONTWAIT);
        if (n > 0) {
            conn->in_end += (size_t)n;
            moved = true;
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        conn->ended = true;
        conn->error = n < 0 ? errno : 0;
        return true;
    }
    return moved;
}

epx_boot_frame_result epx_conn_next(epx_conn *conn, uint32_t max_length, epx_boot_frame *frame_out)
{
    epx_boot_frame_result result =
        epx_boot_frame_read(conn->in + conn->in_begin, conn->in_end - conn->in_begin, max_length,
                            conn->in_sequence, frame_out);

    if (result == EPX_BOOT_FRAME_READY) {
        conn->in_begin += EPX_BOOT_FRAME_HEAD + frame_out->length;
        conn->in_sequence++;
    }
    return result;
}

uint8_t *epx_conn_prepare(epx_conn *conn, size_t length, size_t spare)
{
    size_t need = EPX_BOOT_FRAME_HEAD + length + spare;

    if (conn->fd < 0 || conn->mute)
        return NULL;
    if (conn->out_room - conn->out_end < need)
        compact(conn->out, &conn->out_begin, &conn->out_end);
    if (conn->out_room - conn->out_end < need)
        return NULL;
    return conn->out + conn->out_end + EPX_BOOT_FRAME_HEAD;
}

void epx_conn_commit(epx_conn *conn, uint16_t type, uint32_t length)
{
    epx_boot_frame_seal(conn->out + conn->out_end, type, conn->out_sequence++, length);
    conn->out_end += EPX_BOOT_FRAME_HEAD + length;
}

bool epx_conn_put(epx_conn *conn, uint16_t type, const void *payload, uint32_t length)
{
    uint8_t *place = epx_conn_prepare(conn, length, 0);

    if (place == NULL)
        return false;
    if (length != 0)
        memcpy(place, payload, length);
    epx_conn_commit(conn, type, length);
    return true;
}

bool epx_conn_flush(epx_conn *conn)
{
    bool moved = false;
    ssize_t n;

    while (epx_conn_pending(conn)) {
        n = send(conn->fd, conn->out + conn->out_begin, conn->out_end - conn->out_begin,
                 MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            conn->out_begin += (size_t)n;
            moved = true;
        } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            break;
        } else if (n == 0 || errno != EINTR) {
            conn->mute = true;
        }
    }
    if (conn->out_begin == conn->out_end)
        conn->out_begin = conn->out_end = 0;
    return moved;
}

/* True when there is something to do, false after until_ns. */
static bool wait_for(const epx_conn *conn, uint64_t until_ns)
{
    struct pollfd p = {.fd = conn->fd, .events = POLLIN};

    if (epx_conn_pending(conn))
        p.events |= POLLOUT;
    for (;;) {
        uint64_t now = epx_clock_ns();

        if (now >= until_ns)
            return false;
        if (poll(&p, 1, epx_deadline_left_ms(until_ns, now, 1000)) > 0)
            return true;
    }
}

epx_status epx_conn_await(epx_conn *conn, uint64_t until_ns, uint32_t max_length,
                          epx_boot_frame *frame_out)
{
    for (;;) {
        epx_conn_flush(conn);
        switch (epx_conn_next(conn, max_length, frame_out)) {
        case EPX_BOOT_FRAME_READY:
            return EPX_OK;
        case EPX_BOOT_FRAME_BAD:
            return EPX_ERR_CORRUPT;
        case EPX_BOOT_FRAME_MORE:
            break;
        }
        if (conn->ended)
            return epx_fail(EPX_ERR_PEER_LOST, "connection closed%s%s",
                            conn->error != 0 ? ": " : "",
                            conn->error != 0 ? strerror(conn->error) : "");
        if (epx_conn_fill(conn))
            continue;
        if (!wait_for(conn, until_ns))
            return epx_fail(EPX_ERR_TIMEOUT, "no answer in time");
    }
}
