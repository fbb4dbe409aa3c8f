/* ucx_job.h - a job of forked ranks whose links are UCX over loopback.
 *
 * The boot is a stand-in that gathers through memory shared by fork: a link test depends on
 * nothing but the link. */
#ifndef EPX_TESTS_LINK_UCX_JOB_H
#define EPX_TESTS_LINK_UCX_JOB_H

#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "comm/boot/boot.h"
#include "comm/link/ucx.h"
#include "core/clock.h"
#include "core/mem.h"
#include "support/ranks.h"

#define UCX_JOB_MAX 80
#define UCX_JOB_GATHER 4096
#define UCX_JOB_WORDS 16

typedef struct ucx_job {
    int size;
    atomic_int started[UCX_JOB_MAX];                    /* gathers, by rank */
    unsigned char data[2][UCX_JOB_MAX][UCX_JOB_GATHER]; /* of gathers with even and odd numbers */
    atomic_int_fast64_t words[UCX_JOB_WORDS];           /* results and times, for the test */
} ucx_job;

typedef struct ucx_boot {
    epx_boot base;
    ucx_job *job;
    int number; /* of the gather under way */
    size_t bytes;
    void *all;
} ucx_boot;

static inline ucx_job *ucx_job_make(int size)
{
    ucx_job *job = ranks_shared(sizeof(*job));

    job->size = size;
    return job;
}

static inline epx_status ucx_gather_start(epx_boot *base, const void *mine, size_t bytes, void *all)
{
    ucx_boot *boot = (ucx_boot *)base;

    if (bytes > UCX_JOB_GATHER)
        return EPX_ERR_OVERFLOW;
    boot->bytes = bytes;
    boot->all = all;
    boot->number++;
    memcpy(boot->job->data[boot->number % 2][base->rank], mine, bytes);
    atomic_store(&boot->job->started[base->rank], boot->number);
    return EPX_OK;
}

static inline bool ucx_gather_done(epx_boot *base, epx_status *status_out)
{
    ucx_boot *boot = (ucx_boot *)base;
    int i;

    for (i = 0; i < base->size; i++)
        if (atomic_load(&boot->job->started[i]) < boot->number)
            return false;
    for (i = 0; i < base->size; i++)
        memcpy((unsigned char *)boot->all + (size_t)i * boot->bytes,
               boot->job->data[boot->number % 2][i], boot->bytes);
    *status_out = EPX_OK;
    return true;
}

static inline bool ucx_boot_step(epx_boot *base)
{
    (void)base;
    return false;
}

static inline void ucx_boot_wait(epx_boot *base, uint64_t until_ns)
{
    (void)base;
    (void)until_ns;
    ranks_sleep_ms(1);
}

static inline epx_boot *ucx_boot_init(ucx_boot *boot, ucx_job *job, int rank)
{
    static const epx_boot_ops ops = {
        .gather_start = ucx_gather_start,
        .gather_done = ucx_gather_done,
        .step = ucx_boot_step,
        .wait = ucx_boot_wait,
    };

    *boot = (ucx_boot){.job = job};
    boot->base.ops = &ops;
    boot->base.rank = rank;
    boot->base.size = job->size;
    boot->base.fd = -1;
    strcpy(boot->base.address, "127.0.0.1");
    return &boot->base;
}

static inline void ucx_barrier(epx_boot *boot)
{
    char mine = 0, all[UCX_JOB_MAX];

    RANK_OK(epx_boot_allgather(boot, &mine, 1, all, 10000));
}

/* Every rank is far from every other. */
static inline epx_link *ucx_open_all_far(epx_boot *boot)
{
    bool near_ranks[UCX_JOB_MAX] = {false};
    epx_link *link;

    near_ranks[boot->rank] = true;
    RANK_OK(epx_ucx_open(boot, near_ranks, true, 10000, &link));
    return link;
}

/* A port with all other ranks. */
static inline epx_port *ucx_port_with_all(epx_link *link, int size, uint32_t id, size_t slot_bytes,
                                          uint32_t depth)
{
    int32_t peers[UCX_JOB_MAX], i;
    epx_port_config cfg = {.id = id, .peers = peers, .slot_bytes = slot_bytes, .depth = depth};
    epx_port *port;

    for (i = 0; i < size; i++)
        if (i != link->rank)
            peers[cfg.num_peers++] = i;
    RANK_OK(link->ops->port_open(link, &cfg, &port));
    return port;
}

/* Progress, or sleep until something happens or ms have passed. */
static inline void ucx_turn(epx_link *link, int ms)
{
    struct pollfd fds[EPX_LINK_MAX_FDS];
    int raw[EPX_LINK_MAX_FDS], n, i;

    if (link->ops->progress(link))
        return;
    n = link->ops->fds(link, raw);
    for (i = 0; i < n; i++)
        fds[i] = (struct pollfd){.fd = raw[i], .events = POLLIN};
    if (link->ops->arm(link))
        (void)poll(fds, (nfds_t)n, ms);
    link->ops->woken(link);
}

/* Turns for ms, whatever happens. */
static inline void ucx_run_for(epx_link *link, uint64_t ms)
{
    uint64_t until = epx_deadline(epx_clock_ns(), ms);

    while (epx_clock_ns() < until)
        ucx_turn(link, 5);
}

static inline void *ucx_reserve(epx_port *port, int32_t peer)
{
    uint64_t until = epx_deadline(epx_clock_ns(), 5000);
    void *slot;

    while ((slot = port->link->ops->reserve(port, peer)) == NULL) {
        RANK_CHECK(epx_clock_ns() < until);
        ucx_turn(port->link, 100);
    }
    return slot;
}

static inline void *ucx_peek(epx_port *port, int32_t peer, size_t *bytes_out)
{
    uint64_t until = epx_deadline(epx_clock_ns(), 5000);
    void *chunk;

    while ((chunk = port->link->ops->peek(port, peer, bytes_out)) == NULL) {
        RANK_CHECK(epx_clock_ns() < until);
        ucx_turn(port->link, 100);
    }
    return chunk;
}

/* The next notice, for at most ms; false: none came. */
static inline bool ucx_hear(epx_link *link, epx_notice *notice_out, uint64_t ms)
{
    uint64_t now = epx_clock_ns(), until = epx_deadline(now, ms);

    while (!link->ops->hear(link, notice_out)) {
        if (now >= until)
            return false;
        ucx_turn(link, epx_deadline_left_ms(until, now, 1000));
        now = epx_clock_ns();
    }
    return true;
}

static inline void ucx_close(epx_link *link)
{
    link->ops->close(link);
    RANK_CHECK(epx_mem_read().live == 0);
}

/* 0 when UCX can be used here, else 77 with the reason. */
static inline int ucx_probe(int rank, void *arg)
{
    bool near_ranks[1] = {true};
    ucx_boot boot;
    epx_link *link;

    if (epx_ucx_open(ucx_boot_init(&boot, arg, rank), near_ranks, true, 10000, &link) != EPX_OK) {
        fprintf(stderr, "skipped: %s\n", epx_last_error());
        return 77;
    }
    link->ops->close(link);
    return 0;
}

/* First in main(): 77 where UCX cannot be used, else 0. */
static inline int ucx_skip(void)
{
    ranks r;

    ranks_start(&r, 1, 10, ucx_probe, ucx_job_make(1));
    ranks_wait(&r);
    return r.code[0] == 77 ? 77 : 0;
}

#endif /* EPX_TESTS_LINK_UCX_JOB_H */
