/* shm_ring.h - a ring of slots in shared memory: one sender, one receiver, nothing copied.
 *
 * `head` counts the chunks put and has the sender as its only writer, `tail` counts the chunks
 * released and has the receiver; 0 <= head - tail <= depth. */
#ifndef EPX_COMM_LINK_SHM_RING_H
#define EPX_COMM_LINK_SHM_RING_H

#include "comm/link/shm_link.h"

/* In the receiver's memory. Zero is an empty ring. */
typedef struct epx_shm_ring_head {
    _Alignas(EPX_SHM_LINE) _Atomic uint64_t head;
    _Alignas(EPX_SHM_LINE) _Atomic uint64_t tail;
    _Alignas(EPX_SHM_LINE) _Atomic uint32_t wanted; /* the sender wants to hear of a release */
    _Alignas(EPX_SHM_LINE) uint64_t bytes[];        /* [depth] of each chunk, before `head` */
} epx_shm_ring_head;

/* One side's view of a ring. */
typedef struct epx_shm_ring {
    epx_shm_ring_head *shared; /* NULL: not open */
    unsigned char *slots;
    uint64_t count; /* the own counter: head at the sender, tail at the receiver */
    uint64_t seen;  /* the other side's, as of the latest look */
} epx_shm_ring;

typedef struct epx_shm_port {
    epx_port base;
    void *own; /* the rings that come in; owns */
    size_t own_bytes;
    void **theirs; /* [num_peers] memory of each peer, NULL for oneself; owns */
    size_t *their_bytes;
    epx_shm_member **members; /* [num_peers] borrows */
    epx_shm_ring *in;         /* [num_peers] */
    epx_shm_ring *out;        /* [num_peers] */
} epx_shm_port;

#endif /* EPX_COMM_LINK_SHM_RING_H */
