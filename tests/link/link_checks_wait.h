/* link_checks_wait.h - who waits sleeps, and is woken by what he waits for. */
#ifndef EPX_TESTS_LINK_CHECKS_WAIT_H
#define EPX_TESTS_LINK_CHECKS_WAIT_H

#include "link/link_checks_port.h"

#define LINK_WAKE_NS (100 * EPX_NS_PER_MS)

/* Rank 0 sends the time now and then; rank 1 sleeps until it comes. */
static inline bool link_check_wakes(link_seat *seat)
{
    const epx_link_ops *ops = seat->link->ops;
    uint64_t stamp, turns = 0;
    epx_port *port;
    size_t bytes;
    void *at;
    int i;

    if (!link_open_pair(seat, 31, 64, 2, false, &port))
        return false;
    for (i = 0; i < 100; i++) {
        if (seat->rank == 0) {
            link_pause(seat, EPX_NS_PER_MS);
            while ((at = ops->reserve(port, 0)) == NULL)
                LINK_CHECK(seat, link_turn(seat, seat->until));
            stamp = link_now(seat);
            memcpy(at, &stamp, sizeof(stamp));
            LINK_CHECK(seat, ops->put(port, 0, sizeof(stamp)) == EPX_OK);
            continue;
        }
        for (; (at = ops->peek(port, 0, &bytes)) == NULL; turns++)
            LINK_CHECK(seat, link_turn(seat, seat->until));
        memcpy(&stamp, at, sizeof(stamp));
        LINK_CHECK(seat, link_now(seat) - stamp < LINK_WAKE_NS);
        LINK_CHECK(seat, ops->release(port, 0) == EPX_OK);
    }
    LINK_CHECK(seat, turns < 50 * 100);
    return link_close_port(seat, port);
}

/* A ring of one slot: rank 0 sleeps until the receiver has released it. */
static inline bool link_check_credit_wakes(link_seat *seat)
{
    const epx_link_ops *ops = seat->link->ops;
    _Atomic uint64_t *released = &seat->board->words[0];
    unsigned char *slot;
    epx_port *port;
    uint64_t now;
    uint32_t i;

    if (!link_open_pair(seat, 33, 64, 1, false, &port))
        return false;
    for (i = 0; i < 30; i++) {
        if (seat->rank == 1) {
            link_pause(seat, 2 * EPX_NS_PER_MS);
            atomic_store(released, link_now(seat));
            if (!link_take_bytes(seat, port, i, 1))
                return false;
            continue;
        }
        while ((slot = ops->reserve(port, 0)) == NULL)
            LINK_CHECK(seat, link_turn(seat, seat->until));
        now = link_now(seat);
        LINK_CHECK(seat, i == 0 || now < atomic_load(released) + LINK_WAKE_NS);
        slot[0] = (unsigned char)(i + 1);
        LINK_CHECK(seat, ops->put(port, 0, 1) == EPX_OK);
    }
    return link_close_port(seat, port);
}

/* With nothing to do, a rank is not woken again and again. */
static inline bool link_check_idle(link_seat *seat)
{
    epx_port *port;

    if (!link_open_pair(seat, 35, 64, 2, false, &port))
        return false;
    link_pause(seat, 20 * EPX_NS_PER_MS); /* what the opening left behind */
    LINK_CHECK(seat, link_pause(seat, 100 * EPX_NS_PER_MS) < 50);
    return link_close_port(seat, port);
}

/* What comes between the scan and the sleep must not be slept over. */
static inline bool link_check_no_sleep_over(link_seat *seat)
{
    const epx_link_ops *ops = seat->link->ops;
    epx_port_config cfg = link_port_config(seat, 37, 64, 4);
    uint64_t before;
    epx_port *port;
    size_t bytes;
    int i;

    cfg.peers = &seat->rank;
    cfg.num_peers = 1;
    if (!link_open_port(seat, &cfg, &port))
        return false;
    for (i = 0; i < 50; i++) {
        ops->progress(seat->link);
        LINK_CHECK(seat, ops->peek(port, 0, &bytes) == NULL);
        while (ops->reserve(port, 0) == NULL)
            LINK_CHECK(seat, link_turn(seat, seat->until));
        LINK_CHECK(seat, ops->put(port, 0, 8) == EPX_OK);
        before = link_now(seat);
        do
            LINK_CHECK(seat, link_turn(seat, before + 1000 * EPX_NS_PER_MS));
        while (ops->peek(port, 0, &bytes) == NULL);
        LINK_CHECK(seat, link_now(seat) - before < LINK_WAKE_NS);
        LINK_CHECK(seat, ops->release(port, 0) == EPX_OK);
    }
    return link_close_port(seat, port);
}

static inline bool link_check_descriptors(link_seat *seat)
{
    int fds[EPX_LINK_MAX_FDS], n = seat->link->ops->fds(seat->link, fds);
    int i;

    LINK_CHECK(seat, n >= 0 && n <= EPX_LINK_MAX_FDS);
    for (i = 0; i < n; i++)
        LINK_CHECK(seat, fds[i] >= 0);
    return true;
}

#endif /* EPX_TESTS_LINK_CHECKS_WAIT_H */
