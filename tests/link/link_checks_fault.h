/* link_checks_fault.h - notices reach everyone; the dead are heard of; the living go on. */
#ifndef EPX_TESTS_LINK_CHECKS_FAULT_H
#define EPX_TESTS_LINK_CHECKS_FAULT_H

#include <signal.h>
#include <string.h>
#include <sys/types.h>

#include "link/link_checks_port.h"

#define LINK_NOTICES 3 /* that each rank tells at once */

/* Its number stands in the status; everything in it is something that a rank may say. */
static inline epx_notice link_notice_of(const link_seat *seat, int32_t from, int32_t number)
{
    epx_notice notice = {
        .kind = EPX_NOTICE_WAITING, .from = from, .rank = number % seat->ranks, .status = -number};

    memset(notice.text, 'a' + (7 * from + number) % 26, sizeof(notice.text) - 1);
    return notice;
}

static inline bool link_check_notices(link_seat *seat)
{
    const epx_link_ops *ops = seat->link->ops;
    int32_t peers[LINK_MAX_RANKS];
    epx_port_config cfg = link_others_config(seat, 23, 64, 2, peers);
    epx_port *port;
    int32_t heard[LINK_MAX_RANKS] = {0}, open = (seat->ranks - 1) * LINK_NOTICES, i;
    epx_notice notice;

    if (!link_open_port(seat, &cfg, &port))
        return false;
    if (seat->rank % 2 == 1)
        link_pause(seat, 10 * EPX_NS_PER_MS); /* some tell while others already listen */
    for (i = 1; i <= LINK_NOTICES; i++) {
        notice = link_notice_of(seat, seat->rank, i);
        ops->tell(seat->link, &notice);
    }
    while (open > 0) {
        memset(&notice, 0x55, sizeof(notice));
        if (!ops->hear(seat->link, &notice)) {
            LINK_CHECK(seat, link_turn(seat, seat->until));
            continue;
        }
        LINK_CHECK(seat, notice.from >= 0 && notice.from < seat->ranks);
        LINK_CHECK(seat, notice.from != seat->rank);
        epx_notice expected = link_notice_of(seat, notice.from, ++heard[notice.from]);
        LINK_CHECK(seat, memcmp(&notice, &expected, sizeof(notice)) == 0);
        open--;
    }
    link_pause(seat, 10 * EPX_NS_PER_MS);
    LINK_CHECK(seat, !ops->hear(seat->link, &notice)); /* each of them once */
    return link_close_port(seat, port);
}

/* Rank 0 kills the last rank. How long that took to be heard counts from then. */
static inline bool link_hear_death(link_seat *seat, int32_t victim)
{
    const epx_link_ops *ops = seat->link->ops;
    _Atomic uint64_t *killed = &seat->board->words[0];
    const uint64_t limit = seat->fixture->lost_ms * EPX_NS_PER_MS;
    epx_notice notice;

    if (seat->rank == 0) {
        link_pause(seat, 5 * EPX_NS_PER_MS);
        atomic_store(killed, link_now(seat));
        LINK_CHECK(seat, kill((pid_t)atomic_load(&seat->board->pid[victim]), SIGKILL) == 0);
    }
    while (!ops->hear(seat->link, &notice))
        LINK_CHECK(seat, link_turn(seat, seat->until));
    LINK_CHECK(seat, notice.kind == EPX_NOTICE_LOST && notice.rank == victim);
    LINK_CHECK(seat, link_now(seat) < atomic_load(killed) + limit);
    (ops->fail)(seat->link, victim); /* CMocka has a macro of that name */
    link_pause(seat, 20 * EPX_NS_PER_MS);
    LINK_CHECK(seat, !ops->hear(seat->link, &notice)); /* once per rank */
    return true;
}

/* The last rank dies with a full ring towards it; the others go on without it. */
static inline bool link_check_death(link_seat *seat)
{
    const epx_link_ops *ops = seat->link->ops;
    const int32_t victim = seat->ranks - 1;
    link_flow flows[LINK_MAX_RANKS];
    int32_t peers[LINK_MAX_RANKS], p;
    size_t count = 0;
    epx_port_config cfg = link_others_config(seat, 41, 256, 2, peers);
    epx_port *port;
    bool moved = false;

    if (!link_open_port(seat, &cfg, &port))
        return false;
    if (seat->rank == victim)
        return !link_turn(seat, seat->until) || link_pause(seat, LINK_LIMIT_NS) == 0;
    for (p = 0; p < cfg.num_peers; p++)
        flows[p] = link_flow_of(port, p, 50);
    if (!link_try_send(seat, &flows[cfg.num_peers - 1], &moved) ||
        !link_try_send(seat, &flows[cfg.num_peers - 1], &moved) || !link_hear_death(seat, victim))
        return false;
    LINK_CHECK(seat, ops->reserve(port, cfg.num_peers - 1) == NULL);
    for (p = 0; p < cfg.num_peers; p++)
        if (peers[p] != victim)
            flows[count++] = flows[p];
    if (!link_run_flows(seat, flows, count))
        return false;
    while (!ops->drained(port))
        LINK_CHECK(seat, link_turn(seat, seat->until));
    if (!link_barrier_without(seat, 1))
        return false;
    ops->port_close(port);
    return true;
}

/* Rank 0 stops talking to rank 1, although that one lives; rank 2 is not concerned. */
static inline bool link_check_fail(link_seat *seat)
{
    const epx_link_ops *ops = seat->link->ops;
    epx_port_config cfg = link_port_config(seat, 43, 64, 2);
    static const int32_t hub = 0;
    link_flow flow;
    epx_port *port;

    cfg.peers = seat->rank == 0 ? link_all_ranks() + 1 : &hub;
    cfg.num_peers = seat->rank == 0 ? 2 : 1;
    if (!link_open_port(seat, &cfg, &port))
        return false;
    flow = link_flow_of(port, seat->rank == 0 ? 1 : 0, 100);
    if (seat->rank == 0) {
        LINK_CHECK(seat, ops->reserve(port, 0) != NULL);
        LINK_CHECK(seat, ops->put(port, 0, 8) == EPX_OK);
        (ops->fail)(seat->link, 1); /* CMocka has a macro of that name */
        LINK_CHECK(seat, ops->reserve(port, 0) == NULL);
    }
    if (seat->rank != 1 && !link_run_flows(seat, &flow, 1))
        return false;
    while (seat->rank != 1 && !ops->drained(port))
        LINK_CHECK(seat, link_turn(seat, seat->until));
    if (!link_barrier(seat))
        return false;
    ops->port_close(port);
    return true;
}

#endif /* EPX_TESTS_LINK_CHECKS_FAULT_H */
