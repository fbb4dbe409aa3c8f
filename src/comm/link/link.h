/* link.h - the one small language that all transports speak.
 *
 * Between nodes, and on a node where memory is not enough, data moves in chunks through ports. A
 * port is one ring of `depth` slots per peer and direction, opened with equal arguments on both
 * sides. The sender writes into a reserved slot and puts it; the receiver peeks at the oldest
 * arrived chunk and releases it. A put completes twice: when its slot may be reserved again
 * (the link's affair) and when the receiver has released it (a credit comes back). reserve() gives
 * a slot only if both allow it, so a put never meets an unposted receive and nobody buffers more
 * than depth chunks per peer. Chunks of one peer arrive in order.
 *
 * On a mapped link there are windows as well: memory of every member of the node, mapped by all.
 * After a release-store into a window, ring() wakes its owner.
 *
 * Nothing here blocks except open, window_open and port_open. One owner at a time. Peers are ranks
 * of the root communicator; in a port they are indices into its peer list. */
#ifndef EPX_COMM_LINK_LINK_H
#define EPX_COMM_LINK_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "comm/boot/boot.h"
#include "core/fail.h"

#define EPX_SLOT_ALIGN 64
#define EPX_LINK_MAX_FDS 4

typedef struct epx_link epx_link;
typedef struct epx_port epx_port;
typedef struct epx_window epx_window;

typedef struct epx_port_config {
    uint32_t id;          /* < 2^28, unique among the ports that any two ranks share */
    const int32_t *peers; /* [num_peers] root ranks, ascending; copied. May contain oneself */
    int32_t num_peers;
    size_t slot_bytes; /* largest chunk; a multiple of EPX_SLOT_ALIGN */
    uint32_t depth;    /* slots per peer and direction, 1..64 */
    bool self_clocked; /* the protocol above keeps at most depth chunks per peer under way and
                        * releases them in time: no credits travel */
} epx_port_config;

/* Both are the head of a link's own struct. */
struct epx_port {
    epx_link *link;
    epx_port_config config; /* peers: owned by the port */
};

struct epx_window {
    epx_link *link;
    size_t bytes;
    int32_t num_peers;
    int32_t *peers; /* [num_peers] root ranks; owned by the link's implementation */
    void **base;    /* [num_peers] where each peer's memory is mapped here; 64-byte aligned */
};

typedef struct epx_link_ops {
    const char *name;
    bool mapped; /* has windows */

    /* --- ports. open is collective over the peers of a mapped link, local elsewhere: there the
     * caller makes sure (a barrier) that all peers have opened before anyone puts. */
    epx_status (*port_open)(epx_link *link, const epx_port_config *cfg, epx_port **port_out);
    /* Local. Chunks under way are dropped. */
    void (*port_close)(epx_port *port);
    /* A free slot of slot_bytes towards peer, or NULL. The same slot until put. */
    void *(*reserve)(epx_port *port, int32_t peer);
    /* Sends the reserved slot's first `bytes` bytes. */
    epx_status (*put)(epx_port *port, int32_t peer, size_t bytes);
    /* The oldest arrived chunk of peer that has not been released, or NULL. The receiver may write
     * to it. */
    void *(*peek)(epx_port *port, int32_t peer, size_t *bytes_out);
    /* Gives the peeked chunk's slot back to peer. */
    epx_status (*release)(epx_port *port, int32_t peer);
    /* True when every put slot is reusable again: the port may close without losing data. */
    bool (*drained)(const epx_port *port);

    /* --- windows, mapped links only. Collective over peers (root ranks, ascending, own included):
     * each contributes `bytes` of zeroed memory; pages are committed on first touch. */
    epx_status (*window_open)(epx_link *link, const int32_t *peers, int32_t num_peers, size_t bytes,
                              epx_window **window_out);
    void (*window_close)(epx_window *window);
    /* Wakes root rank `peer` if it sleeps. */
    void (*ring)(epx_link *link, int32_t peer);

    /* --- progress and waiting. The order is: progress, scan, arm, sleep on fds, woken. */
    bool (*progress)(epx_link *link); /* true if anything moved */
    bool (*arm)(epx_link *link);      /* true: nothing has happened since progress, may sleep */
    int (*fds)(const epx_link *link, int *fds); /* at most EPX_LINK_MAX_FDS, for EPOLLIN */
    void (*woken)(epx_link *link);              /* after sleeping, or instead of it, once per arm */

    /* --- faults */
    bool (*hear)(epx_link *link, epx_notice *notice_out);   /* ranks are root ranks */
    void (*tell)(epx_link *link, const epx_notice *notice); /* to all peers, best effort */
    void (*fail)(epx_link *link, int32_t rank);             /* stop talking to rank */

    void (*close)(epx_link *link);
} epx_link_ops;

struct epx_link {
    const epx_link_ops *ops;
    int32_t rank; /* own root rank */
};

/* For links without windows. */
epx_status epx_link_no_window(epx_link *link, const int32_t *peers, int32_t num_peers, size_t bytes,
                              epx_window **window_out);
void epx_link_no_window_close(epx_window *window);
void epx_link_no_ring(epx_link *link, int32_t peer);

/* Checks id, depth, slot_bytes and peers: what every port_open starts with. */
EPX_NODISCARD epx_status epx_port_check(const char *link, const epx_port_config *cfg);
/* The same for window_open: bytes, ascending peers, oneself among them. */
EPX_NODISCARD epx_status epx_window_check(const epx_link *link, const int32_t *peers,
                                          int32_t num_peers, size_t bytes);

#endif /* EPX_COMM_LINK_LINK_H */
