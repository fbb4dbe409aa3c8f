/* link_checks_port.h - what ports promise: order, wholeness, credits, and refusals. */
#ifndef EPX_TESTS_LINK_CHECKS_PORT_H
#define EPX_TESTS_LINK_CHECKS_PORT_H

#include "link/link_traffic.h"

static inline epx_port_config link_port_config(link_seat *seat, uint32_t id, size_t slot_bytes,
                                               uint32_t depth)
{
    return (epx_port_config){.id = id,
                             .peers = link_all_ranks(),
                             .num_peers = seat->ranks,
                             .slot_bytes = slot_bytes,
                             .depth = depth};
}

/* The other ranks, ascending; or all where the link loops back. */
static inline epx_port_config link_others_config(link_seat *seat, uint32_t id, size_t slot_bytes,
                                                 uint32_t depth, int32_t *peers)
{
    epx_port_config cfg = link_port_config(seat, id, slot_bytes, depth);
    int32_t rank;

    cfg.peers = peers;
    cfg.num_peers = 0;
    for (rank = 0; rank < seat->ranks; rank++)
        if (rank != seat->rank || seat->fixture->loopback)
            peers[cfg.num_peers++] = rank;
    return cfg;
}

/* A port between ranks 0 and 1, without oneself. */
static inline bool link_open_pair(link_seat *seat, uint32_t id, size_t slot_bytes, uint32_t depth,
                                  bool self_clocked, epx_port **port_out)
{
    const int32_t other = 1 - seat->rank;
    epx_port_config cfg = {.id = id,
                           .peers = &other,
                           .num_peers = 1,
                           .slot_bytes = slot_bytes,
                           .depth = depth,
                           .self_clocked = self_clocked};

    return link_open_port(seat, &cfg, port_out);
}

static inline bool link_check_sizes(link_seat *seat)
{
    epx_port *port;
    link_flow flow;

    if (!link_open_pair(seat, 1, 512, 4, false, &port))
        return false;
    flow = link_flow_of(port, 0, 2 * 513);
    flow.every_size = true;
    return link_run_flows(seat, &flow, 1) && link_close_port(seat, port);
}

/* Puts as many chunks of one byte as there are slots; then there must be none. */
static inline bool link_fill_ring(link_seat *seat, epx_port *port, uint32_t *puts)
{
    const epx_link_ops *ops = seat->link->ops;
    unsigned char *slot;

    while ((slot = ops->reserve(port, 0)) != NULL) {
        LINK_CHECK(seat, ops->reserve(port, 0) == (void *)slot); /* the same until put */
        slot[0] = (unsigned char)++*puts;
        LINK_CHECK(seat, ops->put(port, 0, 1) == EPX_OK);
        LINK_CHECK(seat, *puts <= 2 * port->config.depth);
    }
    return true;
}

/* Takes count chunks of one byte, the numbers after `first`, as they come. */
static inline bool link_take_bytes(link_seat *seat, epx_port *port, uint32_t first, uint32_t count)
{
    const epx_link_ops *ops = seat->link->ops;
    unsigned char *chunk;
    size_t bytes = 0;
    uint32_t i;

    for (i = 1; i <= count; i++) {
        while ((chunk = ops->peek(port, 0, &bytes)) == NULL)
            LINK_CHECK(seat, link_turn(seat, seat->until));
        LINK_CHECK(seat, bytes == 1 && chunk[0] == (unsigned char)(first + i));
        LINK_CHECK(seat, ops->release(port, 0) == EPX_OK);
    }
    return true;
}

/* Rank 0 fills the ring, rank 1 releases half of it: some slots come back, never more. */
static inline bool link_check_credit_depth(link_seat *seat, uint32_t id, uint32_t depth)
{
    const epx_link_ops *ops = seat->link->ops;
    uint32_t half = (depth + 1) / 2, puts = 0;
    epx_port *port;

    if (!link_open_pair(seat, id, 64, depth, false, &port))
        return false;
    if (seat->rank == 0) {
        if (!link_fill_ring(seat, port, &puts))
            return false;
        LINK_CHECK(seat, puts == depth);
        link_pause(seat, 2 * EPX_NS_PER_MS);
        LINK_CHECK(seat, ops->reserve(port, 0) == NULL); /* nothing has been released */
        LINK_CHECK(seat, link_barrier(seat));
        while (ops->reserve(port, 0) == NULL)
            LINK_CHECK(seat, link_turn(seat, seat->until));
        while (puts < depth + half) {
            if (!link_fill_ring(seat, port, &puts))
                return false;
            LINK_CHECK(seat, puts <= depth + half);
            LINK_CHECK(seat, puts == depth + half || link_turn(seat, seat->until));
        }
        LINK_CHECK(seat, ops->reserve(port, 0) == NULL);
    } else if (!link_barrier(seat) || !link_take_bytes(seat, port, 0, half)) {
        return false;
    }
    if (!link_barrier(seat))
        return false;
    if (seat->rank == 1 && !link_take_bytes(seat, port, half, depth))
        return false;
    return link_close_port(seat, port);
}

static inline bool link_check_credits(link_seat *seat)
{
    return link_check_credit_depth(seat, 1, 1) && link_check_credit_depth(seat, 2, 4) &&
           link_check_credit_depth(seat, 3, 64);
}

/* Each chunk is answered, and the answer allows the next one: nobody needs credits. */
static inline bool link_check_self_clocked(link_seat *seat)
{
    const uint32_t depth = 4, rounds = 500;
    const epx_link_ops *ops = seat->link->ops;
    uint32_t sent = 0, taken = 0, *chunk;
    epx_port *port;
    size_t bytes;
    void *slot;

    if (!link_open_pair(seat, 5, 64, depth, true, &port))
        return false;
    while (taken < rounds) {
        while (sent < rounds && sent < taken + (seat->rank == 0 ? depth : 0)) {
            slot = ops->reserve(port, 0);
            LINK_CHECK(seat, slot != NULL);
            memcpy(slot, &sent, sizeof(sent));
            LINK_CHECK(seat, ops->put(port, 0, sizeof(sent)) == EPX_OK);
            sent++;
        }
        while ((chunk = ops->peek(port, 0, &bytes)) == NULL)
            LINK_CHECK(seat, link_turn(seat, seat->until));
        LINK_CHECK(seat, bytes == sizeof(taken) && *chunk == taken);
        LINK_CHECK(seat, ops->release(port, 0) == EPX_OK);
        taken++;
    }
    while (sent < rounds) { /* rank 1 owes the last answer */
        slot = ops->reserve(port, 0);
        LINK_CHECK(seat, slot != NULL);
        memcpy(slot, &sent, sizeof(sent));
        LINK_CHECK(seat, ops->put(port, 0, sizeof(sent)) == EPX_OK);
        sent++;
    }
    return link_close_port(seat, port);
}

static inline bool link_check_many_ports(link_seat *seat)
{
    enum { PORTS = 12, FLOWS = PORTS * LINK_MAX_RANKS };
    epx_port *ports[PORTS];
    link_flow flows[FLOWS];
    int32_t peers[LINK_MAX_RANKS], p;
    size_t i, count = 0;

    for (i = 0; i < PORTS; i++) {
        epx_port_config cfg = link_others_config(seat, 100 + (uint32_t)i, 64 * (1 + i * i),
                                                 1 + (uint32_t)i % 5, peers);

        if (!link_open_port(seat, &cfg, &ports[i]))
            return false;
        for (p = 0; p < cfg.num_peers; p++)
            flows[count++] = link_flow_of(ports[i], p, 40 + 5 * i);
    }
    if (!link_run_flows(seat, flows, count))
        return false;
    for (i = 0; i < PORTS; i++)
        if (!link_close_port(seat, ports[i]))
            return false;
    return true;
}

static inline bool link_check_all_to_all(link_seat *seat)
{
    link_flow flows[LINK_MAX_RANKS];
    int32_t peers[LINK_MAX_RANKS], p;
    epx_port_config cfg = link_others_config(seat, 7, 2048, 3, peers);
    epx_port *port;

    if (!link_open_port(seat, &cfg, &port))
        return false;
    for (p = 0; p < cfg.num_peers; p++)
        flows[p] = link_flow_of(port, p, 60);
    return link_run_flows(seat, flows, (size_t)cfg.num_peers) && link_close_port(seat, port);
}

/* A port to oneself alone. */
static inline bool link_check_oneself(link_seat *seat)
{
    epx_port_config cfg = link_port_config(seat, 9, 128, 2);
    link_flow flow;
    epx_port *port;

    cfg.peers = &seat->rank;
    cfg.num_peers = 1;
    if (!link_open_port(seat, &cfg, &port))
        return false;
    flow = link_flow_of(port, 0, 300);
    return link_run_flows(seat, &flow, 1) && link_close_port(seat, port);
}

/* Everything is put before the receiver looks for the first time. */
static inline bool link_check_early(link_seat *seat)
{
    const uint32_t depth = 8;
    uint32_t puts = 0;
    epx_port *port;

    if (!link_open_pair(seat, 11, 64, depth, false, &port))
        return false;
    if (seat->rank == 0 && !link_fill_ring(seat, port, &puts))
        return false;
    if (seat->rank == 1) {
        link_pause(seat, 20 * EPX_NS_PER_MS);
        if (!link_take_bytes(seat, port, 0, depth))
            return false;
    }
    return link_close_port(seat, port);
}

static inline bool link_check_drained(link_seat *seat)
{
    const epx_link_ops *ops = seat->link->ops;
    uint32_t puts = 0;
    epx_port *port;

    if (!link_open_pair(seat, 13, 64, 4, false, &port))
        return false;
    LINK_CHECK(seat, ops->drained(port)); /* nothing was ever put */
    if (seat->rank == 0) {
        if (!link_fill_ring(seat, port, &puts))
            return false;
    }
    if (!link_barrier(seat))
        return false;
    if (seat->rank == 1) {
        link_pause(seat, 5 * EPX_NS_PER_MS);
        if (!link_take_bytes(seat, port, 0, 4))
            return false;
    }
    while (!ops->drained(port))
        LINK_CHECK(seat, link_turn(seat, seat->until));
    return link_close_port(seat, port);
}

static inline bool link_refuses(link_seat *seat, epx_port_config cfg)
{
    epx_port *port = (epx_port *)(void *)seat; /* outputs are untouched on failure */

    LINK_CHECK(seat, seat->link->ops->port_open(seat->link, &cfg, &port) == EPX_ERR_INVALID);
    LINK_CHECK(seat, port == (epx_port *)(void *)seat);
    return true;
}

static inline bool link_check_bad_configs(link_seat *seat)
{
    static const int32_t twice[2] = {0, 0}, negative[2] = {-1, 0};
    const epx_port_config good = link_port_config(seat, 15, 128, 4);
    epx_port_config bad[9];
    size_t i;

    for (i = 0; i < 9; i++)
        bad[i] = good;
    bad[0].id = UINT32_C(1) << 28;
    bad[1].depth = 0;
    bad[2].depth = 65;
    bad[3].slot_bytes = 0;
    bad[4].slot_bytes = 100;
    bad[5].num_peers = 0;
    bad[6].peers = NULL;
    bad[7].peers = twice;
    bad[7].num_peers = 2;
    bad[8].peers = negative;
    bad[8].num_peers = 2;
    for (i = 0; i < 9; i++)
        if (!link_refuses(seat, bad[i]))
            return false;
    return true;
}

/* A chunk that does not fit is refused; the slot remains and can be used. */
static inline bool link_check_too_large(link_seat *seat)
{
    const epx_link_ops *ops = seat->link->ops;
    unsigned char *slot;
    epx_port *port;

    if (!link_open_pair(seat, 17, 64, 2, false, &port))
        return false;
    if (seat->rank == 0) {
        slot = ops->reserve(port, 0);
        LINK_CHECK(seat, slot != NULL);
        LINK_CHECK(seat, ops->put(port, 0, 65) == EPX_ERR_INVALID);
        slot = ops->reserve(port, 0);
        LINK_CHECK(seat, slot != NULL);
        slot[0] = 1;
        LINK_CHECK(seat, ops->put(port, 0, 1) == EPX_OK);
    } else if (!link_take_bytes(seat, port, 0, 1)) {
        return false;
    }
    return link_close_port(seat, port);
}

/* Rank 0 has a port with everyone, the others with rank 0 only. */
static inline bool link_check_star(link_seat *seat)
{
    link_flow flows[LINK_MAX_RANKS];
    epx_port_config cfg = link_port_config(seat, 19, 256, 2);
    epx_port *port;
    int32_t p;

    cfg.peers = seat->rank == 0 ? link_all_ranks() + 1 : link_all_ranks();
    cfg.num_peers = seat->rank == 0 ? seat->ranks - 1 : 1;
    if (!link_open_port(seat, &cfg, &port))
        return false;
    for (p = 0; p < cfg.num_peers; p++)
        flows[p] = link_flow_of(port, p, 100);
    return link_run_flows(seat, flows, (size_t)cfg.num_peers) && link_close_port(seat, port);
}

/* Four ranks in disjoint pairs that use the same id, then in other pairs. */
static inline bool link_check_groups(link_seat *seat)
{
    static const int32_t partner[2][4] = {{1, 0, 3, 2}, {2, 3, 0, 1}};
    epx_port *port[2];
    link_flow flows[2];
    uint32_t i;

    for (i = 0; i < 2; i++) {
        epx_port_config cfg = link_port_config(seat, 21 + i, 128, 2);

        cfg.peers = &partner[i][seat->rank];
        cfg.num_peers = 1;
        LINK_CHECK(seat, seat->link->ops->port_open(seat->link, &cfg, &port[i]) == EPX_OK);
        flows[i] = link_flow_of(port[i], 0, 200);
    }
    return link_barrier(seat) && link_run_flows(seat, flows, 2) && link_close_port(seat, port[0]) &&
           link_close_port(seat, port[1]);
}

#endif /* EPX_TESTS_LINK_CHECKS_PORT_H */
