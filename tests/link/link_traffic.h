/* link_traffic.h - chunks whose size and contents follow from (port, from, to, number), so the
 * receiver knows what must come. */
#ifndef EPX_TESTS_LINK_TRAFFIC_H
#define EPX_TESTS_LINK_TRAFFIC_H

#include <string.h>

#include "link/link_seat.h"

/* One direction pair between this rank and one peer of a port. */
typedef struct link_flow {
    epx_port *port;
    int32_t peer;                 /* index in the port */
    int32_t other;                /* its root rank */
    bool every_size;              /* chunk n has n % (slot_bytes + 1) bytes, else any size */
    uint64_t out, in;             /* chunks so far */
    uint64_t total_out, total_in; /* and in the end */
} link_flow;

static inline uint64_t link_chunk_seed(const link_flow *flow, int32_t from, int32_t to, uint64_t n)
{
    uint64_t seed =
        (uint64_t)flow->port->config.id << 40 ^ (uint64_t)from << 32 ^ (uint64_t)to << 24 ^ n << 1;

    return epx_rng_next(&seed);
}

static inline size_t link_chunk_bytes(const link_flow *flow, uint64_t seed, uint64_t n)
{
    size_t most = flow->port->config.slot_bytes + 1;

    return (size_t)(flow->every_size ? n % most : epx_rng_below(&seed, most));
}

static inline void link_fill(unsigned char *bytes, size_t count, uint64_t seed)
{
    size_t i;

    for (i = 0; i < count; i++) {
        if (i % 8 == 0)
            seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        bytes[i] = (unsigned char)(seed >> i % 8 * 8);
    }
}

static inline size_t link_first_wrong(const unsigned char *bytes, size_t count, uint64_t seed)
{
    size_t i;

    for (i = 0; i < count; i++) {
        if (i % 8 == 0)
            seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        if (bytes[i] != (unsigned char)(seed >> i % 8 * 8))
            break;
    }
    return i;
}

/* Sends the flow's next chunk if there is a slot. */
static inline bool link_try_send(link_seat *seat, link_flow *flow, bool *moved)
{
    const epx_link_ops *ops = seat->link->ops;
    uint64_t seed = link_chunk_seed(flow, seat->rank, flow->other, flow->out);
    size_t bytes = link_chunk_bytes(flow, seed, flow->out);
    unsigned char *slot;

    if (flow->out == flow->total_out)
        return true;
    slot = ops->reserve(flow->port, flow->peer);
    if (slot == NULL)
        return true;
    LINK_CHECK(seat, (uintptr_t)slot % EPX_SLOT_ALIGN == 0);
    link_fill(slot, bytes, seed);
    LINK_CHECK(seat, ops->put(flow->port, flow->peer, bytes) == EPX_OK);
    flow->out++;
    *moved = true;
    return true;
}

/* Takes the flow's next chunk if it has come; it must be the right one. */
static inline bool link_try_receive(link_seat *seat, link_flow *flow, bool *moved)
{
    const epx_link_ops *ops = seat->link->ops;
    uint64_t seed = link_chunk_seed(flow, flow->other, seat->rank, flow->in);
    unsigned char *chunk;
    size_t bytes = SIZE_MAX;

    chunk = ops->peek(flow->port, flow->peer, &bytes);
    if (chunk == NULL)
        return true;
    LINK_CHECK(seat, flow->in < flow->total_in);
    LINK_CHECK(seat, (uintptr_t)chunk % EPX_SLOT_ALIGN == 0);
    LINK_CHECK(seat, bytes == link_chunk_bytes(flow, seed, flow->in));
    LINK_CHECK(seat, link_first_wrong(chunk, bytes, seed) == bytes);
    memset(chunk, 0xee, bytes); /* the receiver may write */
    LINK_CHECK(seat, ops->release(flow->port, flow->peer) == EPX_OK);
    flow->in++;
    *moved = true;
    return true;
}

/* Runs all flows to their ends, in an order that differs from turn to turn. Only a turn that has
 * tried all of them in vain may sleep. */
static inline bool link_run_flows(link_seat *seat, link_flow *flows, size_t count)
{
    uint64_t rng = (uint64_t)seat->rank + 1;
    size_t i, k, first, open = count;
    bool moved;

    seat->link->ops->progress(seat->link);
    while (open > 0) {
        moved = false;
        first = (size_t)epx_rng_below(&rng, count);
        for (i = 0, open = 0; i < count; i++) {
            k = (i + first) % count;
            if (!link_try_receive(seat, &flows[i], &moved) ||
                !link_try_send(seat, &flows[k], &moved))
                return false;
        }
        for (i = 0; i < count; i++)
            open += flows[i].in < flows[i].total_in || flows[i].out < flows[i].total_out;
        if (moved)
            seat->link->ops->progress(seat->link);
        else if (open > 0)
            LINK_CHECK(seat, link_turn(seat, seat->until));
    }
    return true;
}

/* The flow to peers[index] of a port. */
static inline link_flow link_flow_of(epx_port *port, int32_t index, uint64_t chunks)
{
    return (link_flow){.port = port,
                       .peer = index,
                       .other = port->config.peers[index],
                       .total_out = chunks,
                       .total_in = chunks};
}

/* Opens a port with peers[count] and waits until all ranks of the run have done so. */
static inline bool link_open_port(link_seat *seat, const epx_port_config *cfg, epx_port **port_out)
{
    LINK_CHECK(seat, seat->link->ops->port_open(seat->link, cfg, port_out) == EPX_OK);
    return link_barrier(seat);
}

/* Waits until nothing is under way in it any more, on any rank, and closes. */
static inline bool link_close_port(link_seat *seat, epx_port *port)
{
    while (!seat->link->ops->drained(port))
        LINK_CHECK(seat, link_turn(seat, seat->until));
    if (!link_barrier(seat))
        return false;
    seat->link->ops->port_close(port);
    return true;
}

/* All ranks of the run, ascending. */
static inline const int32_t *link_all_ranks(void)
{
    static const int32_t all[LINK_MAX_RANKS] = {0, 1, 2,  3,  4,  5,  6,  7,
                                                8, 9, 10, 11, 12, 13, 14, 15};

    return all;
}

#endif /* EPX_TESTS_LINK_TRAFFIC_H */
