/* ucx_port.h - a port of the UCX link: per peer one ring to send from and one to receive into.
 *
 * Chunk n of a ring uses slot n modulo depth on both sides. The receiver has depth receives posted
 * that match port and source, in slot order; since chunks of one peer stay in order, chunk n meets
 * slot n. The low bits of the tag carry n, to prove it. */
#ifndef EPX_COMM_LINK_UCX_PORT_H
#define EPX_COMM_LINK_UCX_PORT_H

#include "comm/link/ucx_link.h"

typedef enum epx_ucx_slot_state {
    EPX_UCX_SLOT_IDLE,   /* no receive is posted */
    EPX_UCX_SLOT_POSTED, /* UCX may write to it */
    EPX_UCX_SLOT_ARRIVED
} epx_ucx_slot_state;

/* The n-th slots of both directions: what a request of UCX leads back to. */
typedef struct epx_ucx_slot {
    epx_ucx_ring *ring;
    void *request;     /* the posted receive, while POSTED */
    size_t bytes;      /* of the arrived chunk */
    uint16_t sequence; /* low bits of the chunk that is expected here */
    uint8_t state;     /* epx_ucx_slot_state, of the receive slot */
    bool sending;      /* UCX may read the send slot */
} epx_ucx_slot;

struct epx_ucx_ring {
    epx_ucx_port *port;
    int32_t rank;        /* root rank of the peer */
    epx_ucx_slot *slots; /* [depth]; in port->slots */
    unsigned char *out;  /* [depth * slot_bytes]; in port->memory */
    unsigned char *in;
    uint64_t sent;     /* chunks put */
    uint64_t credited; /* of those, released by the peer as far as it said */
    uint64_t released; /* chunks of the peer released here */
    uint64_t told;     /* of those, what the peer was told */
    epx_ucx_header credit;
    bool crediting; /* UCX may read credit */
    bool is_due;    /* in link->due */
    epx_ucx_ring *next_due;
};

struct epx_ucx_port {
    epx_port head;
    epx_ucx_port *next;
    int32_t *peers;        /* head.config.peers; owns */
    epx_ucx_ring *rings;   /* [num_peers] owns */
    epx_ucx_slot *slots;   /* [num_peers * depth] owns */
    unsigned char *memory; /* all slots of both directions; owns */
    size_t memory_bytes;
    uint32_t requests; /* that UCX holds on memory of this port */
    uint32_t sends;    /* of those, chunks being sent */
    bool closed;       /* parked: nothing new is sent or posted */
};

epx_status epx_ucx_port_open(epx_link *link, const epx_port_config *cfg, epx_port **port_out);
void epx_ucx_port_close(epx_port *port);
void *epx_ucx_reserve(epx_port *port, int32_t peer);
epx_status epx_ucx_put(epx_port *port, int32_t peer, size_t bytes);
void *epx_ucx_peek(epx_port *port, int32_t peer, size_t *bytes_out);
epx_status epx_ucx_release(epx_port *port, int32_t peer);
bool epx_ucx_drained(const epx_port *port);

static inline uint64_t epx_ucx_tag(uint32_t id, int32_t source, uint64_t number)
{
    return (uint64_t)id << 36 | (uint64_t)(uint32_t)source << 16 | (number & 0xffff);
}

/* The ring of a root rank, or NULL. */
epx_ucx_ring *epx_ucx_port_ring(const epx_ucx_port *port, int32_t rank);

/* ---- the receiving side (ucx_receive.c) */

/* Posts a receive for chunk `number` of the ring's peer. */
EPX_NODISCARD epx_status epx_ucx_post(epx_ucx_ring *ring, uint64_t number);
/* Takes posted receives back, as far as no chunk has begun to arrive in them. */
void epx_ucx_cancel(epx_ucx_ring *ring);
/* Drops chunks that arrived for this port id while no receive was posted. */
void epx_ucx_drop_strays(epx_ucx_link *link, uint32_t id);

/* ---- the end of a port (ucx_port.c) */

/* Frees parked ports that UCX has let go; all of them when the worker is gone. */
void epx_ucx_reap(epx_ucx_link *link, bool all);

#endif /* EPX_COMM_LINK_UCX_PORT_H */
