/* link_processes.h - runs checks of the link suite on forked processes that meet as ranks of a job
 * do: boot, node, then the link that the fixture opens. */
#ifndef EPX_TESTS_LINK_PROCESSES_H
#define EPX_TESTS_LINK_PROCESSES_H

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <epx/comm.h>

#include "comm/topo/node.h"
#include "core/mem.h"
#include "link/link_seat.h"
#include "support/ranks.h"

#define LINK_BOOT_MS 10000

typedef struct link_process_run {
    const link_fixture *fixture;
    link_check check;
    link_board *board;
    epx_job *job;
    int32_t ranks, victim;
} link_process_run;

static inline uint64_t link_process_now(link_seat *seat)
{
    (void)seat;
    return epx_clock_ns();
}

static inline void link_process_sleep(link_seat *seat, uint64_t until)
{
    struct pollfd polled[EPX_LINK_MAX_FDS];
    int fds[EPX_LINK_MAX_FDS], n, i;
    uint64_t now = epx_clock_ns(), left = until > now ? until - now : 0;
    struct timespec t = {.tv_sec = (time_t)(left / UINT64_C(1000000000)),
                         .tv_nsec = (long)(left % UINT64_C(1000000000))};

    n = seat->link->ops->fds(seat->link, fds);
    for (i = 0; i < n; i++)
        polled[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
    ppoll(polled, (nfds_t)n, &t, NULL);
}

static inline int link_count_fds(void)
{
    int fd, count = 0;

    for (fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* Nobody closes while another still listens: what follows a close is no business of a check. */
static inline bool link_leave_together(const link_process_run *run, link_seat *seat)
{
    uint64_t expected = (uint64_t)(run->ranks - (run->victim >= 0));

    atomic_fetch_add(&run->board->leaving, 1);
    while (atomic_load(&run->board->leaving) < expected) {
        if (seat->link != NULL)
            seat->link->ops->progress(seat->link);
        if (epx_clock_ns() >= seat->until || atomic_load(&run->board->failed) != 0)
            return false;
        usleep(200);
    }
    return true;
}

static inline bool link_run_seat(const link_process_run *run, link_seat *seat)
{
    int32_t keys[LINK_MAX_RANKS];
    bool good;

    LINK_CHECK(seat, epx_node_find(seat->boot, "", LINK_BOOT_MS, keys, &seat->mesh) == EPX_OK);
    LINK_CHECK(seat, run->fixture->open(seat) == EPX_OK);
    seat->until = epx_clock_ns() + LINK_LIMIT_NS;
    good = run->check(seat) && link_leave_together(run, seat);
    if (seat->link != NULL) /* a check may close it */
        seat->link->ops->close(seat->link);
    return good;
}

static inline int link_process_body(int rank, void *arg)
{
    const link_process_run *run = arg;
    const epx_comm_config cfg = {.struct_size = sizeof(cfg),
                                 .rank = rank,
                                 .world_size = run->ranks,
                                 .job = run->job,
                                 .timeout_ms = LINK_BOOT_MS};
    link_seat seat = {.fixture = run->fixture,
                      .board = run->board,
                      .rank = rank,
                      .ranks = run->ranks,
                      .until = epx_clock_ns() + LINK_LIMIT_NS};
    epx_mem_stats before = epx_mem_read();
    int fds = link_count_fds();
    bool good;

    atomic_store(&run->board->pid[rank], (int64_t)getpid());
    if (epx_boot_open(&cfg, &seat.boot) != EPX_OK)
        return link_failed(&seat, __FILE__, __LINE__, "boot opens") ? 0 : 1;
    epx_job_destroy(run->job);
    good = link_run_seat(run, &seat);
    epx_mesh_close(seat.mesh);
    epx_boot_close(seat.boot, good);
    if (good && (epx_mem_read().live > before.live || link_count_fds() > fds))
        good = link_failed(&seat, __FILE__, __LINE__, "nothing is leaked");
    return good ? 0 : 1;
}

static inline bool link_processes_run(const link_fixture *fixture, int32_t count, link_check check,
                                      int32_t victim)
{
    link_process_run run = {.fixture = fixture, .check = check, .ranks = count, .victim = victim};
    ranks r;
    int failed;

    run.board = ranks_shared(sizeof(*run.board));
    if (epx_job_create(count, NULL, &run.job) != EPX_OK)
        return false;
    ranks_start(&r, count, 30, link_process_body, &run);
    epx_job_destroy(run.job);
    failed = ranks_wait(&r);
    munmap(run.board, sizeof(*run.board));
    if (victim < 0)
        return failed == 0;
    return failed == 1 && r.code[victim] == 128 + SIGKILL;
}

#endif /* EPX_TESTS_LINK_PROCESSES_H */
