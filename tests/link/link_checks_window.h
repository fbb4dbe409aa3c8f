/* link_checks_window.h - memory of all ranks, mapped by all: on mapped links only. */
#ifndef EPX_TESTS_LINK_CHECKS_WINDOW_H
#define EPX_TESTS_LINK_CHECKS_WINDOW_H

#include "link/link_checks_wait.h"

#define LINK_WINDOW_BYTES (3 * 4096 + 100) /* no multiple of anything */

static inline bool link_open_window(link_seat *seat, size_t bytes, epx_window **window_out)
{
    LINK_CHECK(seat, seat->link->ops->window_open(seat->link, link_all_ranks(), seat->ranks, bytes,
                                                  window_out) == EPX_OK);
    LINK_CHECK(seat, (*window_out)->bytes == bytes && (*window_out)->num_peers == seat->ranks);
    return true;
}

static inline bool link_is_zero(const unsigned char *bytes, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

/* Rank w writes byte 16 * owner + w + 1 at place w of each owner's part, and into its own end. */
static inline bool link_write_window(link_seat *seat, epx_window *window, unsigned char salt)
{
    unsigned char *base;
    int32_t owner;

    for (owner = 0; owner < seat->ranks; owner++) {
        base = window->base[owner];
        LINK_CHECK(seat, window->peers[owner] == owner);
        LINK_CHECK(seat, base != NULL && (uintptr_t)base % 64 == 0);
        base[seat->rank] = (unsigned char)(salt + 16 * owner + seat->rank + 1);
    }
    base = window->base[seat->rank];
    base[window->bytes - 1] = (unsigned char)(salt + seat->rank + 1);
    return true;
}

static inline bool link_read_window(link_seat *seat, epx_window *window, unsigned char salt)
{
    size_t ranks = (size_t)seat->ranks;
    int32_t owner, writer;
    unsigned char *base;

    for (owner = 0; owner < seat->ranks; owner++) {
        base = window->base[owner];
        for (writer = 0; writer < seat->ranks; writer++)
            LINK_CHECK(seat, base[writer] == (unsigned char)(salt + 16 * owner + writer + 1));
        LINK_CHECK(seat, link_is_zero(base + ranks, window->bytes - ranks - 1));
        LINK_CHECK(seat, base[window->bytes - 1] == (unsigned char)(salt + owner + 1));
    }
    return true;
}

/* Two windows at once: zeroed, seen by all, apart from each other. */
static inline bool link_check_windows(link_seat *seat)
{
    epx_window *window[2];
    int32_t owner;
    int i;

    for (i = 0; i < 2; i++) {
        if (!link_open_window(seat, LINK_WINDOW_BYTES, &window[i]))
            return false;
        for (owner = 0; owner < seat->ranks; owner++)
            LINK_CHECK(seat, link_is_zero(window[i]->base[owner], LINK_WINDOW_BYTES));
        if (!link_barrier(seat))
            return false;
    }
    for (i = 0; i < 2; i++)
        if (!link_write_window(seat, window[i], (unsigned char)(100 * i)))
            return false;
    if (!link_barrier(seat))
        return false;
    for (i = 0; i < 2; i++)
        if (!link_read_window(seat, window[i], (unsigned char)(100 * i)))
            return false;
    if (!link_barrier(seat))
        return false;
    for (i = 0; i < 2; i++)
        seat->link->ops->window_close(window[i]);
    return true;
}

/* Ranks 0 and 1 hand a number to and fro through their windows, asleep in between. */
static inline bool link_check_ring_wakes(link_seat *seat)
{
    const uint64_t rounds = 100;
    const epx_link_ops *ops = seat->link->ops;
    _Atomic uint64_t *mine, *theirs;
    epx_window *window;
    uint64_t n, before;

    if (!link_open_window(seat, 64, &window))
        return false;
    mine = window->base[seat->rank];
    theirs = window->base[1 - seat->rank];
    for (n = 1; n <= rounds; n++) {
        before = link_now(seat);
        if (seat->rank == 0) {
            atomic_store_explicit(theirs, n, memory_order_release);
            ops->ring(seat->link, 1);
        }
        while (atomic_load_explicit(mine, memory_order_acquire) < n)
            LINK_CHECK(seat, link_turn(seat, seat->until));
        LINK_CHECK(seat, seat->rank == 1 || link_now(seat) - before < LINK_WAKE_NS);
        if (seat->rank == 1) {
            atomic_store_explicit(theirs, n, memory_order_release);
            ops->ring(seat->link, 0);
        }
    }
    if (!link_barrier(seat))
        return false;
    ops->window_close(window);
    return true;
}

static inline bool link_check_bad_windows(link_seat *seat)
{
    static const int32_t twice[2] = {0, 0};
    const epx_link_ops *ops = seat->link->ops;
    epx_window *window = (epx_window *)(void *)seat;

    LINK_CHECK(seat, ops->window_open(seat->link, link_all_ranks(), seat->ranks, 0, &window) ==
                         EPX_ERR_INVALID);
    LINK_CHECK(seat, ops->window_open(seat->link, twice, 2, 64, &window) == EPX_ERR_INVALID);
    LINK_CHECK(seat, window == (epx_window *)(void *)seat);
    return true;
}

static inline bool link_check_no_windows(link_seat *seat)
{
    epx_window *window = (epx_window *)(void *)seat;

    LINK_CHECK(seat, seat->link->ops->window_open(seat->link, link_all_ranks(), seat->ranks, 64,
                                                  &window) == EPX_ERR_UNSUPPORTED);
    LINK_CHECK(seat, window == (epx_window *)(void *)seat);
    return true;
}

#endif /* EPX_TESTS_LINK_CHECKS_WINDOW_H */
