/* link_seat.h - what a check of the link suite stands on: N ranks, each with an opened link, as
 * processes or as coroutines of one process.
 *
 * A check is a function that every rank runs: it returns true, or says what was wrong and returns
 * false. It waits only through link_turn(), link_pause() and link_barrier(), which end when another
 * rank has failed or time is up. */
#ifndef EPX_TESTS_LINK_SEAT_H
#define EPX_TESTS_LINK_SEAT_H

#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "comm/boot/boot.h"
#include "comm/boot/mesh.h"
#include "comm/link/link.h"
#include "core/clock.h"
#include "core/rng.h"

#define LINK_MAX_RANKS 16
#define LINK_LIMIT_NS (UINT64_C(20000) * EPX_NS_PER_MS)

/* Memory that all ranks of a run share, apart from the link. Starts zeroed. */
typedef struct link_board {
    _Atomic uint64_t arrived;               /* at barriers */
    _Atomic uint64_t leaving;               /* done with the check */
    _Atomic int failed;                     /* somebody was wrong: nobody waits any longer */
    _Atomic int64_t pid[LINK_MAX_RANKS];    /* of ranks that are processes */
    _Atomic uint64_t words[LINK_MAX_RANKS]; /* the check's own */
} link_board;

typedef struct link_fixture link_fixture;

/* What one rank has. Root ranks are 0..ranks-1. */
typedef struct link_seat {
    const link_fixture *fixture;
    link_board *board;
    epx_link *link;
    epx_boot *boot; /* and mesh, world: the fixture's, NULL where there is none */
    epx_mesh *mesh;
    void *world;
    int32_t rank, ranks;
    uint64_t goal;  /* arrivals that the latest barrier waits for */
    uint64_t until; /* when the check gives up */
} link_seat;

typedef bool (*link_check)(link_seat *seat);

/* One link and the way to run ranks over it. */
struct link_fixture {
    const char *name; /* what the link calls itself */
    int32_t max_ranks;
    bool mapped;      /* it has windows */
    bool processes;   /* ranks are processes: one may be killed */
    bool loopback;    /* a port may contain oneself */
    bool faults;      /* notices, ends of ranks and fail() are its own, not the boot's */
    uint32_t lost_ms; /* within which a killed rank is heard of */
    /* Opens links between `ranks` ranks, runs check on all, closes. victim: the rank that the check
     * kills, -1: none. True if all others returned true. */
    bool (*run)(const link_fixture *fixture, int32_t ranks, link_check check, int32_t victim);
    /* With the link armed: sleeps until its descriptors are readable, at most until `until`. */
    void (*sleep)(link_seat *seat, uint64_t until);
    uint64_t (*now)(link_seat *seat); /* the same clock on all ranks */
    /* For link_processes.h: opens seat->link. */
    epx_status (*open)(link_seat *seat);
};

static inline bool link_failed(link_seat *seat, const char *file, int line, const char *condition)
{
    fprintf(stderr, "%s:%d: %s rank %d of %d: %s (last error: %s)\n", file, line,
            seat->fixture->name, seat->rank, seat->ranks, condition, epx_last_error());
    atomic_store(&seat->board->failed, 1);
    return false;
}

/* In a function that returns bool: ends it with false unless the condition holds. */
#define LINK_CHECK(seat, condition)                                                                \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return link_failed(seat, __FILE__, __LINE__, #condition);                              \
    } while (0)

static inline uint64_t link_now(link_seat *seat)
{
    return seat->fixture->now(seat);
}

/* The whole of waiting, once: sleeps unless something has happened since the latest progress, then
 * makes progress for the scan that follows. False when it is too late to go on. */
static inline bool link_turn(link_seat *seat, uint64_t until)
{
    const epx_link_ops *ops = seat->link->ops;

    if (ops->arm(seat->link))
        seat->fixture->sleep(seat, until < seat->until ? until : seat->until);
    ops->woken(seat->link);
    ops->progress(seat->link);
    return link_now(seat) < until && link_now(seat) < seat->until &&
           atomic_load(&seat->board->failed) == 0;
}

/* Lets time pass, and the link work. How many turns that took. */
static inline uint64_t link_pause(link_seat *seat, uint64_t ns)
{
    uint64_t until = link_now(seat) + ns, turns = 1;

    while (link_turn(seat, until))
        turns++;
    return turns;
}

/* Waits until all ranks have come here, or `absent` fewer. */
static inline bool link_barrier_without(link_seat *seat, int32_t absent)
{
    uint64_t nap;

    seat->goal += (uint64_t)(seat->ranks - absent);
    atomic_fetch_add(&seat->board->arrived, 1);
    while (atomic_load(&seat->board->arrived) < seat->goal) {
        seat->link->ops->progress(seat->link);
        nap = link_now(seat) + UINT64_C(200000);
        seat->fixture->sleep(seat, nap);
        if (link_now(seat) >= seat->until || atomic_load(&seat->board->failed) != 0)
            return link_failed(seat, __FILE__, __LINE__, "all ranks reach the barrier");
    }
    return true;
}

static inline bool link_barrier(link_seat *seat)
{
    return link_barrier_without(seat, 0);
}

#endif /* EPX_TESTS_LINK_SEAT_H */
