/* ranks.h - runs a function in N forked processes under a time limit.
 *
 * Nothing outlives a test: a rank dies with its parent, by its own alarm, or when ranks_wait() has
 * waited long enough. A rank must not use CMocka's asserts (they would jump back into the parent's
 * runner); it uses RANK_CHECK and RANK_OK, or returns non-zero.
 *
 *     static int body(int rank, void *arg) { RANK_OK(epx_comm_create(...)); return 0; }
 *     assert_int_equal(ranks_run(4, 10, body, &job), 0);
 */
#ifndef EPX_TESTS_SUPPORT_RANKS_H
#define EPX_TESTS_SUPPORT_RANKS_H

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <epx/status.h>

#define RANKS_MAX 128
#define RANKS_RUNNING (-1)
#define RANKS_TOO_LATE 124 /* what a rank that ran into the limit counts as */

typedef int (*ranks_body)(int rank, void *arg);

typedef struct ranks {
    int count;
    int limit_s;
    double started_s;
    pid_t pid[RANKS_MAX];
    int code[RANKS_MAX]; /* exit code, 128 + signal, RANKS_TOO_LATE or RANKS_RUNNING */
} ranks;

/* In a rank: ends it with code 1 and says where. */
#define RANK_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: pid %d: %s (last error: %s)\n", __FILE__, __LINE__,            \
                    (int)getpid(), #condition, epx_last_error());                                  \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

#define RANK_OK(call) RANK_CHECK((call) == EPX_OK)

static inline double ranks_now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static inline void ranks_sleep_ms(long ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        ;
}

/* Zeroed memory that parent and ranks share: results, flags, times. Never freed before exit. */
static inline void *ranks_shared(size_t bytes)
{
    void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (base == MAP_FAILED)
        abort();
    return base;
}

static inline void ranks_child(int rank, int limit_s, pid_t parent, ranks_body body, void *arg)
{
    int code;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(RANKS_TOO_LATE);
    signal(SIGALRM, SIG_DFL);
    alarm((unsigned)limit_s + 1);
    code = body(rank, arg);
    exit(code); /* not _exit: the leak check runs here */
}

static inline void ranks_start(ranks *r, int count, int limit_s, ranks_body body, void *arg)
{
    pid_t parent = getpid();
    int i;

    if (count < 1 || count > RANKS_MAX)
        abort();
    memset(r, 0, sizeof(*r));
    r->count = count;
    r->limit_s = limit_s;
    r->started_s = ranks_now_s();
    fflush(NULL);
    for (i = 0; i < count; i++) {
        r->code[i] = RANKS_RUNNING;
        r->pid[i] = fork();
        if (r->pid[i] == 0)
            ranks_child(i, limit_s, parent, body, arg);
        if (r->pid[i] < 0)
            r->code[i] = 1;
    }
}

static inline void ranks_kill(const ranks *r, int rank, int signal_number)
{
    if (r->code[rank] == RANKS_RUNNING)
        kill(r->pid[rank], signal_number);
}

/* Collects those that have ended; how many still run. */
static inline int ranks_poll(ranks *r)
{
    int i, status, running = 0;

    for (i = 0; i < r->count; i++) {
        if (r->code[i] != RANKS_RUNNING)
            continue;
        if (waitpid(r->pid[i], &status, WNOHANG) != r->pid[i]) {
            running++;
            continue;
        }
        r->code[i] = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    return running;
}

/* Waits for all, kills those that exceed the limit; how many did not return 0. */
static inline int ranks_wait(ranks *r)
{
    int i, status, failed = 0;

    while (ranks_poll(r) > 0 && ranks_now_s() - r->started_s < (double)r->limit_s)
        ranks_sleep_ms(1);
    for (i = 0; i < r->count; i++) {
        if (r->code[i] == RANKS_RUNNING) {
            kill(r->pid[i], SIGKILL);
            waitpid(r->pid[i], &status, 0);
            r->code[i] = RANKS_TOO_LATE;
            fprintf(stderr, "rank %d exceeded %d s\n", i, r->limit_s);
        }
        failed += r->code[i] != 0;
    }
    return failed;
}

static inline int ranks_run(int count, int limit_s, ranks_body body, void *arg)
{
    ranks r;

    ranks_start(&r, count, limit_s, body, arg);
    return ranks_wait(&r);
}

#endif /* EPX_TESTS_SUPPORT_RANKS_H */
