/* conn.h - one non-blocking connection that speaks frames, with bounded buffers in both directions.
 *
 * What does not fit into the outgoing buffer is not accepted; nothing is ever queued elsewhere. A
 * failed send only stops sending: what the peer said before it left is still read. */
#ifndef EPX_COMM_BOOT_CONN_H
#define EPX_COMM_BOOT_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "comm/boot/frame.h"

typedef struct epx_conn {
    int fd;      /* owns; -1: none */
    uint8_t *in; /* borrows, as out */
    size_t in_room, in_begin, in_end;
    uint8_t *out;
    size_t out_room, out_begin, out_end;
    uint32_t in_sequence, out_sequence;
    bool mute;  /* sending has failed */
    bool ended; /* nothing more will come */
    int error;  /* errno behind `ended`, 0 for an orderly end */
} epx_conn;

/* buffer: in_room + out_room bytes that outlive the connection. fd is made non-blocking by whoever
 * opened it; -1 for later. */
void epx_conn_init(epx_conn *conn, int fd, uint8_t *buffer, size_t in_room, size_t out_room);
/* Moves fd, sequences and unread bytes of `from` into `to`, which has a buffer and no fd. */
void epx_conn_adopt(epx_conn *to, epx_conn *from);
void epx_conn_close(epx_conn *conn);

/* Reads what there is and fits; true if anything came or conn->ended became true. */
bool epx_conn_fill(epx_conn *conn);
/* The next whole frame of at most max_length; valid until the next call on conn. */
epx_boot_frame_result epx_conn_next(epx_conn *conn, uint32_t max_length, epx_boot_frame *frame_out);

/* Where a payload of `length` bytes may be put before epx_conn_commit(), NULL when there is no room
 * with `spare` bytes left over. */
uint8_t *epx_conn_prepare(epx_conn *conn, size_t length, size_t spare);
void epx_conn_commit(epx_conn *conn, uint16_t type, uint32_t length);
/* Both at once; false when there is no room. */
bool epx_conn_put(epx_conn *conn, uint16_t type, const void *payload, uint32_t length);
/* Sends what the kernel takes; true if anything went out. */
bool epx_conn_flush(epx_conn *conn);

static inline bool epx_conn_pending(const epx_conn *conn)
{
    return conn->fd >= 0 && !conn->mute && conn->out_begin < conn->out_end;
}

/* Blocking, for opening: EPX_ERR_TIMEOUT after until_ns, EPX_ERR_PEER_LOST at the end of the
 * connection, EPX_ERR_CORRUPT for what is no frame. */
EPX_NODISCARD epx_status epx_conn_await(epx_conn *conn, uint64_t until_ns, uint32_t max_length,
                                        epx_boot_frame *frame_out);

#endif /* EPX_COMM_BOOT_CONN_H */
